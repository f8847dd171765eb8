"""``Subject``: a task with batches of its data, which every check leaves as it found it."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass
from itertools import chain

import msgspec
import torch
from torch import Tensor, nn

from anydet.training.batches.loading import LoadedBatch
from anydet.training.config.settings import TrainSettings
from anydet.training.devices.processes import Processes
from anydet.training.numerics.rng import isolated_rng
from anydet.training.optim.optimizer import build_optimizer
from anydet.training.run import Run
from anydet.training.stepping import Stepper
from anydet.training.task import StepOutput, TrainingTask


@dataclass(frozen=True, slots=True, eq=False)
class Subject:
    """What is examined.

    Attributes:
        run: settings and data.
        task: whose model is on the device of ``processes``.
        processes: device and precision.
        batches: the first training batches, on the CPU; at least one.
    """

    run: Run
    task: TrainingTask
    processes: Processes
    batches: Sequence[LoadedBatch]

    @property
    def settings(self) -> TrainSettings:
        """The engine's keys."""
        return self.run.settings

    def forward(self, loaded: LoadedBatch | None = None) -> StepOutput:
        """The task's step on a batch, the first by default, in the run's precision; always the same draws."""
        batch = self.processes.to_device((loaded or self.batches[0]).batch)
        with isolated_rng(self.settings.seed), self.processes.accelerator.autocast():
            return self.task.step(batch)

    def loss(self, loaded: LoadedBatch | None = None) -> float:
        """The scalar that is minimized, without gradients."""
        with torch.no_grad():
            return float(self.forward(loaded).loss)

    def stepper(self, **changes: object) -> SubjectStepper:
        """The engine's own steps with a fresh optimizer; ``changes`` are to the settings."""
        return SubjectStepper(self, msgspec.structs.replace(self.settings, **changes))


class SubjectStepper:
    """Optimizer steps on a subject at given rates, guards and clipping included."""

    def __init__(self, subject: Subject, settings: TrainSettings) -> None:
        self._optimizer = build_optimizer(subject.task, settings)
        self._multipliers = [group["lr"] / settings.lr for group in self._optimizer.param_groups]
        self._stepper = Stepper(subject.task, settings, subject.processes, self._optimizer, None)

    def take(self, loaded: LoadedBatch, learning_rate: float) -> dict[str, float]:
        """One step; raises ``StepRejected`` as the engine's."""
        for group, multiplier in zip(self._optimizer.param_groups, self._multipliers, strict=True):
            group["lr"] = learning_rate * multiplier
        return self._stepper.take([loaded])


@contextmanager
def as_found(model: nn.Module) -> Iterator[None]:
    """Weights, buffers, gradients, modes and place of a model are afterwards what they were.

    Within, the model is in training mode and has no gradients.
    """
    tensors = list(chain(model.parameters(), model.buffers()))
    kept = [tensor.detach().clone() for tensor in tensors]
    gradients = [parameter.grad for parameter in model.parameters()]
    modes = [(module, module.training) for module in model.modules()]
    model.zero_grad(set_to_none=True)
    model.train()
    try:
        yield
    finally:
        _copy(kept, tensors)
        for module, mode in modes:
            module.training = mode
        for parameter, gradient in zip(model.parameters(), gradients, strict=True):
            parameter.grad = gradient


@torch.no_grad()
def _copy(sources: Sequence[Tensor], targets: Sequence[Tensor]) -> None:
    for source, target in zip(sources, targets, strict=True):
        target.copy_(source)
