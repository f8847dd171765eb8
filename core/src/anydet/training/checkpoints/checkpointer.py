"""``Checkpointer``: writes the checkpoints of a run and goes on from them."""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from contextlib import AbstractContextManager, contextmanager, nullcontext
from dataclasses import asdict, dataclass, fields
from typing import Any

from torch import Tensor
from torch.optim import Optimizer

from anydet.errors import AnydetError, TrainingError
from anydet.outputs import remove_leftovers
from anydet.training.checkpoints.checkpoint import (
    Checkpoint,
    load_checkpoint,
    save_adapter_only,
    save_checkpoint,
)
from anydet.training.devices.processes import Processes
from anydet.training.hooks import TrainingHook
from anydet.training.lora.spec import merged
from anydet.training.numerics.rng import restore_rng, rng_state
from anydet.training.optim.early_stopping import BestTracker
from anydet.training.optim.ema import Ema
from anydet.training.optim.schedule import Schedule
from anydet.training.progress import Progress
from anydet.training.run import Run
from anydet.training.task import TrainingTask


@dataclass(eq=False)
class Checkpointer:
    """Everything of a run that must survive its process.

    Attributes:
        run: has the paths.
        task: has the model, and which of its tensors are saved.
        processes: each has random states of its own; the main one writes.
        optimizer, schedule, best: kept with the weights.
        ema: kept with the weights, and what predicts with ``ema_eval``; or ``None``.
        hooks: those with a name are kept.
        fingerprint: of the training images, so that a run goes on with the same ones.
        saved_step: of this run's last checkpoint, ``None`` before the first.
    """

    run: Run
    task: TrainingTask
    processes: Processes
    optimizer: Optimizer
    schedule: Schedule
    best: BestTracker
    ema: Ema | None
    hooks: Sequence[TrainingHook]
    fingerprint: str
    saved_step: int | None = None

    def as_predicted(self) -> AbstractContextManager[None]:
        """The live model with the weights that ``predict`` will have: the average's with ``ema_eval``."""
        average = self._average
        return average.applied(self.task.model) if average else nullcontext()

    def save_last(self, progress: Progress, metrics: Mapping[str, float]) -> None:
        """Write what the run needs to go on; every process takes part."""
        # Outside the branch of the main process: gathering is a collective operation.
        randomness = self.processes.gather([rng_state()])
        if self.processes.main:
            training = {
                "model": self.task.weights.training_state(self.task.model),
                "optimizer": self.optimizer.state_dict(),
                "schedule": self.schedule.state_dict(),
                "scaler": self._scaler_state(),
                "ema": self.ema.state_dict() if self.ema else None,
                "best": self.best.state_dict(),
                "progress": asdict(progress),
                "hooks": {hook.name: dict(hook.state_dict()) for hook in self.hooks if hook.name},
                "rng": randomness,
                "batch_size": self.run.settings.batch_size,
                "data": self.fingerprint,
            }
            save_checkpoint(self.run.paths.last, self._checkpoint(progress, metrics, training))
        self.saved_step = progress.step

    def save_best(self, progress: Progress, metrics: Mapping[str, float]) -> None:
        """Write what ``predict`` loads."""
        if self.processes.main:
            best = self._checkpoint(progress, metrics, None)
            save_checkpoint(self.run.paths.best, best)
            if best.lora is not None and best.lora.spec.base is not None:
                save_adapter_only(self.run.paths.adapter_only, best)

    def read_best(self) -> Checkpoint:
        """The best checkpoint, once the main process has written it."""
        self.processes.accelerator.wait_for_everyone()
        return load_checkpoint(self.run.paths.best, device=self.processes.device)

    def put_back(self) -> str:
        """Load this run's last checkpoint, if any, into the live model; returns a message."""
        if self.saved_step is None:
            return "no checkpoint was written yet, so that the model is as it was left"
        last = load_checkpoint(self.run.paths.last, device=self.processes.device)
        self.task.weights.load_predicting_state(self.task.model, last.state, source=str(self.run.paths.last))
        return f"the model has its weights of step {self.saved_step} again, as in {self.run.paths.last}"

    def restore(self, progress: Progress) -> dict[str, float]:
        """Go on from the last checkpoint: fills in ``progress``, gives the last validation's numbers.

        Raises ``TrainingError`` where it is another run's, or was written by another number of processes.
        """
        path = self.run.paths.last
        if self.processes.main:
            for written in (path, self.run.paths.best):
                remove_leftovers(written)
        checkpoint = load_checkpoint(path, device=self.processes.device)
        training = self._resumable(checkpoint)
        self.task.weights.load_training_state(self.task.model, training["model"], source=str(path))
        with self._fitting("the optimizer"):
            self.optimizer.load_state_dict(training["optimizer"])
        # After the optimizer, whose state brings rates of its own.
        with self._fitting("the schedule"):
            self.schedule.load_state_dict(training["schedule"])
        with self._fitting("the average of weights"):
            if self.ema:
                self.ema.load_state_dict(training["ema"])
        with self._fitting("the loss scale"):
            if self.processes.accelerator.scaler and training["scaler"]:
                self.processes.accelerator.scaler.load_state_dict(training["scaler"])
        with self._fitting("the best validation"):
            self.best.load_state_dict(training["best"])
        for hook in self.hooks:
            if hook.name in training["hooks"]:
                with self._fitting(f"the training hook {hook.name!r}"):
                    hook.load_state_dict(training["hooks"][hook.name])
        for field in fields(progress):
            # A field that an older version did not write keeps its default.
            setattr(progress, field.name, training["progress"].get(field.name, field.default))
        progress.stopped_early = self.best.should_stop
        self.saved_step = progress.step
        # Last: loading may draw random numbers itself.
        with self._fitting("random numbers"):
            restore_rng(_on_cpu(training["rng"][self.processes.rank]))
        return dict(checkpoint.metrics)

    @contextmanager
    def _fitting(self, what: str) -> Iterator[None]:
        """Around the loading of a state: whatever one of another shape leads to is one error."""
        try:
            yield
        except AnydetError:
            raise
        except Exception as exc:  # torch's, and those of hooks
            raise TrainingError(
                f"{self.run.paths.last}: its state of {what} does not fit this run ({type(exc).__name__})",
                fix="resume with the settings, data and plugins that the run began with, or start a new run "
                f"with --checkpoint {self.run.paths.last}",
            ) from exc

    def _resumable(self, checkpoint: Checkpoint) -> Mapping[str, Any]:
        path, training, settings = self.run.paths.last, checkpoint.training, self.run.settings
        if training is None:
            raise TrainingError(f"{path}: holds weights only", fix="start a new run with --checkpoint")
        checkpoint.check_adapter(self.run.adapter)
        wrong = [key for key, kind in _PARTS.items() if not isinstance(training.get(key, ...), kind)]
        if wrong:
            raise TrainingError(
                f"{path}: cannot be resumed from: its part 'training' has no valid {wrong[0]!r}",
                fix=f"start a new run with --checkpoint {path}",
            )
        if training["data"] != self.fingerprint:
            raise TrainingError(
                f"{path}: was trained on other images or annotations than {self.run.dataset.root} has now",
                fix="start a new run with --checkpoint, or put the data back",
            )
        then = len(training["rng"]), training["batch_size"]
        now = self.processes.world, settings.batch_size
        if then != now:
            raise TrainingError(
                f"{path}: was written by {then[0]} processes with batch size {then[1]}, "
                f"these are {now[0]} with {now[1]}",
                fix=f"resume with --batch-size {then[1]} and torchrun --nproc-per-node {then[0]}",
            )
        return training

    def _checkpoint(
        self, progress: Progress, metrics: Mapping[str, float], training: Mapping[str, Any] | None
    ) -> Checkpoint:
        source, spec = str(self.run.paths.root), self.task.weights.lora
        weights, lora = self._weights(), None
        if spec is not None:
            weights, lora = merged(weights, spec, source=source)
        return Checkpoint(
            self.run.adapter,
            weights,
            self.task.description(),
            self.task.classes.names,
            progress.step,
            metrics,
            training,
            lora=lora,
        )

    def _weights(self) -> dict[str, Tensor]:
        average = self._average
        return average.weights() if average else self.task.weights.predicting_state(self.task.model)

    @property
    def _average(self) -> Ema | None:
        return self.ema if self.run.settings.ema_eval else None

    def _scaler_state(self) -> dict[str, Any] | None:
        scaler = self.processes.accelerator.scaler
        return None if scaler is None else dict(scaler.state_dict())


_PARTS: Mapping[str, type | tuple[type, ...]] = {
    **dict.fromkeys(("model", "optimizer", "schedule", "best", "progress", "hooks"), dict),
    **dict.fromkeys(("scaler", "ema"), (dict, type(None))),
    "rng": list,
    "batch_size": int,
    "data": str,
}
"""What ``save_last`` writes for a run to go on."""


def _on_cpu(state: Any) -> Any:
    """Random states are tensors of the CPU's, wherever a checkpoint was loaded to."""
    if isinstance(state, Tensor):
        return state.cpu()
    if isinstance(state, dict):
        return {key: _on_cpu(value) for key, value in state.items()}
    return [_on_cpu(value) for value in state] if isinstance(state, list) else state
