"""The fusions that core brings."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import replace
from itertools import pairwise

import numpy as np

from anydet.adaptation.tta.merging import complete_poses, join_results, merge_clusters
from anydet.geometry.boxes import nms_by_class, overlapping_pairs, suppress
from anydet.prediction.hooks import FusionSettings, ViewResult
from anydet.types import BoolArray, FloatArray, ImagePredictions, IntArray


class NonMaximumSuppression:
    """All detections but those that overlap a better one of their class.

    Which of two is better is decided by score times weight of the view; scores stay as they are, and so does
    all else that a detection has. What it lacks of a pose, such as the rotation in a mirror, it gets from
    those that it stands for.
    """

    def __init__(self, settings: FusionSettings) -> None:
        self._iou_threshold = float(settings.options["iou_threshold"])

    def fuse(self, results: Sequence[ViewResult]) -> ImagePredictions:
        """The detections that stay, best first."""
        rows, origin = join_results(results)
        weighted = rows.scores * _weights(results)[origin]
        boxes, class_ids = rows.boxes_xyxy_px, rows.class_ids
        if rows.poses is None:
            return rows.take(nms_by_class(boxes, weighted, class_ids, self._iou_threshold))
        kept, cluster, _ = _suppress(boxes, weighted, class_ids, self._iou_threshold)
        best = rows.take(kept)
        assert best.poses is not None
        # Of poses alone: the masks of clusters take long to merge.
        posed = ImagePredictions(rows.image, rows.size_wh, boxes, rows.scores, class_ids, poses=rows.poses)
        return replace(best, poses=complete_poses(best.poses, merge_clusters(posed, cluster, weighted).poses))


class WeightedBoxesFusion:
    """Overlapping detections of a class become one, whose box is their mean, weighted by score.

    The score is the mean over the views that could see the object, so that what few of them found counts
    less; a view could see an object if its window holds the fused box, or, of boxes that no window holds, the
    center of it. With views of the whole image this is the algorithm of Solovyev et al. 2021, "Weighted boxes
    fusion: Ensembling boxes from different object detection models", section 3, with scores rescaled by
    equation 5 and at most 1.
    """

    def __init__(self, settings: FusionSettings) -> None:
        self._iou_threshold = float(settings.options["iou_threshold"])
        self._score_threshold = float(settings.options["score_threshold"])

    def fuse(self, results: Sequence[ViewResult]) -> ImagePredictions:
        """The fused detections, best first."""
        rows, origin = _above(self._score_threshold, *join_results(results))
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


class NonMaximumWeighted:
    """What NMS keeps, each with the mean box of those that it stands for, weighted by score and IoU.

    Scores stay those of the detections kept, times the weight of their view, which counts relative to the
    heaviest. Source: Zhou et al. 2017, "CAD: Scale Invariant Framework for Real-Time Object Detection",
    section 3.3.
    """

    def __init__(self, settings: FusionSettings) -> None:
        self._iou_threshold = float(settings.options["iou_threshold"])
        self._score_threshold = float(settings.options["score_threshold"])

    def fuse(self, results: Sequence[ViewResult]) -> ImagePredictions:
        """The detections kept, best first."""
        rows, origin = _above(self._score_threshold, *join_results(results))
        weights = _weights(results)
        scores = rows.scores * (weights / weights.max())[origin]
        boxes, class_ids = rows.boxes_xyxy_px, rows.class_ids
        kept, cluster, overlap = _suppress(boxes, scores, class_ids, self._iou_threshold)
        return replace(merge_clusters(rows, cluster, scores * overlap), scores=scores[kept])


class SoftNonMaximumSuppression:
    """All detections, with scores that decay by their overlap with better ones of their class.

    Which of two is better is decided by score times weight of the view. Source: Bodla et al. 2017, "Soft-NMS:
    Improving Object Detection With One Line of Code", equations 2 (linear) and 3 (gaussian).
    """

    def __init__(self, settings: FusionSettings) -> None:
        options = settings.options
        self._linear = options["decay"] == "linear"
        self._iou_threshold = float(options["iou_threshold"]) if self._linear else 0.0
        self._sigma = float(options["sigma"])
        self._score_threshold = float(options["score_threshold"])

    def fuse(self, results: Sequence[ViewResult]) -> ImagePredictions:
        """The detections whose score stays above the threshold, best first."""
        rows, origin = join_results(results)
        weighted = rows.scores * _weights(results)[origin]
        left = self._decay(rows.boxes_xyxy_px, weighted, rows.class_ids)
        decayed = replace(rows, scores=rows.scores * left)
        order = np.argsort(-decayed.scores, kind="stable")
        return decayed.take(order[decayed.scores[order] > self._score_threshold])

    def _decay(self, boxes: FloatArray, scores: FloatArray, class_ids: IntArray) -> FloatArray:
        """(N,) what is left of each score, in [0, 1]."""
        first, second, iou = overlapping_pairs(boxes, class_ids, self._iou_threshold)
        factors = 1 - iou if self._linear else np.exp(-(iou**2) / self._sigma)
        left = np.ones(len(scores))
        found, index, counts = np.unique(class_ids, return_inverse=True, return_counts=True)
        crowded = (counts > _FEW) & (counts <= _MANY)
        apart = crowded[index.reshape(-1)[first]]
        for class_id in found[crowded].tolist():
            rows = np.flatnonzero(class_ids == class_id)
            of_class = class_ids[first] == class_id
            at = [np.searchsorted(rows, ends[of_class]) for ends in (first, second)]
            left[rows] = _soften_in_turn(scores[rows], at[0], at[1], factors[of_class])
        rest = ~apart
        return left * _soften(scores, first[rest], second[rest], factors[rest])


def _soften(scores: FloatArray, first: IntArray, second: IntArray, factors: FloatArray) -> FloatArray:
    """(N,) product of the factors by which soft-NMS lowers each score.

    The best box left lowers those that it overlaps, which may change what is best next. A box that is better
    than all that it overlaps keeps its score until its turn comes, whatever happens elsewhere, so that all
    such boxes have their turn at once.

    Args:
        scores: (N,).
        first: (K,) one box of each pair that overlaps.
        second: (K,) the other one.
        factors: (K,) what the better of the two leaves of the other's score.
    """
    left = np.ones(len(scores))
    while len(first):
        now = scores * left
        wins = now[first] > now[second]
        wins |= (now[first] == now[second]) & (first < second)
        worse = np.where(wins, second, first)
        settled = np.ones(len(scores), np.bool_)
        settled[worse] = False
        by_first, by_second = settled[first], settled[second]
        np.multiply.at(left, second[by_first], factors[by_first])
        np.multiply.at(left, first[by_second], factors[by_second])
        open_pairs = ~(by_first | by_second)
        first, second, factors = first[open_pairs], second[open_pairs], factors[open_pairs]
    return left


_FEW, _MANY = 200, 3000
"""Boxes of a class between which soft-NMS takes them in turn: fewer have their turns at once, and the matrix
of more would be large."""


def _soften_in_turn(scores: FloatArray, first: IntArray, second: IntArray, factors: FloatArray) -> FloatArray:
    """As ``_soften``, one box after the other: faster where nearly all boxes overlap others."""
    leaves = np.ones((len(scores), len(scores)))
    leaves[first, second] = leaves[second, first] = factors
    now = scores.copy()
    final = np.zeros(len(scores))
    for _ in range(len(scores)):
        best = now.argmax()
        # What is left has no score that anything could lower.
        if now[best] <= 0:
            break
        final[best] = now[best]
        now *= leaves[best]
        now[best] = -1.0
    left: FloatArray = np.divide(final, scores, out=np.ones(len(scores)), where=scores > 0)
    return left


def _suppress(
    boxes: FloatArray, scores: FloatArray, class_ids: IntArray, iou_threshold: float
) -> tuple[IntArray, IntArray, FloatArray]:
    """What ``nms_by_class`` keeps, and what that stands for.

    Returns:
        (M,) positions kept, best first; (N,) position among these of the detection that stands for each, and
        (N,) the IoU of both. Of the better ones that were kept it is the one with most overlap; one that was
        kept stands for itself.
    """
    order = np.argsort(-scores, kind="stable")
    rank = np.empty(len(scores), np.int64)
    rank[order] = np.arange(len(scores))
    one, other, iou = overlapping_pairs(boxes, class_ids, iou_threshold)
    swapped = rank[one] > rank[other]
    better, worse = np.where(swapped, other, one), np.where(swapped, one, other)
    stays = suppress(better, worse, len(scores))
    kept = order[stays[order]]
    cluster, overlap = np.full(len(scores), -1), np.ones(len(scores))
    cluster[kept] = np.arange(len(kept))
    candidates = np.flatnonzero(stays[better])
    better, worse, iou = better[candidates], worse[candidates], iou[candidates]
    # The last assignment to an element stands: that of most overlap, of equal ones that of the best.
    last = np.lexsort((-rank[better], iou))
    better, worse, iou = better[last], worse[last], iou[last]
    cluster[worse], overlap[worse] = cluster[better], iou
    return kept, cluster, overlap


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
    sizes = np.unique(class_ids, return_counts=True)[1]
    # Where few classes have most boxes there is little to do at once, and each step should cost little.
    if len(boxes) * _STEP_ALONE < sizes.max(initial=0):
        return _cluster_in_turn(boxes, scores, class_ids, iou_threshold)
    order, ranks = _by_rank(scores, class_ids)
    # The means change box by box, but classes are independent: each step takes the next box of every class,
    # and classes are sorted by their number of boxes, so that those that have one left come first.
    ends = np.cumsum(np.bincount(ranks)).tolist()
    number_of_classes = ends[0] if ends else 0
    columns = boxes[order].T
    weights = np.maximum(scores[order], 1e-300)
    weighted = np.concatenate([columns * weights, weights[None]])
    # Slots that are not used yet have no extent, and an area that keeps them from dividing by zero.
    sums, means = np.zeros((5, number_of_classes * len(ends))), np.zeros((4, number_of_classes * len(ends)))
    areas = np.ones(number_of_classes * len(ends))
    by_class = (
        means.reshape(4, number_of_classes, len(ends)),
        areas.reshape(number_of_classes, len(ends)),
    )
    used = np.zeros(number_of_classes, np.int64)
    slots = np.zeros(len(boxes), np.int64)
    classes = np.arange(number_of_classes)
    # Where both boxes have no area their IoU is NaN, which is not above any threshold.
    with np.errstate(invalid="ignore", divide="ignore"):
        for begin, end in pairwise([0, *ends]):
            size = end - begin
            most = int(used.max())
            slot = used[:size].copy()
            if most:
                known, extents = by_class[0][:, :size, :most], by_class[1][:size, :most]
                iou = _iou(known, extents, columns[:, begin:end, None])
                best = iou.argmax(axis=1)
                slot = np.where(iou[classes[:size], best] > iou_threshold, best, slot)
            used[:size] += slot == used[:size]
            at = classes[:size] * len(ends) + slot
            total = sums[:, at] + weighted[:, begin:end]
            x1, y1, x2, y2 = mean = total[:4] / total[4]
            sums[:, at], means[:, at], areas[at] = total, mean, (x2 - x1) * (y2 - y1)
            slots[order[begin:end]] = at
    numbered: IntArray = np.unique(slots, return_inverse=True)[1].reshape(-1)
    return numbered


_STEP_ALONE = 0.25
"""Time of a step of ``_cluster_in_turn``, in those of ``cluster_boxes``."""


def _cluster_in_turn(
    boxes: FloatArray, scores: FloatArray, class_ids: IntArray, iou_threshold: float
) -> IntArray:
    """As ``cluster_boxes``, class by class and box by box."""
    cluster = np.zeros(len(boxes), np.int64)
    count = 0
    for class_id in np.unique(class_ids).tolist():
        rows = np.flatnonzero(class_ids == class_id)
        rows = rows[np.argsort(-scores[rows], kind="stable")]
        found, more = _cluster_of_class(boxes[rows], np.maximum(scores[rows], 1e-300), iou_threshold)
        cluster[rows] = count + found
        count += more
    return cluster


def _cluster_of_class(boxes: FloatArray, weights: FloatArray, iou_threshold: float) -> tuple[IntArray, int]:
    """Number of the cluster of each box, sorted best first, and the number of clusters."""
    size = len(boxes)
    x1, y1, x2, y2, area = means = np.zeros((5, size))
    wide, high, work = np.empty((3, size))
    sums: list[list[float]] = []
    cluster = np.empty(size, np.int64)
    with np.errstate(invalid="ignore", divide="ignore"):
        for row, (box, weight) in enumerate(zip(boxes.tolist(), weights.tolist(), strict=True)):
            used, (left, top, right, bottom) = len(sums), box
            slot = used
            if used:
                w, h, t = wide[:used], high[:used], work[:used]
                np.minimum(x2[:used], right, out=w)
                np.maximum(x1[:used], left, out=t)
                np.subtract(w, t, out=w)
                np.maximum(w, 0.0, out=w)
                np.minimum(y2[:used], bottom, out=h)
                np.maximum(y1[:used], top, out=t)
                np.subtract(h, t, out=h)
                np.maximum(h, 0.0, out=h)
                np.multiply(w, h, out=w)
                np.add(area[:used], (right - left) * (bottom - top), out=t)
                np.subtract(t, w, out=t)
                np.divide(w, t, out=w)
                best = int(w.argmax())
                if w[best] > iou_threshold:
                    slot = best
            if slot == used:
                sums.append([0.0] * 5)
            total = sums[slot]
            for i in range(4):
                total[i] += weight * box[i]
            total[4] += weight
            left, top, right, bottom = (total[i] / total[4] for i in range(4))
            means[:, slot] = left, top, right, bottom, (right - left) * (bottom - top)
            cluster[row] = slot
    return cluster, len(sums)


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
    width = np.minimum(means[2], box[2])
    width -= np.maximum(means[0], box[0])
    inter = np.minimum(means[3], box[3])
    inter -= np.maximum(means[1], box[1])
    np.maximum(width, 0.0, out=width)
    np.maximum(inter, 0.0, out=inter)
    inter *= width
    union = np.add(areas, (box[2] - box[0]) * (box[3] - box[1]), out=width)
    union -= inter
    inter /= union
    iou: FloatArray = inter
    return iou


def _above(
    score_threshold: float, rows: ImagePredictions, origin: IntArray
) -> tuple[ImagePredictions, IntArray]:
    """Detections that score at least so much, and where they come from."""
    counted = rows.scores >= score_threshold
    return rows.take(counted), origin[counted]


def _sees(results: Sequence[ViewResult], boxes: FloatArray) -> FloatArray:
    """(K, R) 1 where a result's window holds a box as a whole; of boxes that none holds, its center."""
    # Windows come back through scalings, which may cost the last bits of an edge.
    windows = np.array([result.window_xyxy_px for result in results]) + np.array([-1e-6, -1e-6, 1e-6, 1e-6])
    # What a detector finds reaches beyond the image now and then.
    inside = np.clip(boxes, 0.0, np.array([*results[0].predictions.size_wh] * 2, np.float64))
    centers = (inside[:, :2] + inside[:, 2:]) / 2
    sees = _holds(windows, inside)
    for more in (_holds(windows, np.concatenate([centers, centers], axis=1)), np.ones_like(sees)):
        sees[~sees.any(axis=1)] = more[~sees.any(axis=1)]
    return sees.astype(np.float64)


def _holds(windows: FloatArray, boxes: FloatArray) -> BoolArray:
    """(K, R) whether each box, (K, 4), is inside each window, (R, 4)."""
    low = boxes[:, None, :2] >= windows[:, :2]
    high = boxes[:, None, 2:] <= windows[:, 2:]
    holds: BoolArray = np.asarray((low & high).all(axis=2))
    return holds


def _weights(results: Sequence[ViewResult]) -> FloatArray:
    return np.array([result.weight for result in results], np.float64)
