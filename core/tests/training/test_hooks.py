"""Hooks of a run: when they are called, what they see, and what is left of them in a checkpoint."""

from __future__ import annotations

import random

import numpy as np
import pytest

torch = pytest.importorskip("torch")

from core.tests.training.grid import GridTask, tiny_run

from anydet.errors import TrainingError
from anydet.plugins import hookimpl
from anydet.training.checkpoints.checkpoint import load_checkpoint
from anydet.training.checkpoints.plain_data import digest
from anydet.training.engine import train
from anydet.training.hooks import TrainingHook

EVENTS = (
    "before_train",
    "before_epoch",
    "before_step",
    "before_update",
    "after_step",
    "after_epoch",
    "after_train",
)


class Diary(TrainingHook):
    """Writes down what is called."""

    name = "diary"

    def __init__(self):
        self.events = []
        for event in EVENTS:
            setattr(self, event, lambda loop, event=event: self.events.append(event))

    def state_dict(self):
        return {"events": self.events}

    def load_state_dict(self, state):
        self.events = list(state["events"])


def task_with(*hooks, **options):
    """Builds a task that brings these hooks."""

    class Hooked(GridTask):
        def hooks(self):
            return hooks

    return lambda run: Hooked(run.dataset.classes, options)


@pytest.mark.slow
def test_hooks_of_the_task_and_of_the_caller_are_called_in_their_places(tmp_path):
    own, callers = Diary(), Diary()
    callers.name = "other"
    train(task_with(own), tiny_run(tmp_path, images=8, epochs=1), [callers])
    step = ["before_step", "before_update", "after_step"]
    expected = ["before_train", "before_epoch", *step, *step, "after_epoch", "after_train"]
    assert own.events == callers.events == expected
    saved = load_checkpoint(tmp_path / "checkpoint.pt").training["hooks"]
    assert saved == {"diary": {"events": expected}, "other": {"events": expected}}


@pytest.mark.slow
def test_a_resumed_run_has_the_states_of_hooks_before_it_goes_on(tmp_path):
    train(task_with(Diary()), tiny_run(tmp_path, images=8, epochs=1))
    seen = []

    class Looks(Diary):
        def __init__(self):
            super().__init__()
            self.before_train = lambda loop: seen.append((list(self.events), loop.progress.epoch))

    train(task_with(Looks()), tiny_run(tmp_path, images=8, epochs=2, resume=True))
    [(events, epoch)] = seen
    assert (events[0], events[-1], epoch) == ("before_train", "after_train", 1)


@pytest.mark.slow
def test_before_an_update_the_gradients_are_whole_and_the_weights_have_not_moved(tmp_path):
    norms, moved = [], []

    class Looks(TrainingHook):
        def before_step(self, loop):
            self.weights = [p.detach().clone() for p in loop.model.parameters()]

        def before_update(self, loop):
            gradients = [p.grad for p in loop.model.parameters()]
            norms.append(float(torch.nn.utils.get_total_norm(gradients)))
            moved.append(self.moved(loop))

        def after_step(self, loop):
            moved.append(self.moved(loop))
            assert norms[-1] == pytest.approx(loop.metrics["grad_norm"])

        def moved(self, loop):
            now = loop.model.parameters()
            return not all(torch.equal(old, new) for old, new in zip(self.weights, now, strict=True))

    train(task_with(Looks()), tiny_run(tmp_path, images=8, epochs=1, clip_grad_norm=1e-3))
    assert moved == [False, True, False, True]
    assert min(norms) > 1e-3


@pytest.mark.slow
def test_a_skipped_step_is_no_update(tmp_path):
    diary = Diary()
    keys = {"on_nonfinite": "skip", "max_grad_norm": 1e-9, "max_skip_share": 1.0}
    train(task_with(diary), tiny_run(tmp_path, images=8, epochs=1, **keys))
    assert diary.events == [*EVENTS[:3], "before_step", "after_epoch", "after_train"]


@pytest.mark.slow
def test_two_hooks_whose_states_have_one_name_are_refused(tmp_path):
    with pytest.raises(TrainingError, match="two training hooks are called 'diary'"):
        train(task_with(Diary(), Diary()), tiny_run(tmp_path))


class Meddling:
    """An observer that changes all that it is shown, and draws random numbers."""

    def meddle(self, run, state):
        for mapping in (run.options, run.origins, state.metrics, state.validation):
            mapping["train_loss"] = mapping["AP"] = 99.0
        state.progress.step = state.progress.batch = 99
        with torch.no_grad():
            for parameter in state.model.parameters():
                parameter.data.fill_(7.0)
        state.model.eval()
        torch.rand(3), random.random(), np.random.rand()

    @hookimpl
    def on_train_start(self, run, state):
        self.meddle(run, state)

    @hookimpl
    def on_train_step(self, run, state):
        self.meddle(run, state)

    @hookimpl
    def on_train_epoch(self, run, state):
        self.meddle(run, state)

    @hookimpl
    def on_train_end(self, run, state):
        self.meddle(run, state)


@pytest.mark.slow
def test_observers_change_nothing_that_reaches_checkpoints_and_metrics(tmp_path, metric_lines):
    keys = {"images": 8, "epochs": 2, "use_ema": True, "hflip_prob": 0.5}
    watched = tiny_run(tmp_path / "watched", **keys)
    watched.plugins.manager.register(Meddling(), name="meddling")
    train(task_with(norm=True, dropout=0.3), watched)
    train(task_with(norm=True, dropout=0.3), tiny_run(tmp_path / "alone", **keys))
    for name in ("checkpoint.pt", "best.pt"):
        one, two = (load_checkpoint(tmp_path / run / name) for run in ("watched", "alone"))
        for part in ("model", "description", "step", "metrics"):
            assert digest(getattr(one, part)) == digest(getattr(two, part)), part
        if one.training is not None:
            for part in ("model", "optimizer", "ema", "progress", "rng", "best"):
                assert digest(one.training[part]) == digest(two.training[part]), part
    for name in ("train_metrics.jsonl", "val_metrics.jsonl"):
        assert metric_lines(tmp_path / "watched" / name) == metric_lines(tmp_path / "alone" / name)


@pytest.mark.slow
def test_hooks_cannot_change_metrics(tmp_path):
    class Changes(TrainingHook):
        def after_step(self, loop):
            with pytest.raises(TypeError, match="does not support item assignment"):
                loop.metrics["train_loss"] = 0.0

        def after_epoch(self, loop):
            with pytest.raises(TypeError, match="does not support item assignment"):
                loop.validation["AP"] = 1.0

    train(task_with(Changes()), tiny_run(tmp_path, images=4, epochs=1))
