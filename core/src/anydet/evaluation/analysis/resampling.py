"""Curves of one class on resampled images: what a bootstrap does a thousand times, in numpy.

A resample draws as many images as there are, with replacement; an image drawn k times counts k times. Only
true positives move a precision-recall curve up, so the curve is looked at where they stand and nowhere else:
false positives enter as running sums of the weights of their images. An engine may bring a faster function of
the same signature (``resampler``); it gives the same bits, because sums are taken in the same order.
"""

from __future__ import annotations

from collections.abc import Iterator
from typing import Protocol

import numpy as np
from numpy.typing import NDArray

from anydet.dataclass import dataclass
from anydet.evaluation.counted_annotations import CountedAnnotations
from anydet.evaluation.curves import EPSILON
from anydet.evaluation.evaluator import EngineParams
from anydet.evaluation.matches import Matches
from anydet.types import BoolArray, FloatArray, IntArray

_CELLS = 1 << 22
"""Numbers in memory at a time, about."""
_WORD = 64


@dataclass(frozen=True, slots=True, eq=False)
class ClassRows:
    """Detections of one class, best first, and its annotations that count.

    Attributes:
        images: (N,) int32 image of each detection.
        ranks: (N,) int32, 0 for the best detection on its image.
        outside: (N,) uint16, bit a is set where it is not counted in area range a if it matches nothing.
        matched: (P,) uint32 ascending positions of the detections that were matched.
        hits: (P, W) uint64 as in ``matches.Matches``.
        ignored: (P, W) uint64 as in ``matches.Matches``.
        positive_images: (G,) int32 image of each annotation.
        positive_outside: (G,) uint16, bit a is set where it does not count in area range a.
    """

    images: NDArray[np.int32]
    ranks: NDArray[np.int32]
    outside: NDArray[np.uint16]
    matched: NDArray[np.uint32]
    hits: NDArray[np.uint64]
    ignored: NDArray[np.uint64]
    positive_images: NDArray[np.int32]
    positive_outside: NDArray[np.uint16]


class Resampler(Protocol):
    """Averages one class's curves on resampled images."""

    def __call__(
        self, rows: ClassRows, weights: NDArray[np.int32], params: EngineParams
    ) -> tuple[FloatArray, FloatArray]:
        """Averages over the recall thresholds, and highest recalls.

        Args:
            rows: of the class.
            weights: (B, I) how often each image was drawn.
            params: what is counted.

        Returns:
            (B, A, T) precision for the largest of ``max_detections``, and (B, A, M, T) recall; -1 where no
            annotation was drawn.
        """


def split_classes(matches: Matches, positives: CountedAnnotations) -> Iterator[ClassRows]:
    """The rows of each class, class by class, in the order in which engines rank them."""
    order = np.lexsort((-matches.scores, matches.class_ids))
    edges = np.searchsorted(matches.class_ids[order], np.arange(len(matches.positives) + 1))
    pair_of = np.full(len(matches), -1, np.int64)
    pair_of[matches.matched] = np.arange(len(matches.matched))
    true_order = np.argsort(positives.class_ids, kind="stable")
    true_edges = np.searchsorted(positives.class_ids[true_order], np.arange(len(matches.positives) + 1))
    for c in range(len(matches.positives)):
        mine = order[edges[c] : edges[c + 1]]
        true = true_order[true_edges[c] : true_edges[c + 1]]
        pairs = pair_of[mine]
        matched = np.flatnonzero(pairs >= 0)
        yield ClassRows(
            matches.image_index[mine],
            matches.ranks[mine],
            matches.outside[mine],
            matched.astype(np.uint32),
            matches.hits[pairs[matched]],
            matches.ignored[pairs[matched]],
            positives.image_index[true].astype(np.int32),
            positives.outside[true],
        )


def resample_class(
    rows: ClassRows, weights: NDArray[np.int32], params: EngineParams
) -> tuple[FloatArray, FloatArray]:
    """As ``Resampler`` says."""
    T, A, M = len(params.iou_thresholds), len(params.area_ranges_px), len(params.max_detections)
    precision, recall = np.full((len(weights), A, T), -1.0), np.full((len(weights), A, M, T), -1.0)
    step = max(1, _CELLS // max(1, len(rows.images)))
    for first in range(0, len(weights), step):
        chunk = slice(first, first + step)
        on_matched = np.take(weights[chunk], rows.images[rows.matched], axis=1)
        for a in range(A):
            draw = _draw(rows, weights[chunk], on_matched, a, params.recall_thresholds)
            some = draw.positives > 0
            if some.any():
                for t in range(T):
                    curve = _curve(rows, draw, a * T + t, a, params)
                    precision[chunk, a, t] = np.where(some, curve[0], -1.0)
                    recall[chunk, a, :, t] = np.where(some[:, None], curve[1], -1.0)
    return precision, recall


@dataclass(frozen=True, slots=True, eq=False)
class _Draw:
    """What all curves of one area range have in common.

    Attributes:
        on_matched: (B, P) weights of the matched detections.
        before: (B, P) weights of all detections up to each matched one, itself too, as if nothing matched.
        positives: (B,) weights of the annotations.
        reached: (B, F) how many recall thresholds are reached with 0, 1, ... annotations found.
    """

    on_matched: NDArray[np.int32]
    before: NDArray[np.int32]
    positives: IntArray
    reached: IntArray


def _draw(
    rows: ClassRows, drawn: NDArray[np.int32], on_matched: NDArray[np.int32], area: int, recalls: FloatArray
) -> _Draw:
    inside = rows.outside >> area & 1 == 0
    sums = np.cumsum(np.take(drawn, rows.images[inside], axis=1), axis=1, dtype=np.int32)
    sums = np.concatenate([np.zeros((len(drawn), 1), np.int32), sums], axis=1)
    counted = rows.positive_images[rows.positive_outside >> area & 1 == 0]
    positives = np.take(drawn, counted, axis=1).sum(axis=1, dtype=np.int64)
    before = np.take(sums, np.cumsum(inside)[rows.matched], axis=1)
    return _Draw(on_matched, before, positives, _recalls_reached(positives, recalls))


def _recalls_reached(positives: IntArray, recalls: FloatArray) -> IntArray:
    """(B, F) how many recall thresholds are at or below 0, 1, ... of so many, as a division rounds it."""
    of = np.maximum(positives, 1)[:, None]
    needed = np.floor(recalls * of)
    needed -= (needed > 0) & ((needed - 1) / of >= recalls)
    needed += needed / of < recalls
    width = int(of.max()) + 1
    cells = needed.astype(np.int64) + width * np.arange(len(of))[:, None]
    counts = np.bincount(cells.ravel(), minlength=width * len(of)).reshape(len(of), width)
    reached: IntArray = np.cumsum(counts, axis=1)
    return reached


def _curve(
    rows: ClassRows, draw: _Draw, bit: int, area: int, params: EngineParams
) -> tuple[FloatArray, FloatArray]:
    """(B,) mean precision and (B, M) recall of one area range and IoU threshold."""
    hit, ignored = _flags(rows.hits, bit), _flags(rows.ignored, bit)
    true = np.flatnonzero(hit)
    weights = np.take(draw.on_matched, true, axis=1)
    total = np.take(draw.before, true, axis=1) + _change(rows, draw, hit, ignored, area)
    found = np.cumsum(weights, axis=1, dtype=np.int32)
    curve = np.maximum.accumulate((found / (total + EPSILON))[:, ::-1], axis=1)
    steps = np.diff(np.take_along_axis(draw.reached, found, axis=1), axis=1, prepend=0)[:, ::-1]
    # Summed from the lowest score on, one by one: compiled code does the same.
    area_under = np.cumsum(curve * steps, axis=1)[:, -1] if len(true) else np.zeros(len(weights))
    ranks, of = rows.ranks[rows.matched[true]], np.maximum(draw.positives, 1)
    best = [weights[:, ranks < limit].sum(axis=1) / of for limit in params.max_detections]
    return area_under / len(params.recall_thresholds), np.stack(best, axis=1)


def _change(rows: ClassRows, draw: _Draw, hit: BoolArray, ignored: BoolArray, area: int) -> IntArray:
    """(B, H) by how much what did match moves the sums before each hit."""
    inside = rows.outside[rows.matched] >> area & 1 == 0
    change = (hit | (inside & ~ignored)).astype(np.int32) - inside
    moved = np.flatnonzero(change)
    sums = np.cumsum(np.take(draw.on_matched, moved, axis=1) * change[moved], axis=1, dtype=np.int32)
    sums = np.concatenate([np.zeros((len(sums), 1), np.int32), sums], axis=1)
    places = np.searchsorted(moved, np.flatnonzero(hit), side="right")
    moves: IntArray = np.take(sums, places, axis=1)
    return moves


def _flags(words: NDArray[np.uint64], bit: int) -> BoolArray:
    flags: BoolArray = (words[:, bit // _WORD] >> np.uint64(bit % _WORD) & np.uint64(1)).astype(np.bool_)
    return flags
