"""Average precision of detections that are right or wrong: of VOC, without COCO's 101 points."""

from __future__ import annotations

from collections.abc import Iterator

import numpy as np

from anydet.types import BoolArray, FloatArray, IntArray

_POINTS = 11


def ranked_classes(class_ids: IntArray, scores: FloatArray, classes: int) -> Iterator[IntArray]:
    """For each class its rows, by falling score; rows of equal scores keep their order."""
    order = np.lexsort((-scores, class_ids))
    borders = np.searchsorted(class_ids[order], np.arange(1, classes))
    yield from np.split(order, borders)


def area_under_curve(right: BoolArray, positives: int) -> float | None:
    """Average precision of VOC2010 and later: the area under falling precision; ``None`` of no positives.

    Source: ``VOCap.m`` of VOC's development kit; Everingham et al. 2015, "The Pascal Visual Object Classes
    Challenge: A Retrospective", section 3.

    Args:
        right: (N,) by falling score.
        positives: how many there are to find.
    """
    if not positives:
        return None
    return float(_best_precision(right).sum() / positives)


def eleven_points(right: BoolArray, positives: int) -> float | None:
    """Average precision of VOC2007: the mean of the best precision at recalls of at least 0, 0.1, ..., 1.

    Source: Everingham et al. 2010, "The Pascal Visual Object Classes (VOC) Challenge", equations 1 and 2.

    Args:
        right: (N,) by falling score.
        positives: how many there are to find.
    """
    if not positives:
        return None
    best = np.append(_best_precision(right), 0.0)
    # In integers: 3 / 10 is below 0.1 * 3 in floating point. `needed` hits are the fewest that suffice.
    needed = -(-np.arange(_POINTS) * positives // (_POINTS - 1))
    places = np.minimum(np.maximum(needed, 1) - 1, len(best) - 1)
    return float(best[places].mean())


def _best_precision(right: BoolArray) -> FloatArray:
    """(H,) for each hit the best precision from its rank on."""
    hits = np.flatnonzero(right)
    # Precision rises only at hits, so that its maximum from any rank on is at one of them.
    precision = np.arange(1, len(hits) + 1) / (hits + 1)
    return np.maximum.accumulate(precision[::-1])[::-1]


def mean_of(values: list[float | None]) -> float | None:
    """The mean of those that there are."""
    known = [value for value in values if value is not None]
    return sum(known) / len(known) if known else None
