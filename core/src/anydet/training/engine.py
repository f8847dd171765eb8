"""``train``: seeds, device and processes are set up, the task is built, the loop runs."""

from __future__ import annotations

import math
from collections.abc import Callable, Sequence
from dataclasses import replace

from anydet.plugins.adapter import TrainResult
from anydet.training.build import build_components
from anydet.training.checkpoints.checkpoint import Checkpoint, save_checkpoint
from anydet.training.continual.methods import OpenTeacher, attach
from anydet.training.devices.processes import describe_device, open_processes
from anydet.training.hooks import TrainingHook
from anydet.training.loop import Loop
from anydet.training.lora.spec import merged
from anydet.training.lora_run import adapt
from anydet.training.numerics.rng import isolated_rng, seed_everything
from anydet.training.run import Run
from anydet.training.task import TrainingTask


def train(
    build: Callable[[Run], TrainingTask],
    run: Run,
    hooks: Sequence[TrainingHook] = (),
    *,
    open_teacher: OpenTeacher | None = None,
) -> TrainResult:
    """Train what ``build`` makes; afterwards the live model has the best weights (``restore_best``).

    The result's numbers are those of the validation that the best checkpoint was chosen by.

    Args:
        build: makes the task once the seeds are set, on the CPU; every process makes the same.
        run: data, settings and paths.
        hooks: called around steps and epochs, after those of the task.
        open_teacher: builds the model of a checkpoint, for self-distillation.

    Raises:
        TrainingError: the device is not available, the run cannot be resumed, or numbers went wrong.
        InterruptedTraining: a signal arrived; everything is saved.
        AnydetError: data or settings are not as they must be.
    """
    settings = run.settings
    with open_processes(settings) as processes:
        seed_everything(settings.seed)
        task = build(run)
        adapted = adapt(task, run)
        methods = attach(task, run, open_teacher)
        components = build_components(run, task, processes, (*adapted.hooks, *methods.losses, *hooks))
        loop = Loop(run, components)
        if settings.resume:
            loop.validation = components.checkpointer.restore(loop.progress)
        else:
            # weights were random with one seed, the same in all processes; dropout and the like differ
            seed_everything(settings.seed + processes.rank)
        with components.run_log as run_log:
            run_log.start(components.total_steps, loop.progress.step)
            run_log.message(
                f"{len(run.dataset)} images, {components.total_steps} steps "
                f"on {describe_device(processes.device)}"
                + (f", {processes.world} processes" if processes.world > 1 else "")
            )
            if task.first_weights is not None:
                run_log.message(task.first_weights.line)
            for line in (*adapted.lines, *methods.lines):
                run_log.message(line)
            loop.fit()
            best = components.checkpointer.read_best()
            if methods.losses:
                methods.hand_over(best, loop, run_log.message)
            run_log.artifact(run.paths.best)
        if settings.restore_best:
            task.weights.load_predicting_state(task.model, best.state, source=str(run.paths.best))
        if settings.merge_lora and processes.main:
            save_checkpoint(run.paths.merged, replace(best, lora=None, training=None))
    metrics = {name: value for name, value in best.metrics.items() if math.isfinite(value)}
    return TrainResult(str(run.paths.best), metrics)


def rehearse(
    build: Callable[[Run], TrainingTask], run: Run, *, open_teacher: OpenTeacher | None = None
) -> Checkpoint:
    """Build all that ``train`` builds before its first step, and take none; nothing is written.

    What a checkpoint, a teacher, LoRA or a method of continual learning refuses is found at once, where the
    training would begin hours later.

    Args:
        build: as for ``train``.
        run: as for ``train``.
        open_teacher: as for ``train``.

    Returns:
        The model as it would begin, as a checkpoint that another run can begin with.

    Raises ``AnydetError`` as ``train`` does before its first step.
    """
    with open_processes(run.settings) as processes, isolated_rng(run.settings.seed):
        task = build(run)
        adapted = adapt(task, run, write=False)
        methods = attach(task, run, open_teacher)
        build_components(run, task, processes, (*adapted.hooks, *methods.losses))
        weights, spec = task.weights.predicting_state(task.model), task.weights.lora
        plain = weights if spec is None else merged(weights, spec, source="the model")[0]
        return Checkpoint(run.adapter, plain, task.description(), task.classes.names)
