"""Confusion counts of anything that is one of K classes, and the rates that come of them."""

from __future__ import annotations

from collections.abc import Sequence
from typing import TYPE_CHECKING

import numpy as np

from anydet.dataclass import dataclass
from anydet.evaluation.tables import Table
from anydet.types import FloatArray, IntArray

if TYPE_CHECKING:
    from typing_extensions import Self

NOTHING = "nothing"
"""Heading of the column of what was given none of the classes."""


@dataclass(frozen=True, slots=True, eq=False)
class Confusion:
    """How often each true class was taken for which.

    Rates are NaN where nothing was there to measure; means leave those out and are ``None`` where all are.

    Attributes:
        counts: (K, K + 1) int64, true by predicted class; the last column is "none of them".
    """

    counts: IntArray

    @classmethod
    def empty(cls, classes: int) -> Self:
        """Nothing counted yet."""
        return cls(np.zeros((classes, classes + 1), np.int64))

    @classmethod
    def of(cls, true: IntArray, predicted: IntArray, classes: int) -> Self:
        """Counts of pairs; a true -1 is unknown and left out, a predicted -1 is "none of them"."""
        known = true >= 0
        columns = np.where(predicted[known] < 0, classes, predicted[known])
        flat = np.bincount(true[known] * (classes + 1) + columns, minlength=classes * (classes + 1))
        return cls(flat.reshape(classes, classes + 1).astype(np.int64))

    def plus(self, other: Self) -> Self:
        """The sums, over as many classes as the longer one has."""
        classes = max(len(self.counts), len(other.counts))
        return type(self)(self.grown(classes).counts + other.grown(classes).counts)

    def grown(self, classes: int) -> Self:
        """The same with more classes, none of which ever occurred."""
        known = len(self.counts)
        counts = np.zeros((classes, classes + 1), np.int64)
        counts[:known, :known], counts[:known, -1] = self.counts[:, :-1], self.counts[:, -1]
        return type(self)(counts)

    @property
    def true(self) -> IntArray:
        """(K,) how often each class was true."""
        true: IntArray = self.counts.sum(axis=1)
        return true

    @property
    def predicted(self) -> IntArray:
        """(K,) how often each class was predicted."""
        predicted: IntArray = self.counts[:, :-1].sum(axis=0)
        return predicted

    @property
    def hits(self) -> IntArray:
        """(K,) how often each class was predicted rightly."""
        return np.diagonal(self.counts)

    @property
    def recall(self) -> FloatArray:
        """(K,) right ones of the true ones."""
        return _ratio(self.hits, self.true)

    @property
    def precision(self) -> FloatArray:
        """(K,) right ones of the predicted ones."""
        return _ratio(self.hits, self.predicted)

    @property
    def f1(self) -> FloatArray:
        """(K,) 2 TP / (2 TP + FP + FN), which of pixels is called Dice."""
        return _ratio(2 * self.hits, self.true + self.predicted)

    @property
    def iou(self) -> FloatArray:
        """(K,) TP / (TP + FP + FN)."""
        return _ratio(self.hits, self.true + self.predicted - self.hits)

    @property
    def accuracy(self) -> float | None:
        """Right ones of all."""
        return mean(_ratio(self.hits.sum(keepdims=True), self.true.sum(keepdims=True)))

    @property
    def majority(self) -> float | None:
        """The accuracy of always saying the class that is true most often."""
        return mean(_ratio(self.true.max(keepdims=True, initial=0), self.true.sum(keepdims=True)))

    @property
    def balanced_accuracy(self) -> float | None:
        """Mean recall over the classes that were true at least once."""
        return mean(self.recall)

    @property
    def macro_f1(self) -> float | None:
        """Mean F1 over the classes that were true or predicted at least once."""
        return mean(self.f1)

    def table(self, title: str, names: Sequence[str]) -> Table:
        """The counts, true classes downwards; "nothing" is only there where something was taken for it."""
        columns = self.counts if self.counts[:, -1].any() else self.counts[:, :-1]
        header = ("true", *(*names, NOTHING)[: columns.shape[1]])
        rows = zip(names, columns.tolist(), strict=True)
        return Table(title, header, tuple((name, *row) for name, row in rows))

    def rates(self, title: str, names: Sequence[str], of: str = "class") -> Table:
        """Each class with its counts, precision, recall, F1 and IoU."""
        rates = (cells(rate) for rate in (self.precision, self.recall, self.f1, self.iou))
        columns = (names, self.true.tolist(), self.predicted.tolist(), *rates)
        header = (of, "true", "predicted", "precision", "recall", "F1", "IoU")
        return Table(title, header, tuple(zip(*columns, strict=True)))


def mean(values: FloatArray) -> float | None:
    """The mean without NaN; ``None`` where there is nothing else."""
    known = values[~np.isnan(values)]
    return float(np.mean(known)) if len(known) else None


def cells(values: FloatArray) -> tuple[float | None, ...]:
    """Numbers as a table takes them."""
    return tuple(None if np.isnan(value) else value for value in values.tolist())


def _ratio(counts: IntArray, whole: IntArray) -> FloatArray:
    ratio: FloatArray = np.divide(counts, whole, out=np.full(counts.shape, np.nan), where=whole > 0)
    return ratio
