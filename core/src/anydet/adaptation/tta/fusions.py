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
    # Slots that are not used yet have no extent, and an area that keeps them from dividing by zero.
    sums, means, areas = np.zeros((5, *shape)), np.zeros((4, *shape)), np.ones(shape)
    used = np.zeros(number_of_classes, np.int64)
    slots = np.zeros(len(boxes), np.int64)
    classes = np.arange(number_of_classes)
    # Where both boxes have no area their IoU is NaN, which is not above any threshold.
    with np.errstate(invalid="ignore", divide="ignore"):
        for size, end in zip(sizes.tolist(), np.cumsum(sizes).tolist(), strict=True):
            rows, at = order[end - size : end], classes[:size]
            box, weight = boxes[rows].T, np.maximum(scores[rows], 1e-300)
            most = int(used.max())
            slot = used[:size].copy()
            if most:
                iou = _iou(means[:, :size, :most], areas[:size, :most], box[:, :, None])
                best = iou.argmax(axis=1)
                slot = np.where(iou[at, best] > iou_threshold, best, slot)
            used[:size] += slot == used[:size]
            sums[:4, at, slot] += weight * box
            sums[4, at, slot] += weight
            x1, y1, x2, y2 = mean = sums[:4, at, slot] / sums[4, at, slot]
            means[:, at, slot] = mean
            areas[at, slot] = (x2 - x1) * (y2 - y1)
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


def _iou(means: FloatArray, areas: FloatArray, box: FloatArray) -> FloatArray:
    """(C, M) IoU of each class's M boxes, (4, C, M), with its own one box of (4, C, 1)."""
    width = np.minimum(means[2], box[2]) - np.maximum(means[0], box[0])
    height = np.minimum(means[3], box[3]) - np.maximum(means[1], box[1])
    inter = np.maximum(width, 0.0) * np.maximum(height, 0.0)
    area = (box[2] - box[0]) * (box[3] - box[1])
    iou: FloatArray = inter / (areas + area - inter)
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
