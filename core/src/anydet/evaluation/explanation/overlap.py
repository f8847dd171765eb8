"""Pairs of detections and annotations of one image, and how well detections cover annotations."""

from __future__ import annotations

import numpy as np

from anydet.types import DetectionColumns, FloatArray, GroundTruthColumns, IntArray

_MATCH = 0.5


def image_ranks(detections: DetectionColumns) -> IntArray:
    """(N,) 0 for the best detection of its image, 1 for the next."""
    index = detections.image_index
    order = np.lexsort((-detections.scores, index))
    ranks = np.empty(len(order), np.int64)
    ranks[order] = np.arange(len(order)) - np.searchsorted(index[order], index[order])
    return ranks


def pairs(
    detections: DetectionColumns, truth: GroundTruthColumns, *, by_class: bool = True
) -> tuple[IntArray, IntArray, FloatArray]:
    """(P,) rows of detections, rows of annotations of the same image (and class), and their IoU."""
    count = len(truth.classes)
    left, right = detections.image_index, truth.image_index
    if by_class:
        left, right = left * count + detections.class_ids, right * count + truth.labels.class_ids
    order = np.argsort(right, kind="stable")
    start, stop = (np.searchsorted(right[order], left, side) for side in ("left", "right"))
    times = stop - start
    rows = np.repeat(np.arange(len(left)), times)
    inside = np.arange(len(rows)) - np.repeat(np.cumsum(times) - times, times)
    annotations = order[np.repeat(start, times) + inside]
    return rows, annotations, _iou(detections.boxes_xywh_px[rows], truth.labels.boxes_xywh_px[annotations])


def best_pairs(
    detections: DetectionColumns, truth: GroundTruthColumns, *, by_class: bool = True
) -> tuple[IntArray, IntArray, FloatArray]:
    """As ``pairs``: each detection with the annotation it overlaps most, where by half or more."""
    rows, annotations, iou = pairs(detections, truth, by_class=by_class)
    order = np.lexsort((-iou, rows))
    order = order[iou[order] >= _MATCH]
    _, first = np.unique(rows[order], return_index=True)
    kept = order[first]
    return rows[kept], annotations[kept], iou[kept]


def coverage(detections: DetectionColumns, truth: GroundTruthColumns, *, by_class: bool = True) -> float:
    """Mean over annotations of the best IoU with a detection of their image (and class)."""
    if not len(truth):
        return 0.0
    best = np.zeros(len(truth))
    _, annotations, iou = pairs(detections, truth, by_class=by_class)
    np.maximum.at(best, annotations, iou)
    return float(best[~truth.labels.iscrowd].mean()) if not truth.labels.iscrowd.all() else 0.0


def _iou(left: FloatArray, right: FloatArray) -> FloatArray:
    """(P,) of (P, 4) boxes x, y, width, height and as many others."""
    low = np.maximum(left[:, :2], right[:, :2])
    high = np.minimum(left[:, :2] + left[:, 2:], right[:, :2] + right[:, 2:])
    shared = np.clip(high - low, 0.0, None).prod(axis=1)
    union = left[:, 2:].prod(axis=1) + right[:, 2:].prod(axis=1) - shared
    iou: FloatArray = np.divide(shared, union, out=np.zeros(len(shared)), where=union > 0)
    return iou
