"""Places in the loop where others take part."""

from __future__ import annotations

from collections.abc import Mapping
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from anydet.training.loop import Loop


class TrainingHook:
    """Something that happens around steps and epochs; override what you need.

    Attributes:
        name: under which its state is kept in checkpoints; a hook without state needs none.
    """

    name: str = ""

    def before_epoch(self, loop: Loop) -> None:
        """Before the first batch of an epoch, or of what is left of one after ``--resume``."""

    def before_step(self, loop: Loop) -> None:
        """Before the forward pass of an optimizer step."""

    def after_step(self, loop: Loop) -> None:
        """After an optimizer step; ``loop.metrics`` has its numbers. Not called for skipped ones."""

    def after_epoch(self, loop: Loop) -> None:
        """After an epoch, validation included."""

    def state_dict(self) -> Mapping[str, Any]:
        """What must survive ``--resume``: tensors, numbers, text, lists, dictionaries."""
        return {}

    def load_state_dict(self, state: Mapping[str, Any]) -> None:
        """Go on from what ``state_dict`` gave."""
