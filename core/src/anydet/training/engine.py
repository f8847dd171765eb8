"""``train``: seeds, device and processes are set up, the task is built, the loop runs."""

from __future__ import annotations

from collections.abc import Callable

from anydet.plugins.adapter import TrainResult
from anydet.training.run import Run
from anydet.training.task import TrainingTask


def train(build: Callable[[Run], TrainingTask], run: Run) -> TrainResult:
    """Train the task that ``build`` gives for ``run``."""
    raise NotImplementedError
