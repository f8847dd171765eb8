"""``TrainingHook``: code that runs around a training loop; ``Observed``: what those see who only observe."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from copy import deepcopy
from dataclasses import replace
from functools import cached_property
from typing import Any, Protocol

from torch import nn

from anydet.training.devices.processes import Processes
from anydet.training.progress import Progress
from anydet.training.run import Run


class LoopState(Protocol):
    """What hooks and observers see of the loop; a small border, so that the loop may change.

    Hooks take part in the training: model, processes and progress are the loop's own, and
    metrics cannot be changed. Observers get ``Observed``.
    """

    @property
    def run(self) -> Run:
        """Data, settings and paths."""

    @property
    def model(self) -> nn.Module:
        """The live model, on its device."""

    @property
    def processes(self) -> Processes:
        """This process and those it trains with."""

    @property
    def progress(self) -> Progress:
        """Epochs and steps so far."""

    @property
    def keys(self) -> Sequence[str]:
        """Keys of the images of the last step, of this process."""

    @property
    def metrics(self) -> Mapping[str, float]:
        """Numbers of the last step: losses, learning rate, gradient norm, times."""

    @property
    def validation(self) -> Mapping[str, float]:
        """Numbers of the last validation."""


class Observed:
    """A ``LoopState`` of copies: what observers change of it changes no training, checkpoint or metrics.

    Args:
        loop: what is observed, at the moment.

    Attributes:
        processes: those of the loop itself; collective operations must be called by all of them.
    """

    def __init__(self, loop: LoopState) -> None:
        self._loop = loop
        self.processes = loop.processes

    @cached_property
    def run(self) -> Run:
        """The run, with options of its own; the data sets are those that are trained on."""
        run = self._loop.run
        return replace(run, options=deepcopy(dict(run.options)), origins=dict(run.origins))

    @cached_property
    def model(self) -> nn.Module:
        """A copy of the model as it is now, made when it is first looked at, on its device."""
        return deepcopy(self._loop.model)

    @property
    def progress(self) -> Progress:
        """Epochs and steps so far."""
        return replace(self._loop.progress)

    @property
    def keys(self) -> Sequence[str]:
        """Keys of the images of the last step."""
        return tuple(self._loop.keys)

    @property
    def metrics(self) -> Mapping[str, float]:
        """Numbers of the last step."""
        return dict(self._loop.metrics)

    @property
    def validation(self) -> Mapping[str, float]:
        """Numbers of the last validation."""
        return dict(self._loop.validation)


class TrainingHook:
    """Something that happens around steps and epochs; override what you need.

    All processes of a run call it at the same places.

    Attributes:
        name: under which its state is kept in checkpoints; a hook without state needs none.
    """

    name: str = ""

    def before_train(self, loop: LoopState) -> None:
        """Once, before the first step; with ``--resume`` after weights and states are loaded."""

    def before_epoch(self, loop: LoopState) -> None:
        """Before the first batch of an epoch, or of what is left of one after ``--resume``."""

    def before_step(self, loop: LoopState) -> None:
        """Before the forward pass of an optimizer step."""

    def before_update(self, loop: LoopState) -> None:
        """Before the optimizer moves the weights.

        ``grad`` of the parameters is finite, the mean over batches and processes, and not yet clipped. Not
        called for skipped steps.
        """

    def after_step(self, loop: LoopState) -> None:
        """After an optimizer step; ``loop.metrics`` has its numbers. Not called for skipped ones."""

    def after_epoch(self, loop: LoopState) -> None:
        """After an epoch, validation included."""

    def after_train(self, loop: LoopState) -> None:
        """Once, after the last step and validation, with the last weights.

        The last checkpoint is written afterwards, with the state that the hook has then. Not called where a
        signal or an error ends the run.
        """

    def state_dict(self) -> Mapping[str, Any]:
        """What must survive ``--resume``: tensors, numbers, text, lists, dictionaries."""
        return {}

    def load_state_dict(self, state: Mapping[str, Any]) -> None:
        """Go on from what ``state_dict`` gave; tensors are on the model's device."""
