"""``TrainingHook``: code that runs around the steps and epochs of a training loop."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any, Protocol

from anydet.training.progress import Progress
from anydet.training.run import Run
from anydet.training.task import TrainingTask


class LoopState(Protocol):
    """What a hook may see of the loop that calls it; a small border, so that the loop may change."""

    @property
    def run(self) -> Run:
        """Data, settings and paths."""

    @property
    def task(self) -> TrainingTask:
        """The model, its batches and losses."""

    @property
    def progress(self) -> Progress:
        """Epochs and steps so far."""

    @property
    def metrics(self) -> Mapping[str, float]:
        """Numbers of the last step: losses, learning rate, gradient norm, times."""

    @property
    def validation(self) -> Mapping[str, float]:
        """Numbers of the last validation."""


class TrainingHook:
    """Something that happens around steps and epochs; override what you need.

    Attributes:
        name: under which its state is kept in checkpoints; a hook without state needs none.
    """

    name: str = ""

    def before_epoch(self, loop: LoopState) -> None:
        """Before the first batch of an epoch, or of what is left of one after ``--resume``."""

    def before_step(self, loop: LoopState) -> None:
        """Before the forward pass of an optimizer step."""

    def after_step(self, loop: LoopState) -> None:
        """After an optimizer step; ``loop.metrics`` has its numbers. Not called for skipped ones."""

    def after_epoch(self, loop: LoopState) -> None:
        """After an epoch, validation included."""

    def state_dict(self) -> Mapping[str, Any]:
        """What must survive ``--resume``: tensors, numbers, text, lists, dictionaries."""
        return {}

    def load_state_dict(self, state: Mapping[str, Any]) -> None:
        """Go on from what ``state_dict`` gave."""
