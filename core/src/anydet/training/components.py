"""``Components``: what a training loop works with."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

from torch.optim import Optimizer

from anydet.training.batches.loading import TrainingLoader
from anydet.training.checkpoints.checkpointer import Checkpointer
from anydet.training.devices.processes import Processes
from anydet.training.hooks import TrainingHook
from anydet.training.optim.early_stopping import BestTracker
from anydet.training.optim.schedule import Schedule
from anydet.training.runlog.run_log import RunLog
from anydet.training.stepping import Stepper
from anydet.training.task import TrainingTask
from anydet.training.validation import Validator


@dataclass(frozen=True, slots=True, eq=False)
class Components:
    """What a loop works with.

    Attributes:
        task: the model, its batches and losses.
        processes: this one and those it trains with.
        loader: training batches of this process.
        validator: measures the live model, or ``None`` without validation data.
        optimizer: of all trained parameters.
        schedule: sets its learning rates.
        stepper: takes steps.
        best: which validation was the best.
        measured: name of the number it looks at.
        checkpointer: checkpoints.
        run_log: what is written down.
        hooks: called around steps and epochs: the task's, then the caller's.
        total_steps: optimizer steps of the whole run.
    """

    task: TrainingTask
    processes: Processes
    loader: TrainingLoader
    validator: Validator | None
    optimizer: Optimizer
    schedule: Schedule
    stepper: Stepper
    best: BestTracker
    measured: str
    checkpointer: Checkpointer
    run_log: RunLog
    hooks: Sequence[TrainingHook]
    total_steps: int
