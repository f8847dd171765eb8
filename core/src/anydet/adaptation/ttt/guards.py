"""Guard rails: what a step may do to a model, and when its predictions have collapsed."""

from __future__ import annotations

import math
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass, field

import numpy as np
import torch
from torch import Tensor

from anydet.types import ImagePredictions, IntArray


@dataclass(frozen=True, slots=True, kw_only=True)
class Limits:
    """What a step may do. A step beyond one of them is taken back.

    Attributes:
        max_step_norm: L2 norm of a batch's change of the parameters, relative to that of the parameters.
        max_total_norm: the same of the change since the start.
        max_statistics_norm: the same of norm statistics.
        max_loss_ratio: loss over the mean loss of the batches before.
        max_loss_increase: increase of the loss over the steps of one batch, relative to its first loss.
        max_rollbacks: batches in a row that may be taken back before adaptation stops.
    """

    max_step_norm: float
    max_total_norm: float
    max_statistics_norm: float
    max_loss_ratio: float
    max_loss_increase: float
    max_rollbacks: int

    def broken(self, step: Mapping[str, float]) -> str | None:
        """The limit that a batch breaks, of its numbers by name; ``None`` where it breaks none."""
        if not all(map(math.isfinite, step.values())):
            return "non_finite"
        limits = {
            "step_norm": self.max_step_norm,
            "total_norm": self.max_total_norm,
            "statistics_norm": self.max_statistics_norm,
            "loss_ratio": self.max_loss_ratio,
            "loss_increase": self.max_loss_increase,
        }
        return next((name for name, most in limits.items() if step.get(name, 0.0) > most), None)


def relative_norm(before: Mapping[str, Tensor], after: Mapping[str, Tensor], base: float) -> float:
    """L2 norm of a change over ``base``; 0 where nothing changed, whatever the base."""
    change = _norm([after[name].detach() - value for name, value in before.items()])
    return change / base if change else 0.0


def norm_of(tensors: Iterable[Tensor]) -> float:
    """L2 norm of all numbers together."""
    return _norm([tensor.detach() for tensor in tensors])


def _norm(tensors: Sequence[Tensor]) -> float:
    norms = torch._foreach_norm([tensor.float() for tensor in tensors]) if tensors else []
    return math.sqrt(sum(float(norm) ** 2 for norm in norms))


@dataclass(slots=True)
class Collapse:
    """Confident detections of the adapted model against those of the unadapted one.

    A model that minimizes entropy can end in one class for everything, in detections everywhere, or in none.
    Counts of the last checks are added up, since a few images tell little.

    Attributes:
        classes: number of classes.
        confidence: lowest score of a confident detection.
        fewest: detections of the unadapted model, below which nothing is judged.
        least_ratio: adapted over unadapted detections; fewer is a collapse.
        most_ratio: likewise; more is one.
        most_drift: total variation distance of the two class distributions, in 0..1; more is one.
    """

    classes: int
    confidence: float = 0.3
    fewest: int = 10
    least_ratio: float = 0.3
    most_ratio: float = 10.0
    most_drift: float = 0.5
    _recent: list[tuple[IntArray, IntArray]] = field(default_factory=list)

    def reset(self) -> None:
        """Forget all checks so far."""
        self._recent.clear()

    def check(
        self, adapted: Sequence[ImagePredictions], unadapted: Sequence[ImagePredictions]
    ) -> tuple[str | None, dict[str, float]]:
        """What is beyond its limit ("detection_ratio", "class_drift") or ``None``, and both numbers."""
        self._recent = [*self._recent[-2:], (self._count(adapted), self._count(unadapted))]
        now, before = (np.sum([pair[i] for pair in self._recent], axis=0) for i in (0, 1))
        ratio = float(now.sum() / max(1, before.sum()))
        drift = 0.5 * float(np.abs(now / max(1, now.sum()) - before / max(1, before.sum())).sum())
        numbers = {"detection_ratio": ratio, "class_drift": drift if now.sum() else 0.0}
        fewer = before.sum() >= self.fewest and ratio < self.least_ratio
        # Against the floor, too: of next to none, ten times as many are still few.
        more = now.sum() > self.most_ratio * max(self.fewest, before.sum())
        if fewer or more:
            return "detection_ratio", numbers
        # Of few detections the distribution is too uncertain.
        judged = min(now.sum(), before.sum()) >= 4 * self.fewest
        return ("class_drift" if judged and drift > self.most_drift else None), numbers

    def _count(self, predictions: Sequence[ImagePredictions]) -> IntArray:
        confident = [p.class_ids[p.scores >= self.confidence] for p in predictions]
        counts = [np.bincount(ids.astype(np.int64), minlength=self.classes) for ids in confident]
        return np.sum(counts, axis=0, dtype=np.int64) if counts else np.zeros(self.classes, np.int64)
