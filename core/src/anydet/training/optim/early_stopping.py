"""``BestTracker``: which validation was the best, and whether it is time to stop."""

from __future__ import annotations

import math
from collections.abc import Mapping
from typing import Literal


def lower_is_better(metric: str) -> bool:
    """Whether a metric of this name falls as the model gets better: losses and errors do."""
    return any(word in metric.lower() for word in ("loss", "error"))


class BestTracker:
    """Follows one metric over the validations of a run.

    Any progress makes a new best, so the best checkpoint is the best one. Patience requires more: progress
    by more than ``min_delta`` over the value that last restarted it.

    Args:
        metric: its name, which gives the direction of improvement where ``mode`` does not.
        mode: ``min`` or ``max``.
        patience: validations without progress before it is time to stop; 0 never stops.
        min_delta: smaller progress does not count for patience.

    Attributes:
        best: value, or ``None`` before the first finite one.
        best_step: step of it.
    """

    def __init__(
        self,
        metric: str,
        mode: Literal["min", "max"] | None = None,
        patience: int = 0,
        min_delta: float = 0.0,
    ) -> None:
        self.metric = metric
        self.mode = mode or ("min" if lower_is_better(metric) else "max")
        self.patience = patience
        self.min_delta = min_delta
        self.best: float | None = None
        self.best_step: int | None = None
        self._reference: float | None = None
        self._waited = 0

    @property
    def should_stop(self) -> bool:
        """Whether patience has run out."""
        return 0 < self.patience <= self._waited

    def update(self, value: float, step: int) -> bool:
        """Take a validation's value; whether it is the best so far. NaN and infinity never are."""
        if self._better(value, self._reference, self.min_delta):
            self._reference, self._waited = value, 0
        else:
            self._waited += 1
        if not self._better(value, self.best, 0.0):
            return False
        self.best, self.best_step = value, step
        return True

    def state_dict(self) -> dict[str, int | float | None]:
        """Where it stands; plain numbers."""
        return {
            "best": self.best,
            "best_step": self.best_step,
            "reference": self._reference,
            "waited": self._waited,
        }

    def load_state_dict(self, state: Mapping[str, int | float | None]) -> None:
        """Go on from ``state_dict``."""
        self.best, self._reference = state["best"], state["reference"]
        self.best_step = None if state["best_step"] is None else int(state["best_step"])
        self._waited = int(state["waited"] or 0)

    def _better(self, value: float, than: float | None, by: float) -> bool:
        if not math.isfinite(value):
            return False
        if than is None:
            return True
        return (than - value if self.mode == "min" else value - than) > by
