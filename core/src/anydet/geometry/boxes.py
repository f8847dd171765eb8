"""Boxes: format changes, clipping, IoU, non-maximum suppression.

Formats: ``xyxy`` corners with x2/y2 exclusive, ``xywh`` top-left corner and size, ``cxcywh`` center and size;
``_abs`` in pixels, ``_norm`` divided by the image's width and height.
"""

from __future__ import annotations

from typing import Literal, get_args

import numpy as np

from anydet.types import BoolArray, FloatArray, IntArray

BoxFormat = Literal["cxcywh_norm", "cxcywh_abs", "xywh_abs", "xyxy_abs"]
BOX_FORMATS: tuple[str, ...] = get_args(BoxFormat)


def xyxy_to_xywh(boxes: FloatArray) -> FloatArray:
    """(N, 4) corners to top-left corner and size."""
    return np.concatenate([boxes[:, :2], boxes[:, 2:] - boxes[:, :2]], axis=1)


def xywh_to_xyxy(boxes: FloatArray) -> FloatArray:
    """(N, 4) top-left corner and size to corners."""
    return np.concatenate([boxes[:, :2], boxes[:, :2] + boxes[:, 2:]], axis=1)


def cxcywh_to_xyxy(boxes: FloatArray) -> FloatArray:
    """(N, 4) center and size to corners."""
    half = boxes[:, 2:] / 2
    return np.concatenate([boxes[:, :2] - half, boxes[:, :2] + half], axis=1)


def to_xywh_px(boxes: FloatArray, box_format: str, sizes_wh: IntArray) -> FloatArray:
    """(N, 4) boxes of ``box_format`` to x, y, width, height in pixels.

    Args:
        boxes: (N, 4).
        box_format: one of ``BOX_FORMATS``.
        sizes_wh: (N, 2) or (2,) image sizes in pixels; only ``cxcywh_norm`` looks at them.
    """
    if box_format == "xywh_abs":
        return boxes
    if box_format == "xyxy_abs":
        return xyxy_to_xywh(boxes)
    if box_format == "cxcywh_norm":
        scale = np.broadcast_to(sizes_wh, (len(boxes), 2)).astype(np.float64)
        boxes = boxes * np.concatenate([scale, scale], axis=1)
    elif box_format != "cxcywh_abs":
        raise ValueError(f"unknown box format {box_format!r}; known: {', '.join(BOX_FORMATS)}")
    return np.concatenate([boxes[:, :2] - boxes[:, 2:] / 2, boxes[:, 2:]], axis=1)


def xyxy_to_cxcywh_norm(boxes: FloatArray, size_wh: tuple[int, int]) -> FloatArray:
    """(N, 4) corners in pixels to center and size divided by the image's size."""
    scale = np.array([*size_wh, *size_wh], np.float64)
    return np.concatenate([(boxes[:, :2] + boxes[:, 2:]) / 2, boxes[:, 2:] - boxes[:, :2]], axis=1) / scale


def clip_xyxy(boxes: FloatArray, size_wh: tuple[int, int]) -> FloatArray:
    """(N, 4) corners moved into the image; a box outside it comes back with no area."""
    width, height = size_wh
    return np.clip(boxes, 0.0, np.array([width, height, width, height], np.float64))


def area_xyxy(boxes: FloatArray) -> FloatArray:
    """(N,) areas; 0 where a corner pair is inverted."""
    side = np.clip(boxes[:, 2:] - boxes[:, :2], 0.0, None)
    area: FloatArray = side[:, 0] * side[:, 1]
    return area


def area_xywh(boxes: FloatArray) -> FloatArray:
    """(N,) width x height; infinite where no float can hold it."""
    with np.errstate(over="ignore"):
        area: FloatArray = boxes[:, 2] * boxes[:, 3]
    return area


def iou_xyxy(left: FloatArray, right: FloatArray) -> FloatArray:
    """(N, M) intersection over union of (N, 4) and (M, 4) corners; 0 where both are empty."""
    low = np.maximum(left[:, None, :2], right[None, :, :2])
    high = np.minimum(left[:, None, 2:], right[None, :, 2:])
    side = np.clip(high - low, 0.0, None)
    inter = side[..., 0] * side[..., 1]
    union = area_xyxy(left)[:, None] + area_xyxy(right)[None, :] - inter
    out: FloatArray = np.divide(inter, union, out=np.zeros_like(inter), where=union > 0)
    return out


def covered_by_class(
    boxes: FloatArray, class_ids: IntArray, others: FloatArray, other_ids: IntArray, fraction: float
) -> BoolArray:
    """(N,) whether one other box of its class covers more than a fraction of a box's area.

    Args:
        boxes: (N, 4) ``xyxy``; one without area is never covered.
        class_ids: (N,).
        others: (M, 4) ``xyxy``.
        other_ids: (M,) their classes.
        fraction: in [0, 1].
    """
    covered = np.zeros(len(boxes), np.bool_)
    order, other_order = np.argsort(class_ids, kind="stable"), np.argsort(other_ids, kind="stable")
    left, right = _sides_and_area(boxes[order]), _sides_and_area(others[other_order])
    sorted_ids = other_ids[other_order]
    ids, starts, counts = np.unique(class_ids[order], return_index=True, return_counts=True)
    lows, highs = np.searchsorted(sorted_ids, ids), np.searchsorted(sorted_ids, ids, side="right")
    for start, count, low, high in np.column_stack([starts, counts, lows, highs])[highs > lows].tolist():
        size = max(1, _CELLS // (high - low))
        for first in range(start, start + count, size):
            rows = slice(first, min(first + size, start + count))
            inter = _intersection(left[:, rows], right[:, low:high])
            covered[order[rows]] = (inter > fraction * left[4, rows, None]).any(axis=1)
    return covered


def nms(boxes: FloatArray, scores: FloatArray, iou_threshold: float) -> IntArray:
    """Positions kept by greedy non-maximum suppression, best score first.

    Equal to ``torchvision.ops.nms``: a box goes when its IoU with a better one is above the threshold, and
    of equal scores the earlier box wins.

    Args:
        boxes: (N, 4) ``xyxy``.
        scores: (N,).
        iou_threshold: in [0, 1].
    """
    order = np.argsort(-scores, kind="stable")
    kept: IntArray = order[_greedy(_sides_and_area(boxes[order]), iou_threshold)]
    return kept


def nms_by_class(
    boxes: FloatArray,
    scores: FloatArray,
    class_ids: IntArray,
    iou_threshold: float,
    limit: int | None = None,
) -> IntArray:
    """``nms`` within each class alone; positions best score first, of equal scores the earlier first.

    Args:
        boxes: (N, 4) ``xyxy``.
        scores: (N,).
        class_ids: (N,).
        iou_threshold: in [0, 1].
        limit: only so many of the best that are kept; ``None`` for all.
    """
    # With a low limit most boxes are never looked at; with a high one it is faster to go class by class.
    if limit is not None and limit <= _MOST_IN_SCORE_ORDER and len(boxes) > limit:
        return _best_by_class(boxes, scores, class_ids, iou_threshold, limit)
    # By class and best first within it, so that each class is one stretch of the columns.
    order = np.lexsort((-scores, class_ids))
    starts = np.flatnonzero(np.diff(class_ids[order])) + 1
    bounds = np.concatenate([[0], starts, [len(order)]])
    large = np.flatnonzero(np.diff(bounds) > _BLOCK)
    kept = []
    columns = _sides_and_area(boxes[order]) if len(large) else None
    small = np.ones(len(order), np.bool_)
    for start, end in zip(bounds[large].tolist(), bounds[large + 1].tolist(), strict=True):
        assert columns is not None
        kept.append(order[start:end][_greedy(columns[:, start:end], iou_threshold)])
        small[start:end] = False
    # All classes with few boxes at once: a step a class would cost more than its boxes.
    rows = order[small]
    first, second, _ = overlapping_pairs(boxes[rows], class_ids[rows], iou_threshold)
    kept.append(rows[suppress(np.minimum(first, second), np.maximum(first, second), len(rows))])
    # In order of rows, so that the stable sort below puts the earlier of equal scores first.
    rows = np.sort(np.concatenate(kept))
    ordered: IntArray = rows[np.argsort(-scores[rows], kind="stable")][:limit]
    return ordered


def _best_by_class(
    boxes: FloatArray, scores: FloatArray, class_ids: IntArray, iou_threshold: float, limit: int
) -> IntArray:
    """The first ``limit`` of what ``nms_by_class`` keeps, found in the order of scores.

    A block is settled against what was kept before it and in itself, as in ``_greedy``; whether a box stays
    depends on better ones alone, so those that come later need not be looked at.
    """
    order = np.argsort(-scores, kind="stable")
    kept: IntArray = order[:0]
    start, size = 0, min(limit, _BLOCK)
    while start < len(order) and len(kept) < limit:
        rows = order[start : start + size]
        block = _sides_and_area(boxes[rows])
        if len(kept):
            before = _overlap(_sides_and_area(boxes[kept]), block, iou_threshold)
            before &= class_ids[kept][:, None] == class_ids[rows]
            stays = ~before.any(axis=0)
            rows, block = rows[stays], block[:, stays]
        within = _overlap(block, block, iou_threshold)
        within &= class_ids[rows][:, None] == class_ids[rows]
        kept = np.concatenate([kept, rows[_settle(within)]])
        start, size = start + size, min(2 * size, _LARGEST_BLOCK)
    return kept[:limit]


def suppress(better: IntArray, worse: IntArray, count: int) -> BoolArray:
    """(N,) which of ``count`` boxes greedy non-maximum suppression keeps.

    A box stays when no better one that stays overlaps it; iterating that from "all stay" reaches the greedy
    answer (Zheng et al. 2020, see ``_settle``).

    Args:
        better: (K,) positions of the better box of each pair that overlaps; a strict order of all boxes.
        worse: (K,) positions of the other one.
        count: number of boxes.
    """
    stays: BoolArray = np.ones(count, np.bool_)
    while True:
        settled: BoolArray = np.ones(count, np.bool_)
        settled[worse[stays[better]]] = False
        if np.array_equal(settled, stays):
            return stays
        stays = settled


def overlapping_pairs(
    boxes: FloatArray, class_ids: IntArray, iou_threshold: float
) -> tuple[IntArray, IntArray, FloatArray]:
    """Pairs of boxes of one class whose IoU is above a threshold: (K,) and (K,) positions, and (K,) IoUs.

    Each pair is there once.

    Args:
        boxes: (N, 4) ``xyxy``.
        class_ids: (N,).
        iou_threshold: in [0, 1].
    """
    order = np.lexsort((boxes[:, 0], class_ids))
    columns = _sides_and_area(boxes[order])
    ends = _reach(columns, class_ids[order], iou_threshold)
    counts = np.maximum(ends - np.arange(len(order)) - 1, 0)
    found = [(np.zeros(0, np.int64), np.zeros(0, np.int64), np.zeros(0))]
    totals = np.cumsum(counts)
    low = 0
    while low < len(order):
        # Few rows at once, so that memory stays small however many pairs there are.
        before = int(totals[low - 1]) if low else 0
        high = max(low + 1, int(np.searchsorted(totals, before + _CELLS, side="right")))
        rows = np.repeat(np.arange(low, high), counts[low:high])
        # The boxes behind a row's own one, up to its reach.
        skipped = np.repeat(totals[low:high] - counts[low:high] - before, counts[low:high])
        others = np.arange(len(rows)) - skipped + rows + 1
        # Most are apart in height: these go before all else is looked at.
        near = np.flatnonzero(
            (columns[1][others] < columns[3][rows]) & (columns[3][others] > columns[1][rows])
        )
        rows, others = rows[near], others[near]
        iou = _iou_of_pairs(columns[:, rows], columns[:, others])
        above = np.flatnonzero(iou > iou_threshold)
        found.append((order[rows[above]], order[others[above]], iou[above]))
        low = high
    first, second, ious = map(np.concatenate, zip(*found, strict=True))
    return first, second, ious


def _reach(columns: FloatArray, class_ids: IntArray, iou_threshold: float) -> IntArray:
    """(N,) where, behind each box, those begin that overlap it too little by their left edge alone.

    Args:
        columns: (5, N) sides and areas, sorted by class and left edge.
        class_ids: (N,) sorted.
        iou_threshold: in [0, 1].
    """
    left, right = columns[0], columns[2]
    # An IoU is at most the overlap in width divided by the width of either box; a little more, for rounding.
    last = right - max(0.0, iou_threshold - 1e-9) * (right - left) + 4 * np.spacing(np.abs(right))
    edges = np.sort(left)
    # Ranks instead of coordinates, so that class and edge are one integer to search.
    classes = np.cumsum(np.diff(class_ids, prepend=class_ids[:1]) != 0) * (len(left) + 1)
    keys = classes + np.searchsorted(edges, left)
    ends: IntArray = np.searchsorted(keys, classes + np.searchsorted(edges, last, side="right"))
    return ends


def _iou_of_pairs(left: FloatArray, right: FloatArray) -> FloatArray:
    """(K,) intersection over union of (5, K) and (5, K) sides and areas; NaN where both boxes are empty."""
    width = np.minimum(left[2], right[2])
    width -= np.maximum(left[0], right[0])
    inter = np.minimum(left[3], right[3])
    inter -= np.maximum(left[1], right[1])
    np.maximum(width, 0.0, out=width)
    np.maximum(inter, 0.0, out=inter)
    inter *= width
    union = np.subtract(left[4] + right[4], inter, out=width)
    with np.errstate(invalid="ignore", divide="ignore"):
        inter /= union
    iou: FloatArray = inter
    return iou


_BLOCK = 128
"""Boxes that are compared with each other at once."""
_CELLS = 1 << 21
"""Pairs of boxes that are compared at once, so that memory stays small however many there are."""
_LARGEST_BLOCK = 512
"""Boxes that are compared at once where the best are looked for: the further down, the fewer stay."""
_MOST_IN_SCORE_ORDER = 200
"""Limit up to which going in the order of scores is faster than class by class."""
_LATER = np.triu(np.ones((_LARGEST_BLOCK, _LARGEST_BLOCK), np.bool_), 1)


def _sides_and_area(boxes: FloatArray) -> FloatArray:
    """(5, N): x1, y1, x2, y2 and area, each contiguous."""
    x1, y1, x2, y2 = boxes.T
    return np.stack([x1, y1, x2, y2, (x2 - x1) * (y2 - y1)])


def _greedy(columns: FloatArray, iou_threshold: float) -> IntArray:
    """Positions that greedy NMS keeps of boxes sorted best first.

    The best boxes are settled among themselves, then clear what they overlap from the rest, and so on.
    """
    rest = np.arange(columns.shape[1])
    kept = []
    while len(rest):
        size = max(1, min(_BLOCK, _CELLS // len(rest)))
        block, rest = rest[:size], rest[size:]
        block = block[_settle(_overlap(columns[:, block], columns[:, block], iou_threshold))]
        kept.append(block)
        if len(rest):
            rest = rest[~_overlap(columns[:, block], columns[:, rest], iou_threshold).any(axis=0)]
    return np.concatenate(kept) if kept else rest


def _settle(overlap: BoolArray) -> BoolArray:
    """Which of a block survive greedy NMS.

    A box stays when no box that stays precedes and overlaps it; iterating that from "all stay" reaches the
    greedy answer (Zheng et al. 2020, "Enhancing Geometric Factors in Model Learning and Inference for Object
    Detection and Instance Segmentation", Cluster-NMS).
    """
    overlap &= _LATER[: len(overlap), : len(overlap)]
    stays: BoolArray = np.ones(len(overlap), np.bool_)
    settled: BoolArray = np.logical_not(overlap.any(axis=0))
    while (settled != stays).any():
        stays, settled = settled, np.logical_not(overlap[settled].any(axis=0))
    return stays


def _overlap(left: FloatArray, right: FloatArray, iou_threshold: float) -> BoolArray:
    """(N, M) whether IoU is above the threshold; never where both boxes are empty."""
    above: BoolArray = _iou(left, right) > iou_threshold
    return above


def _iou(left: FloatArray, right: FloatArray) -> FloatArray:
    """(N, M) intersection over union of (5, N) and (5, M) sides and areas; NaN where both boxes are empty."""
    inter = _intersection(left, right)
    union = left[4][:, None] + right[4]
    union -= inter
    # Two empty boxes give 0 / 0: NaN, which is not above any threshold.
    with np.errstate(invalid="ignore", divide="ignore"):
        inter /= union
    iou: FloatArray = inter
    return iou


def _intersection(left: FloatArray, right: FloatArray) -> FloatArray:
    """(N, M) areas that (5, N) and (5, M) sides and areas have in common."""
    x1, y1, x2, y2, _ = left[:, :, None]
    width = np.minimum(x2, right[2])
    width -= np.maximum(x1, right[0])
    inter = np.minimum(y2, right[3])
    inter -= np.maximum(y1, right[1])
    # In place: arrays of pairs cost more to allocate than to fill.
    np.maximum(width, 0.0, out=width)
    np.maximum(inter, 0.0, out=inter)
    inter *= width
    common: FloatArray = inter
    return common
