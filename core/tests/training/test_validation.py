"""Validation sees the model and changes nothing; its numbers are those of the real evaluators."""

from __future__ import annotations

from dataclasses import replace
from math import isnan
from types import SimpleNamespace

import numpy as np
import pytest
from msgspec import structs

torch = pytest.importorskip("torch")

from core.tests.training.grid import GridTask, tiny_run

from anydet.contract.columns import to_columns
from anydet.errors import AnydetWarning, OptionError, PluginError
from anydet.evaluation.analysis.analyzed import coco_box_evaluator
from anydet.training import validation
from anydet.training.build import build_components
from anydet.training.devices.processes import open_processes
from anydet.training.numerics.rng import rng_state
from anydet.training.validation import evaluating
from anydet.types import ImagePredictions

pytestmark = pytest.mark.slow


@pytest.fixture
def parts(tmp_path):
    run = tiny_run(tmp_path, batch_size=2)
    with open_processes(run.settings) as processes:
        task = GridTask(run.dataset.classes, {"norm": True, "dropout": 0.5})
        yield build_components(run, task, processes, ())


def test_nothing_of_the_model_or_of_random_numbers_changes_and_the_value_is_the_same_twice(parts):
    model = parts.task.model
    model.train()
    model.backbone[1].eval()  # a task may keep a part of its model so
    before = {name: value.clone() for name, value in model.state_dict().items()}
    modes = [module.training for module in model.modules()]
    numbers = rng_state()["torch"]
    first, second = parts.validator(), parts.validator()
    assert repr(first) == repr(second)
    assert all(torch.equal(value, before[name]) for name, value in model.state_dict().items())
    assert [module.training for module in model.modules()] == modes
    assert torch.equal(rng_state()["torch"], numbers)
    assert all(parameter.grad is None for parameter in model.parameters())


def test_losses_are_means_over_images_whatever_the_batches(parts):
    """Five images in batches of two: the last one counts as one image."""
    task, dataset = parts.task, parts.validator.dataset
    from anydet.training.batches.samples import sample_of

    with evaluating(task.model), torch.no_grad():
        singles = [float(task.step(task.collate([task.item(sample_of(record))])).loss) for record in dataset]
    assert parts.validator()["avg_val_loss"] == pytest.approx(sum(singles) / len(singles), rel=1e-6)


def test_metrics_are_those_of_the_evaluator_on_what_the_adapter_predicts(parts):
    dataset = parts.validator.dataset
    columns = to_columns(parts.task.predict(list(dataset)), dataset.classes.names)
    evaluator = coco_box_evaluator(dataset.ground_truth())
    evaluator.add(columns, dataset.ground_truth())
    expected = evaluator.result().metrics
    found = parts.validator()
    for name, value in expected.items():
        assert found[name] == pytest.approx(float("nan") if value is None else value, nan_ok=True)


def test_a_metric_that_two_evaluators_have_keeps_both_numbers(parts, monkeypatch):
    results = {"coco": {"AP": 0.5}, "delftbikes": {"AP": 0.25, "AP50": None}}
    measured = {name: SimpleNamespace(metrics=m) for name, m in results.items()}
    run = SimpleNamespace(results=measured, failed={})
    monkeypatch.setattr(validation, "run_evaluators", lambda *_args, **_options: run)
    found = parts.validator.metrics()
    assert (found["AP"], found["delftbikes/AP"]) == (0.5, 0.25)
    assert isnan(found["AP50"])


def test_an_evaluator_that_fails_leaves_the_others_unless_its_number_is_the_one_that_counts(
    parts, monkeypatch
):
    measured = {"coco": SimpleNamespace(metrics={"AP": 0.5})}
    run = SimpleNamespace(results=measured, failed={"mine": PluginError("evaluator 'mine' failed in add")})
    monkeypatch.setattr(validation, "run_evaluators", lambda *_args, **_options: run)
    with pytest.warns(AnydetWarning, match="evaluator 'mine' failed in add; its metrics are missing"):
        assert parts.validator.metrics() == {"AP": 0.5}
    parts.validator.settings = structs.replace(parts.validator.settings, best_metric="mine/accuracy")
    with pytest.raises(PluginError, match="evaluator 'mine' failed in add"):
        parts.validator.metrics()


def test_results_that_are_not_one_a_record_are_an_error_that_names_the_adapter(parts):
    parts.task.predict = lambda records: iter(())
    with pytest.raises(PluginError, match=r"adapter 'grid' gave results for .* one result a record"):
        parts.validator()


def test_a_model_that_predicts_nan_is_no_model_that_finds_nothing(parts):
    predict = parts.task.predict
    parts.task.predict = lambda records: [replace(p, scores=p.scores + torch.nan) for p in predict(records)]
    with pytest.raises(PluginError, match=r"adapter 'grid' gave a score .*: scores\[0\] is nan") as caught:
        parts.validator()
    assert "lower lr" in caught.value.fix


def test_a_best_metric_that_nobody_measures_is_an_error_that_lists_those_that_there_are(parts):
    parts.validator.settings = structs.replace(parts.validator.settings, best_metric="map50")
    with pytest.raises(OptionError, match="'map50' is not measured; there are val_loss, AP, AP50,"):
        parts.validator()
    for known in ("val_loss", "AP50"):
        parts.validator.settings = structs.replace(parts.validator.settings, best_metric=known)
        parts.validator()


def test_a_metric_may_come_once_something_is_predicted(parts, monkeypatch):
    measured = {"coco": SimpleNamespace(metrics={"AP": 0.5})}
    run = SimpleNamespace(results=measured, failed={}, skipped={"pose": "no detection has a pose"})
    monkeypatch.setattr(validation, "run_evaluators", lambda *_args, **_options: run)
    parts.validator.settings = structs.replace(parts.validator.settings, best_metric="ADD-S")
    parts.task.predict = lambda records: [ImagePredictions.empty(r.key, r.size_wh) for r in records]
    assert parts.validator.metrics() == {"AP": 0.5}
    box = (np.array([[0.0, 0, 9, 9]]), np.array([0.5]), np.array([0]))
    parts.task.predict = lambda records: [ImagePredictions(r.key, r.size_wh, *box) for r in records]
    with pytest.raises(OptionError, match="pose does not apply: no detection has a pose"):
        parts.validator.metrics()
