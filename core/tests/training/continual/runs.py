"""Runs of the grid detector with methods of continual learning. A module, as processes of tests import it."""

from __future__ import annotations

import signal
from dataclasses import replace
from pathlib import Path
from typing import Any

import torch
from core.tests.training.distillation import Keep
from core.tests.training.grid import Grid, GridAdapter, GridTask, tiny_run
from tests.first_weights import Renamed

from anydet.data.scenes.shape_scenes import SyntheticDataset
from anydet.training.engine import train
from anydet.training.first_weights import Names, start_from
from anydet.training.hooks import LoopState, TrainingHook
from anydet.training.model import NamedRows
from anydet.training.run import Run
from anydet.types import AdapterSettings

ALL = {"derpp": True, "derpp_size": 5, "ewc": True, "ewc_lambda": 10.0, "si": True}
"""Methods that leave something to the next run."""


class NamedGrid(Grid):
    """Says which of its rows are of which class."""

    def named_rows(self) -> dict[str, NamedRows]:
        return dict.fromkeys(("head.weight", "head.bias"), NamedRows(after=4))


class NamedTask(GridTask):
    """Trains it."""

    def __init__(self, classes: Any, options: Any) -> None:
        super().__init__(classes, options)
        self.model = NamedGrid(len(classes), **self.options)


class NamedAdapter(GridAdapter):
    """Begins with the weights of its checkpoint; classes by name."""

    def build_model(self) -> NamedGrid:
        options = self.saved.description["options"] if self.saved else {}
        return NamedGrid(len(self.classes), **options)

    def build_task(self, run: Run) -> NamedTask:
        self.task = NamedTask(run.classes, run.options)
        if self.saved is not None and not run.settings.resume:
            theirs, ours = Names(self.saved.classes), Names(run.classes.names)
            self.task.first_weights = start_from(
                self.task.model, self.saved.model, source=self.saved.source, theirs=theirs, ours=ours
            )
        return self.task


def continual_run(
    folder: Path,
    *hooks: TrainingHook,
    names: tuple[str, ...] | None = None,
    seed: int = 0,
    images: int = 12,
    **keys: Any,
) -> tuple[NamedAdapter, Run]:
    """Train on scenes of a seed; ``names`` are other ones of its classes, ``hooks`` beside the task's."""
    run = tiny_run(folder, images=images, **keys)
    data = SyntheticDataset(images, seed, (64, 64), "train")
    run = replace(run, dataset=data if names is None else Renamed(data, names), validation=None)
    adapter = NamedAdapter(AdapterSettings(checkpoint=run.settings.checkpoint))
    train(adapter.training_task, run, hooks, open_teacher=adapter.open_teacher)
    return adapter, run


def two_tasks(folder: Path, base: Path, *hooks: TrainingHook, **keys: Any) -> Run:
    """The second of two tasks, with every method; keeps what is compared of runs."""
    folder.mkdir(exist_ok=True)
    usual = {"checkpoint": str(base), "self_distill_from": str(base), "epochs": 2, "lr": 1e-3}
    return continual_run(folder, Keep(folder), *hooks, seed=1, images=8, **{**ALL, **usual, **keys})[1]


class Signal(TrainingHook):
    """Sends a signal to this process after a step, or after the last one."""

    def __init__(self, number: int, step: int | None) -> None:
        self.number, self.step = number, step

    def after_step(self, loop: LoopState) -> None:
        if loop.progress.step == self.step:
            signal.raise_signal(self.number)

    def after_train(self, loop: LoopState) -> None:
        if self.step is None:
            signal.raise_signal(self.number)


def head_rows(model: torch.nn.Module, count: int) -> torch.Tensor:
    """Rows of classes of the head."""
    return model.state_dict()["head.weight"][:count]
