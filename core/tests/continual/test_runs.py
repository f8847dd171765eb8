"""Tasks are learned one after the other, measured by the evaluator, and not learned twice."""

from __future__ import annotations

import json
import os
import signal
import subprocess
import sys
from pathlib import Path

import numpy as np
import pytest

torch = pytest.importorskip("torch")

from core.tests.continual.growing import GrowingTask
from core.tests.continual.stopping import INTERRUPTED, PLACES

from anydet.continual.results import SEEN
from anydet.continual.runs import Runs
from anydet.continual.setting import Setting
from anydet.errors import InterruptedTraining, OptionError, TrainingError
from anydet.evaluation.figures import Lines
from anydet.evaluation.pycocotools_engine import PycocotoolsEngine
from anydet.evaluation.run import evaluate_coco
from anydet.training.checkpoints.checkpoint import load_checkpoint


@pytest.fixture
def runs(write, plugins, tmp_path):
    def make(out="out", **keys):
        return Runs(Setting.read(write(**keys), plugins), tmp_path / out, plugins, PycocotoolsEngine())

    return make


def weights(folder):
    return load_checkpoint(folder / "best.pt", adapter="growing")


@pytest.mark.slow
def test_groups_of_classes_are_learned_and_measured(runs, tmp_path, scenes):
    found = runs(seeds=[0, 1]).run()
    assert list(found.methods) == ["none", "replay", "joint"]
    assert found.baseline == "none"
    none, replay = found.methods["none"], found.methods["replay"]
    # Without keys of its own a first task is the same training.
    assert none.runs[0][0] == replay.runs[0][0]
    assert len({run for method in found.methods.values() for row in method.runs for run in row}) == 2 * 4
    first, second = (weights(tmp_path / "out" / run) for run in none.runs[0])
    assert second.classes[:3] == first.classes
    assert len(second.classes) == 6
    # Numbers are those of eval-coco.
    predictions = tmp_path / "out" / none.runs[0][1] / "predictions.json"
    theirs = evaluate_coco(scenes, predictions, split="val").per_class
    by_class = {row["name"]: row["AP"] for row in theirs}
    for number, names in enumerate((second.classes[:3], second.classes[3:])):
        known = [by_class[name] for name in names if by_class[name] is not None]
        assert none.values[0, 1, number] == pytest.approx(np.mean(known))
    assert none.seen[0, 1] == pytest.approx(np.mean([v for v in by_class.values() if v is not None]))
    # A class that is not known yet has no number.
    assert np.isnan(none.values[:, 0, 1]).all()
    assert np.isnan(found.methods["joint"].values[:, 0]).all()
    measured = none.measure(SEEN)
    assert measured.low <= measured.value <= measured.high
    assert measured.deviation is not None
    written = found.as_dict()
    assert json.loads(json.dumps(written, allow_nan=False)) == written
    assert written["methods"]["replay"]["differences"]["forgetting"]["value"] == pytest.approx(
        replay.measure("forgetting").value - none.measure("forgetting").value
    )
    assert [table.title.split(",")[0] for table in found.tables] == [
        "methods",
        "differences from none",
        "AP on each task after each task",
    ]
    curves = next(figure for figure in found.figures if isinstance(figure, Lines))
    assert [series.reference for series in curves.series] == [False, False, True]
    assert {series.x for series in curves.series} == {(1, 2)}
    assert (
        curves.series[2].y[0]
        == curves.series[2].y[1]
        == pytest.approx(found.methods["joint"].so_far(1).value)
    )


@pytest.mark.slow
def test_what_was_done_is_not_done_again(runs, monkeypatch):
    keys = {"methods": {"none": None}, "class_groups": [6]}
    first = runs(**keys).run().as_dict()
    trained = []
    monkeypatch.setattr("anydet.continual.stages.launch", trained.append)
    monkeypatch.setattr("anydet.continual.stages.export_predictions", trained.append)
    monkeypatch.setattr("anydet.continual.scores.resample", trained.append)
    assert runs(**keys).run().as_dict() == first
    assert trained == []


@pytest.mark.slow
def test_an_interrupted_sequence_goes_on_to_the_same_numbers(runs, monkeypatch, tmp_path):
    keys = {"methods": {"none": None, "replay": {"replay": 4}}}
    whole = runs("whole", **keys).run()
    steps = 0
    step = GrowingTask.step

    def interrupted(task, batch):
        nonlocal steps
        steps += 1
        if steps == 11:  # in the second task
            os.kill(os.getpid(), signal.SIGINT)
        return step(task, batch)

    monkeypatch.setattr(GrowingTask, "step", interrupted)
    with pytest.raises(InterruptedTraining, match="task 'classes-4-6': stopped by SIGINT") as raised:
        runs("stopped", **keys).run()
    assert raised.value.exit_code == 130
    assert raised.value.fix == "the same command goes on; what was done is kept"
    monkeypatch.setattr(GrowingTask, "step", step)
    stopped = runs("stopped", **keys).run()
    for name, method in whole.methods.items():
        assert (method.values[0, 1] == stopped.methods[name].values[0, 1]).all()
        for mine, theirs in zip(method.runs[0], stopped.methods[name].runs[0], strict=True):
            one, two = (
                weights(tmp_path / out / run).model for out, run in (("whole", mine), ("stopped", theirs))
            )
            assert all(torch.equal(one[key], two[key]) for key in one)


@pytest.mark.slow
def test_domains_have_numbers_before_they_are_learned(runs):
    tasks = {"clean": None, "fog": {"corruption": "fog:2"}}
    found = runs(class_groups=..., tasks=tasks, methods={"none": None}).run()
    matrices = found.methods["none"]
    assert not np.isnan(matrices.values).any()
    assert np.isnan(matrices.seen).all()
    assert found.images == 24
    assert matrices.so_far(1).value == pytest.approx(matrices.values[0, 1].mean())
    assert "forgetting" in found.tables[0].header
    assert SEEN not in found.tables[0].header


def test_what_goes_wrong_names_method_and_task(runs, monkeypatch):
    def broken(*_):
        raise TrainingError("numbers are beyond repair", fix="lower --lr, or add --clip-grad-norm 1")

    monkeypatch.setattr("anydet.continual.stages.launch", broken)
    with pytest.raises(TrainingError, match="method 'none', task 'classes-1-3': numbers are") as raised:
        runs().run()
    assert raised.value.fix == "lower lr, or add clip_grad_norm 1"


def test_several_processes_are_refused(runs, monkeypatch):
    monkeypatch.setenv("WORLD_SIZE", "2")
    with pytest.raises(OptionError, match="one process"):
        runs().run()


@pytest.mark.soak
def test_a_sequence_that_is_stopped_anywhere_goes_on_to_the_same_numbers(write, tmp_path):
    """By kill -9 and by Ctrl-C; weights, what methods left and all numbers are those of a whole run."""
    methods = {"all": {"ewc": True, "si": True, "derpp": True, "derpp_size": 3}}
    methods["all"]["later"] = {"self_distill_from": "{previous}"}
    training = {"epochs": 2, "batch_size": 4, "num_workers": 0, "lr": 0.01, "save_every": 2}
    setting = write(methods=methods, training=training, val_images=6, resamples=10)
    words = [sys.executable, "-m", "core.tests.continual.stopping", setting, tmp_path]
    done = subprocess.run(words, capture_output=True, text=True, check=False, timeout=900)
    assert done.returncode == 0, done.stderr[-3000:]
    ended = json.loads((tmp_path / "ended.json").read_text())
    assert ended.pop("whole") == [0, 0], done.stderr[-3000:]
    assert len(ended) == len(PLACES) + len(INTERRUPTED)
    whole = json.loads((tmp_path / "whole" / "found.json").read_text())
    for name, (first, second) in ended.items():
        # What is stopped after the last step of a training may end it before it looks at the signal.
        assert first in ({-9} if name.endswith("SIGKILL") else {1, 130}), name
        assert second == 0, (name, done.stderr[-3000:])
        found = json.loads((tmp_path / name / "found.json").read_text())
        assert found["methods"]["all"]["matrix"] == whole["methods"]["all"]["matrix"], name
        for mine, theirs in zip(*(one["methods"]["all"]["runs"][0] for one in (whole, found)), strict=True):
            for file in ("best.pt", "continual.pt"):
                one, two = (
                    torch.load(tmp_path / out / "runs" / run / file, weights_only=True)
                    for out, run in (("whole", Path(mine).name), (name, Path(theirs).name))
                )
                assert one["digest"] == two["digest"], (name, file)
