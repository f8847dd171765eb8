"""The fusions that core brings."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import replace

import numpy as np

from anydet.adaptation.tta.merging import join_results, merge_clusters
from anydet.geometry.boxes import nms_by_class
from anydet.prediction.hooks import FusionSettings, ViewResult
from anydet.types import FloatArray, ImagePredictions, IntArray


class NonMaximumSuppression:
    """All detections but those that overlap a better one of their class.

    Which of two is better is decided by score times weight of the view; scores stay as they are, and so does
    all else that a detection has.
    """

    def __init__(self, settings: FusionSettings) -> None:
        self._iou_threshold = float(settings.options["iou_threshold"])

    def fuse(self, results: Sequence[ViewResult]) -> ImagePredictions:
        """The detections that stay, best first."""
        rows, origin = join_results(results)
        weighted = rows.scores * _weights(results)[origin]
        keep = nms_by_class(rows.boxes_xyxy_px, weighted, rows.class_ids, self._iou_threshold)
        return rows.take(keep)


class WeightedBoxesFusion:
    """Overlapping detections of a class become one, whose box is their mean, weighted by score.

    The score is the mean over the views that could see the object, so that what few of them found counts
    less; a view sees an object if its window has the center of the fused box. With views of the whole image
    this is the algorithm of Solovyev et al. 2021, "Weighted boxes fusion: Ensembling boxes from different
    object detection models", section 3, with scores rescaled by equation 5 and at most 1.
    """

    def __init__(self, settings: FusionSettings) -> None:
        self._iou_threshold = float(settings.options["iou_threshold"])
        self._score_threshold = float(settings.options["score_threshold"])

    def fuse(self, results: Sequence[ViewResult]) -> ImagePredictions:
        """The fused detections, best first."""
        rows, origin = join_results(results)
        counted = rows.scores >= self._score_threshold
        rows, origin = rows.take(counted), origin[counted]
        if not len(rows):
            return rows
        weights = _weights(results)
        weighted = rows.scores * weights[origin]
        cluster = cluster_boxes(rows.boxes_xyxy_px, weighted, rows.class_ids, self._iou_threshold)
        fused = merge_clusters(rows, cluster, weighted)
        sees = _sees(results, fused.boxes_xyxy_px)
        counts = np.bincount(cluster)
        means = np.bincount(cluster, weighted) / counts
        scores = means * np.minimum(sees.sum(axis=1), counts) / (sees @ weights)
        fused = replace(fused, scores=np.minimum(scores, 1.0))
        return fused.take(np.argsort(-fused.scores, kind="stable"))


def cluster_boxes(
    boxes: FloatArray, scores: FloatArray, class_ids: IntArray, iou_threshold: float
) -> IntArray:
    """(N,) number of the cluster that weighted boxes fusion puts each box into, 0..K-1.

    Boxes come best score first, of equal scores the earlier first. Each joins the cluster of its class whose
    mean box, weighted by score, overlaps it most, if its IoU is above the threshold; else it starts a
    cluster.

    Args:
        boxes: (N, 4) ``xyxy``.
        scores: (N,) not negative.
        class_ids: (N,).
        iou_threshold: in [0, 1].
    """
    order, ranks = _by_rank(scores, class_ids)
    # The means change box by box, but classes are independent: each step takes the next box of every class,
    # and classes are sorted by their number of boxes, so that those that have one left come first.
    sizes = np.bincount(ranks)
    number_of_classes = int(sizes[0]) if len(sizes) else 0
    shape = (number_of_classes, len(sizes))
    total, sums, means = np.zeros(shape), np.zeros((*shape, 4)), np.zeros((*shape, 4))
    used = np.zeros(number_of_classes, np.int64)
    slots = np.zeros(len(boxes), np.int64)
    classes = np.arange(number_of_classes)
    start = 0
    for size in sizes.tolist():
        rows, at = order[start : start + size], classes[:size]
        start += size
        box, weight = boxes[rows], np.maximum(scores[rows], 1e-300)
        iou = _iou(means[:size, : int(used.max())], box)
        slot = used[:size].copy()
        if iou.shape[1]:
            best = iou.argmax(axis=1)
            slot = np.where(iou[at, best] > iou_threshold, best, slot)
        used[:size] += slot == used[:size]
        total[at, slot] += weight
        sums[at, slot] += weight[:, None] * box
        means[at, slot] = sums[at, slot] / total[at, slot][:, None]
        slots[rows] = at * len(sizes) + slot
    numbered: IntArray = np.unique(slots, return_inverse=True)[1].reshape(-1)
    return numbered


def _by_rank(scores: FloatArray, class_ids: IntArray) -> tuple[IntArray, IntArray]:
    """Rows by rank within their class, best first, then by class, most boxes first; and their ranks."""
    _, index, counts = np.unique(class_ids, return_inverse=True, return_counts=True)
    position = np.empty(len(counts), np.int64)
    position[np.argsort(-counts, kind="stable")] = np.arange(len(counts))
    index = position[index.reshape(-1)]
    by_class = np.lexsort((-scores, index))
    sorted_counts = np.bincount(index, minlength=len(counts))
    ranks = np.arange(len(scores)) - np.repeat(np.cumsum(sorted_counts) - sorted_counts, sorted_counts)
    by_rank = np.lexsort((index[by_class], ranks))
    return by_class[by_rank], ranks[by_rank]


def _iou(means: FloatArray, box: FloatArray) -> FloatArray:
    """(C, M) IoU of each class's M boxes with its own one box of (C, 4)."""
    box = box[:, None]
    low = np.maximum(means[..., :2], box[..., :2])
    high = np.minimum(means[..., 2:], box[..., 2:])
    inter = np.prod(np.maximum(high - low, 0.0), axis=-1)
    union = np.prod(means[..., 2:] - means[..., :2], axis=-1) - inter
    union = union + np.prod(box[..., 2:] - box[..., :2], axis=-1)
    # Slots that are not used yet hold boxes without area, which overlap nothing.
    iou: FloatArray = np.divide(inter, union, out=np.zeros_like(inter), where=union > 0)
    return iou


def _sees(results: Sequence[ViewResult], boxes: FloatArray) -> FloatArray:
    """(K, R) 1 where a result's window has the center of a box; all of them where none has it."""
    windows = np.array([result.window_xyxy_px for result in results])
    centers = (boxes[:, None, :2] + boxes[:, None, 2:]) / 2
    # Windows come back through scalings, which may cost the last bits of an edge.
    inside = (centers >= windows[:, :2] - 1e-6) & (centers <= windows[:, 2:] + 1e-6)
    sees = np.asarray(inside.all(axis=2))
    return np.where(sees.any(axis=1, keepdims=True), sees, True).astype(np.float64)


def _weights(results: Sequence[ViewResult]) -> FloatArray:
    return np.array([result.weight for result in results], np.float64)
