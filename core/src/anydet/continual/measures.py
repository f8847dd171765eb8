"""Numbers of a matrix R, where R[i, j] is AP on task j after training on task i.

Average and backward transfer are those of Lopez-Paz & Ranzato 2017 ("Gradient Episodic Memory for Continual
Learning", section 2), with AP in place of accuracy; forgetting is that of Chaudhry et al. 2018 ("Riemannian
Walk for Incremental Learning", section 3.2). All take (..., T, T) arrays, so that resampled matrices are
measured at once; NaN is a number that is not known.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import dataclass
from typing import Any

import numpy as np

from anydet.evaluation.analysis.bootstrap import spread
from anydet.types import FloatArray


def average(matrix: FloatArray) -> FloatArray:
    """Mean over tasks after the last one: ACC = 1/T sum_j R[T, j]."""
    found: FloatArray = matrix[..., -1, :].mean(axis=-1)
    return found


def learned(matrix: FloatArray) -> FloatArray:
    """Mean over tasks of AP right after each was learned: 1/T sum_j R[j, j]."""
    found: FloatArray = _diagonal(matrix).mean(axis=-1)
    return found


def backward_transfer(matrix: FloatArray) -> FloatArray:
    """What later tasks change: BWT = 1/(T-1) sum_{j<T} R[T, j] - R[j, j]; below 0 where they do harm.

    NaN of a single task.
    """
    change = matrix[..., -1, :-1] - _diagonal(matrix)[..., :-1]
    return _mean(change)


def forgetting(matrix: FloatArray) -> FloatArray:
    """What was lost of the best: F = 1/(T-1) sum_{j<T} max_{l<T} R[l, j] - R[T, j]; NaN of a single task."""
    best = np.fmax.reduce(matrix[..., :-1, :-1], axis=-2, initial=-np.inf)
    best = np.where(np.isinf(best), np.nan, best)
    return _mean(best - matrix[..., -1, :-1])


MEASURES: Mapping[str, Callable[[FloatArray], FloatArray]] = {
    "average AP": average,
    "learned AP": learned,
    "backward transfer": backward_transfer,
    "forgetting": forgetting,
}
"""In the order of the tables."""
CHANGES = frozenset({"backward transfer", "forgetting"})
"""Those that are differences of AP, -1 to 1; the others are AP, 0 to 1."""


@dataclass(frozen=True, slots=True)
class Measured:
    """A number over seeds; ``None`` where it is not known.

    Attributes:
        value: mean over seeds.
        low: lower end of its interval over images: seeds have the same draws, of whose means it is.
        high: upper end.
        seeds: value of each seed.
        deviation: sample standard deviation of these; ``None`` of a single seed.
        left_out: resamples that have no number, as no object of a class was drawn; the interval is without
            them.
    """

    value: float | None
    low: float | None
    high: float | None
    seeds: tuple[float | None, ...]
    deviation: float | None
    left_out: int = 0

    @classmethod
    def of(
        cls, values: FloatArray, draws: FloatArray | None, level: float, *, least: float = -1.0
    ) -> Measured:
        """The number of (S,) values and their (S, B) resamples; none of them give no interval.

        Args:
            values: one a seed.
            draws: of each seed, on the same draws of images, or ``None``.
            level: how much of the resamples the interval holds.
            least: what the number is at least; at most it is 1.
        """
        known = not np.isnan(values).any()
        value = float(values.mean()) if known else None
        means = None if draws is None or value is None else draws.mean(axis=0)
        ends = None if means is None else spread(means, level)
        return cls(
            value,
            None if ends is None or value is None else max(value + ends[0], least),
            None if ends is None or value is None else min(value + ends[1], 1.0),
            tuple(None if np.isnan(one) else float(one) for one in values),
            float(values.std(ddof=1)) if known and len(values) > 1 else None,
            0 if means is None else int(np.isnan(means).sum()),
        )

    @property
    def text(self) -> str:
        """``0.412 [0.380, 0.441]``, with the deviation of seeds behind it where there is one."""
        if self.value is None:
            return "n/a"
        ends = "" if self.low is None or self.high is None else f" [{_shown(self.low)}, {_shown(self.high)}]"
        deviation = "" if self.deviation is None else f" sd {_shown(self.deviation)}"
        return f"{_shown(self.value)}{ends}{deviation}"

    def as_dict(self) -> dict[str, Any]:
        """The fields."""
        return {
            "value": self.value,
            "low": self.low,
            "high": self.high,
            "seeds": list(self.seeds),
            "deviation": self.deviation,
            "left_out": self.left_out,
        }


def _diagonal(matrix: FloatArray) -> FloatArray:
    return np.diagonal(matrix, axis1=-2, axis2=-1)


def _mean(values: FloatArray) -> FloatArray:
    """Means over the last axis; NaN of none, without numpy's warning."""
    found: FloatArray = values.mean(axis=-1) if values.shape[-1] else np.full(values.shape[:-1], np.nan)
    return found


def _shown(value: float) -> str:
    """Three decimals, without the sign of a negative zero."""
    return f"{round(value, 3) + 0.0:.3f}"
