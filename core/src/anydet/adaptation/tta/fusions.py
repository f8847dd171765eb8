"""The fusions that core brings."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import replace

import numpy as np

from anydet.adaptation.tta.merging import complete_poses, join_results, merge_clusters
from anydet.geometry.boxes import nms_by_class, overlapping_pairs
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
        kept = nms_by_class(boxes, weighted, class_ids, self._iou_threshold)
        best = rows.take(kept)
        if best.poses is None:
            return best
        cluster, _ = _leaders(boxes, weighted, class_ids, kept, self._iou_threshold)
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
        kept = nms_by_class(boxes, scores, class_ids, self._iou_threshold)
        cluster, overlap = _leaders(boxes, scores, class_ids, kept, self._iou_threshold)
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
        return _soften(scores, first, second, 1 - iou if self._linear else np.exp(-(iou**2) / self._sigma))


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


def _leaders(
    boxes: FloatArray, scores: FloatArray, class_ids: IntArray, kept: IntArray, iou_threshold: float
) -> tuple[IntArray, FloatArray]:
    """Position in ``kept`` of the detection that stands for each, and the IoU of both.

    Of the better ones that NMS kept, it is the one with most overlap; a detection that was kept stands for
    itself.
    """
    rank = np.empty(len(scores), np.int64)
    rank[np.lexsort((np.arange(len(scores)), -scores))] = np.arange(len(scores))
    cluster, overlap = np.full(len(scores), -1), np.ones(len(scores))
    cluster[kept] = np.arange(len(kept))
    one, other, iou = overlapping_pairs(boxes, class_ids, iou_threshold)
    better, worse = np.where(rank[one] < rank[other], (one, other), (other, one))
    candidates = cluster[better] >= 0
    better, worse, iou = better[candidates], worse[candidates], iou[candidates]
    # The last assignment to an element stands: that of most overlap, of equal ones that of the best.
    order = np.lexsort((-rank[better], iou))
    better, worse, iou = better[order], worse[order], iou[order]
    cluster[worse], overlap[worse] = cluster[better], iou
    return cluster, overlap


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
