"""``Finding``: a step at which two adapters differ, what it does, and how that is known."""

from __future__ import annotations

from typing import Literal, TypeAlias

from anydet.dataclass import dataclass

Step: TypeAlias = Literal[
    "pixels",
    "resize",
    "letterbox",
    "channels",
    "normalization",
    "model",
    "precision",
    "activation",
    "boxes",
    "nms",
    "threshold",
    "classes",
    "rounding",
    "scores",
    "masks",
    "keypoints",
    "poses",
    "states",
]
"""Steps of a prediction, as findings name them."""


@dataclass(frozen=True, slots=True)
class Finding:
    """A step at which B differs from A.

    Attributes:
        step: which one.
        cause: what B does differently.
        evidence: the numbers that show it.
        certain: whether undoing it makes both equal; else it is the closest of what is known.
    """

    step: Step
    cause: str
    evidence: str
    certain: bool = True

    def as_dict(self) -> dict[str, str | bool]:
        """The fields."""
        return {
            "step": self.step,
            "cause": self.cause,
            "evidence": self.evidence,
            "certain": self.certain,
        }
