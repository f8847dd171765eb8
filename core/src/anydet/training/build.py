"""Builds the components of a run from its settings."""

from __future__ import annotations

import math
from collections.abc import Sequence

from anydet.errors import DatasetError, OptionError, TrainingError
from anydet.plugins.manager import Plugins
from anydet.training.batches.augment import Augmentation
from anydet.training.batches.loading import build_loader
from anydet.training.checkpoints.checkpointer import Checkpointer
from anydet.training.components import Components
from anydet.training.devices.processes import Processes
from anydet.training.extra_loss import ExtraLoss, freeze
from anydet.training.hooks import TrainingHook
from anydet.training.optim.early_stopping import BestTracker
from anydet.training.optim.ema import Ema
from anydet.training.optim.optimizer import build_optimizer
from anydet.training.optim.schedule import Schedule
from anydet.training.run import Run
from anydet.training.runlog.run_log import RunLog
from anydet.training.stepping import Stepper
from anydet.training.task import TrainingTask, mirrored_keypoints
from anydet.training.validation import Validator


def build_components(
    run: Run, task: TrainingTask, processes: Processes, hooks: Sequence[TrainingHook]
) -> Components:
    """What a loop works with, each built on what is built before it.

    Args:
        run: data, settings and paths.
        task: on the CPU.
        processes: this one and those it trains with.
        hooks: called after the task's own.

    Raises:
        DatasetError: there are no training images, or the validation classes are others.
        OptionError: settings that do not fit the task.
        TrainingError: hooks that do not fit each other or the task.
    """
    settings = run.settings
    # The order matters: torch wants a model on its device before an optimizer is made of its parameters, and
    # the average is copied from there. The schedule needs the number of steps, and so the loader's batches.
    # The checkpointer holds all that must be restored. Only the stepper wraps the model for several
    # processes: checkpoints and the average work on the bare one.
    task.model.to(processes.device)
    hooks = _checked((*task.hooks(), *hooks))
    losses = [hook for hook in hooks if isinstance(hook, ExtraLoss)]
    freeze(losses, task.model, processes.device)
    if settings.compile:
        task.model.compile()  # in place: names of tensors stay as they are, as a wrapper would change them
    loader = build_loader(
        run.dataset,
        item=task.item,
        collate=task.collate,
        settings=settings,
        augment=Augmentation.from_settings(settings, mirrored_keypoints(task, run.dataset)),
        label_kinds=task.label_kinds,
        rank=processes.rank,
        world=processes.world,
    )
    optimizer = build_optimizer(task, settings)
    steps_per_epoch = math.ceil(loader.batches_per_epoch / settings.gradient_accumulation_steps)
    total_steps = _total_steps(run, steps_per_epoch)
    schedule = Schedule(optimizer, settings, steps_per_epoch, total_steps)
    ema = Ema(task.model, settings.ema_decay, task.weights) if settings.use_ema else None
    measured = "avg_val_loss" if settings.best_metric == "val_loss" else settings.best_metric
    best = BestTracker(
        measured, patience=settings.early_stop_patience, min_delta=settings.early_stop_min_delta
    )
    checkpointer = Checkpointer(
        run,
        task,
        processes,
        optimizer,
        schedule,
        best,
        ema,
        hooks,
        processes.broadcast(run.dataset.fingerprint()),
    )
    return Components(
        task=task,
        processes=processes,
        loader=loader,
        validator=_validator(run, task, processes),
        optimizer=optimizer,
        schedule=schedule,
        stepper=Stepper(task, settings, processes, optimizer, ema, extra=losses),
        best=best,
        measured=measured,
        checkpointer=checkpointer,
        run_log=RunLog(run, main=processes.main),
        hooks=hooks,
        total_steps=total_steps,
    )


def _checked(hooks: Sequence[TrainingHook]) -> Sequence[TrainingHook]:
    """The same; raises ``TrainingError`` where the states of two have one name."""
    names = [hook.name for hook in hooks if hook.name]
    if twice := sorted({name for name in names if names.count(name) > 1}):
        raise TrainingError(
            f"two training hooks are called {twice[0]!r}; a checkpoint keeps the state of one alone",
            fix="give each hook with a state a name of its own",
        )
    return hooks


def _validator(run: Run, task: TrainingTask, processes: Processes) -> Validator | None:
    if run.validation is None:
        return None
    known = run.validation.classes
    if known is not None and known.names != task.classes.names:
        raise DatasetError(
            f"{run.validation.root}: validation classes {', '.join(known.names)} are not the trained ones "
            f"{', '.join(task.classes.names)}, in this order",
            fix="give training and validation data the same class names",
        )
    loader = build_loader(
        run.validation,
        item=task.item,
        collate=task.collate,
        settings=run.settings,
        label_kinds=task.label_kinds,
        rank=processes.rank,
        world=processes.world,
        train=False,
    )
    return Validator(
        run.adapter,
        task,
        run.validation,
        loader,
        processes,
        run.settings,
        run.plugins or Plugins.from_env(),
    )


def _total_steps(run: Run, steps_per_epoch: int) -> int:
    settings = run.settings
    limits = [settings.max_steps, settings.epochs and settings.epochs * steps_per_epoch]
    stated = [limit for limit in limits if limit]
    if not stated:
        raise OptionError("neither epochs nor max_steps is set", fix="add --epochs 12")
    return min(stated)
