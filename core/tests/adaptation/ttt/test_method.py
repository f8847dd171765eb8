"""What all methods have in common; each is held to the conformance kit on a small detector."""

from __future__ import annotations

import json
import math
from contextlib import nullcontext

import pytest

torch = pytest.importorskip("torch")

from anydet.adaptation.ttt.snapshot import named_tensors
from anydet.data.scenes.shape_scenes import SyntheticDataset
from anydet.errors import OptionError, UnsupportedError
from anydet.plugins.adapter import Adapter
from anydet.plugins.manager import Plugins
from anydet.testing.checks.ttt_methods import CHECKS, TTTMethodSubject
from anydet.testing.grid import GridDetector
from anydet.testing.images import in_memory
from anydet.testing.kit import NotApplicable
from anydet.types import AdapterSettings

METHODS = ("tent", "norm", "mim", "eata", "sar", "cotta", "align")
SOURCE = SyntheticDataset(4, 0, (96, 64))
BLIND = {"max_step_norm": 1e9, "max_total_norm": 1e9, "max_loss_ratio": 1e9, "max_loss_increase": 1e9}
"""No limit on steps, so that only the look at detections is left."""


@pytest.fixture(scope="module")
def plugins():
    return Plugins()


@pytest.mark.parametrize("check", CHECKS)
@pytest.mark.parametrize("method", METHODS)
def test_a_method_passes_the_kit(method, check, plugins, tmp_path):
    subject = TTTMethodSubject.installed(plugins, method, tmp_path)
    skipped = (method, check) == ("norm", "without_steps_nothing_changes")
    with pytest.raises(NotApplicable) if skipped else nullcontext():
        CHECKS[check](subject)


@pytest.mark.parametrize("method", METHODS)
def test_a_method_changes_the_model_in_both_modes(method, build, grid, records):
    for reset in ("sample", "stream"):
        running = build(method, reset=reset, confidence=0.1, **_loose(method))
        running.prepare(grid, SOURCE)
        before = {name: value.clone() for name, value in named_tensors(grid.get_model())}
        running.adapt(records)
        with running.predicting():
            changed = [n for n, v in named_tensors(grid.get_model()) if not torch.equal(v, before[n])]
        running.restore()
        report = running.report()
        assert report["adapted"] == report["batches"] == 1, report
        assert changed, method


def _loose(method):
    """Options with which every method finds something to learn of five images."""
    own = {
        "cotta": {"decay": 0.5, "augment_below": 1.0},
        "align": {"gap_ratio": 0.0},
        "eata": {"entropy_margin": 1.0},
        "sar": {"entropy_margin": 1.0},
    }
    return {"check_every": 0, **own.get(method, {})}


@pytest.mark.parametrize("method", [name for name in METHODS if name != "norm"])
def test_a_learning_rate_of_1_is_taken_back_and_harms_no_prediction(method, build, grid, records):
    untouched = list(grid.predict(records))
    running = build(
        method, reset="stream", lr=1.0, momentum=0.0, confidence=0.1, batch_size=1, **_loose(method)
    )
    running.prepare(grid, SOURCE)
    found = []
    for record in records:
        running.adapt([record])
        with running.predicting():
            found += grid.predict([record])
    report = running.report()
    running.restore()
    assert report["adapted"] == 0
    assert report["stop_reason"] in {"step_norm", "loss_ratio", "non_finite"}
    assert sum(report["rollbacks"].values()) == 3
    for before, after in zip(untouched, found, strict=True):
        assert (before.scores == after.scores).all()


@pytest.mark.parametrize("reset", ["sample", "stream"])
def test_a_collapse_goes_back_to_the_last_model_that_passed(reset, build, grid, records, monkeypatch):
    running = build(
        "tent", reset=reset, steps=10, lr=0.5, update_filter="all", include=("head",), confidence=0.1, **BLIND
    )
    # What entropy can do to a model, at once: nothing is an object any more.
    monkeypatch.setattr(
        type(running), "loss", lambda self, batch, _: self.adapter.class_logits(batch).logits.mean()
    )
    running.prepare(grid)
    before = list(grid.predict(records))
    running.adapt(records)
    after = list(grid.predict(records))
    report = running.report()
    running.restore()
    assert report["rollbacks"] == {"detection_ratio": 1}
    assert all((a.scores == b.scores).all() for a, b in zip(before, after, strict=True))
    assert report["log"][-1]["detection_ratio"] < 0.3


def test_a_rollback_puts_the_optimizer_back_too(build, grid, records):
    running = build("tent", reset="stream", momentum=0.0, confidence=0.1, lr=1e-3)
    running.prepare(grid)
    running.adapt(records)
    kept = json.dumps(running.optimizer.state_dict(), default=lambda value: value.tolist())
    running.optimizer.param_groups[0]["lr"] = 1e6
    running.adapt(records)
    running.optimizer.param_groups[0]["lr"] = 1e-3
    assert running.report()["rollbacks"] == {"step_norm": 1}
    assert json.dumps(running.optimizer.state_dict(), default=lambda value: value.tolist()) == kept
    running.restore()


def test_a_loss_that_is_not_finite_changes_nothing(build, grid, records, monkeypatch):
    running = build("tent", reset="stream", confidence=0.1, max_rollbacks=9)
    running.prepare(grid)
    monkeypatch.setattr(
        type(running),
        "loss",
        lambda self, batch, generator: self.adapter.class_logits(batch).logits.sum() * math.nan,
    )
    before = {name: value.clone() for name, value in named_tensors(grid.get_model())}
    running.adapt(records)
    assert running.report()["rollbacks"] == {"non_finite": 1}
    assert running.report()["log"][0]["loss"] is None
    assert all(torch.equal(value, before[name]) for name, value in named_tensors(grid.get_model()))
    running.restore()


def test_the_bound_on_batches_holds_over_the_whole_run(build, grid, records):
    running = build("norm", reset="stream", batch_size=1, max_batches=3, check_every=0)
    running.prepare(grid)
    running.adapt(records)
    running.adapt(records)
    assert running.report()["batches"] == 3
    running.restore()


def test_images_that_the_model_knows_are_left_to_the_unadapted_one(build, grid, records):
    for gate, skipped in ((1e-9, {}), (1e6, {"no_shift": 2})):
        running = build("tent", reset="stream", gate=gate, confidence=0.1, **_loose("tent"))
        running.prepare(grid)
        before = {name: value.clone() for name, value in named_tensors(grid.get_model())}
        running.adapt(records)
        running.adapt(records)
        same = all(torch.equal(value, before[name]) for name, value in named_tensors(grid.get_model()))
        report = running.report()
        running.restore()
        assert report["skipped"] == skipped
        assert same == bool(skipped)
        # Through the unadapted model each time, so that it does not shrink with adaptation.
        assert report["log"][0]["shift"] == report["log"][1]["shift"] > 0


def test_a_stream_that_comes_back_is_predicted_by_the_unadapted_model(build, grid, records):
    running = build("norm", reset="stream", gate=0.5, check_every=0, batch_size=3)
    running.prepare(grid)
    before = {name: value.clone() for name, value in named_tensors(grid.get_model())}
    dark = in_memory([(record.image() // 8).astype("uint8") for record in records[:3]])
    running.adapt(dark)
    assert running.report()["skipped"] == {}
    for _ in range(20):
        running.adapt(records[:3])
    same = all(torch.equal(value, before[name]) for name, value in named_tensors(grid.get_model()))
    report = running.report()
    running.restore()
    assert report["skipped"]["no_shift"] > 10
    assert same


def test_chunks_larger_than_a_batch_are_adapted_to_batch_by_batch(build, grid, records):
    running = build("tent", reset="stream", batch_size=2, confidence=0.1, **_loose("tent"))
    running.prepare(grid)
    running.adapt(records)
    assert [step["images"] for step in running.report()["log"] if "images" in step][:3] == [2, 2, 1]
    assert running.min_images == 2
    running.restore()


def test_each_step_is_reported_as_it_happens(build, grid, records):
    running = build("tent", reset="stream", batch_size=2, confidence=0.1, **_loose("tent"))
    seen = []
    running.on_step = seen.append
    running.prepare(grid)
    running.adapt(records)
    running.restore()
    assert seen == running.report()["log"]
    assert {"batch", "first_image", "images", "loss", "statistics_norm", "step_norm"} <= set(seen[0])
    json.dumps(seen, allow_nan=False)


def test_presets_describe_what_runs(build, grid):
    running = build("tent", preset="safe", lr=2e-5)
    running.prepare(grid)
    described = running.describe()
    running.restore()
    assert (described.steps, described.batch_size, described.lr) == (1, 8, 2e-5)
    assert (described.update_filter, described.include) == ("norm_only", ("backbone",))


def test_a_preset_that_selects_nothing_says_what_the_model_has(build, grid):
    with pytest.raises(OptionError, match="adapter_only in backbone selects none") as error:
        build("tent", preset="adapter_only").prepare(grid)
    assert "--ttt-update-filter norm_only or all" in error.value.fix


class WithoutATorchModel(Adapter):
    def predict(self, records):
        return iter(())

    def get_model(self):
        return object()


@pytest.mark.parametrize("method", METHODS)
def test_an_adapter_without_a_torch_model_is_refused(method, build):
    with WithoutATorchModel(AdapterSettings()) as adapter, pytest.raises(UnsupportedError):
        build(method).prepare(adapter, SOURCE)


def test_the_same_image_first_draws_the_same_numbers(build, records):
    running = build("mim", seed=3)
    first, again = (torch.rand(3, generator=running.generator(records)) for _ in range(2))
    assert torch.equal(first, again)
    assert not torch.equal(first, torch.rand(3, generator=build("mim", seed=4).generator(records)))
    assert not torch.equal(first, torch.rand(3, generator=running.generator(records[1:])))


def test_the_detector_is_another_one_each_time():
    with GridDetector(AdapterSettings()) as one, GridDetector(AdapterSettings()) as other:
        assert one.get_model() is not other.get_model()
