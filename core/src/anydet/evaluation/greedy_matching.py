"""Which annotation each detection is matched to: what states, poses and confusions are counted on."""

from __future__ import annotations

import numpy as np

from anydet.dataclass import dataclass
from anydet.types import BoolArray, DetectionColumns, FloatArray, GroundTruthColumns, IntArray

_CELLS = 1 << 22
"""Pairs of boxes whose IoU is taken at once, so that memory stays small however many there are."""
_STRICTEST = 1 - 1e-10
"""``COCOeval`` matches from min(threshold, 1 - 1e-10) on, so that a threshold of 1 can be met."""


@dataclass(frozen=True, slots=True, eq=False)
class Overlaps:
    """Pairs of a detection and an annotation on the same image.

    Attributes:
        detections: (P,) int64 rows; by image, within it by class unless classes do not count, and then by
            falling score.
        annotations: (P,) int64 rows; of one detection, those of crowds last.
        iou: (P,) float64; for a crowd, the fraction of the detection that is inside it.
    """

    detections: IntArray
    annotations: IntArray
    iou: FloatArray


@dataclass(frozen=True, slots=True, eq=False)
class Pairs:
    """What each detection was matched to.

    Attributes:
        annotations: (N,) int64 row of the annotation, -1 where the detection matched none.
        iou: (N,) float64 with that annotation, 0 where there is none.
        ignored: (N,) bool, matched to a crowd or not looked at, so that it counts neither way.
    """

    annotations: IntArray
    iou: FloatArray
    ignored: BoolArray

    @property
    def hits(self) -> IntArray:
        """Rows of the detections that matched an annotation that counts, ascending."""
        return np.flatnonzero((self.annotations >= 0) & ~self.ignored)


def overlaps(
    detections: DetectionColumns,
    ground_truth: GroundTruthColumns,
    *,
    least: float,
    class_agnostic: bool = False,
) -> Overlaps:
    """All pairs of boxes on one image, and of one class unless ``class_agnostic``, of at least this IoU.

    IoU is equal in every bit to that of pycocotools (``bbIou`` of its ``maskApi.c``).

    Args:
        detections: over ``ground_truth.images``.
        ground_truth: the annotations.
        least: IoU of the pairs to give; 0 gives those that do not even touch, too.
        class_agnostic: pairs of different classes, too.
    """
    labels = ground_truth.labels
    found_key, true_key = keys_of(detections, ground_truth, class_agnostic=class_agnostic)
    rows = np.lexsort((-detections.scores, found_key))
    # Crowds last: COCOeval stops at the first crowd once an annotation that counts has matched.
    true_rows = np.lexsort((labels.iscrowd, true_key))
    first = np.searchsorted(true_key[true_rows], found_key[rows], side="left")
    counts = np.searchsorted(true_key[true_rows], found_key[rows], side="right") - first
    ends = np.cumsum(counts)
    chunks, start = [(np.zeros(0, np.int64), np.zeros(0, np.int64), np.zeros(0))], 0
    while start < len(rows):
        before = ends[start - 1] if start else 0
        # At least one detection, even if it alone has more pairs than fit.
        stop = max(start + 1, int(np.searchsorted(ends, before + _CELLS, side="right")))
        owners = np.repeat(np.arange(start, stop), counts[start:stop])
        place = np.arange(before, ends[stop - 1]) - (ends - counts - first)[owners]
        found, true = rows[owners], true_rows[place]
        iou = _iou(detections.boxes_xywh_px[found], labels.boxes_xywh_px[true], labels.iscrowd[true])
        kept = iou >= least
        chunks.append((found[kept], true[kept], iou[kept]))
        start = stop
    return Overlaps(*(np.concatenate(column) for column in zip(*chunks, strict=True)))


def pair(
    detections: DetectionColumns,
    ground_truth: GroundTruthColumns,
    *,
    iou_threshold: float = 0.5,
    max_detections: int | None = 100,
    class_agnostic: bool = False,
) -> Pairs:
    """Match boxes in COCO's greedy order; hits and crowds agree with ``Engine.match`` over all areas.

    Of each class on each image, the detection of the highest score picks first (of equal ones the earlier
    row): the free annotation of the highest IoU, of equal ones the last; a crowd only if nothing else is
    there, and crowds are never used up.

    Args:
        detections: over ``ground_truth.images``.
        ground_truth: the annotations.
        iou_threshold: lowest IoU of a match.
        max_detections: looked at per image and class (per image if ``class_agnostic``); ``None`` is all.
        class_agnostic: match whatever the classes are.
    """
    found = overlaps(detections, ground_truth, least=at_least(iou_threshold), class_agnostic=class_agnostic)
    rank = ranks_of(detections, keys_of(detections, ground_truth, class_agnostic=class_agnostic)[0])
    limit = len(rank) if max_detections is None else max_detections
    crowd = ground_truth.labels.iscrowd[found.annotations]
    # The best candidate of a detection is its last one, so that what is left of it still ends with the best.
    order = np.lexsort((found.annotations, found.iou, ~crowd, found.detections, rank[found.detections]))
    best = claim(found, order, rank[found.detections[order]], crowd, limit)
    annotations, iou = np.full(len(detections), -1, np.int64), np.zeros(len(detections))
    annotations[found.detections[best]] = found.annotations[best]
    iou[found.detections[best]] = found.iou[best]
    ignored = rank >= limit
    matched = annotations >= 0
    ignored[matched] = ground_truth.labels.iscrowd[annotations[matched]]
    return Pairs(annotations, iou, ignored)


def at_least(iou_threshold: float) -> float:
    """The lowest IoU that matches at a threshold."""
    return min(iou_threshold, _STRICTEST)


def claim(found: Overlaps, order: IntArray, ranks: IntArray, endless: BoolArray, limit: int) -> IntArray:
    """Pairs that match, where detections take annotations one rank after the other: (M,) rows of ``found``.

    Args:
        found: the pairs.
        order: (O,) rows of the pairs that may match; by rank, within it by detection, and then from its worst
            candidate to its best.
        ranks: (O,) rank of the detection of each of them, rising.
        endless: (P,) pairs whose annotation is never used up.
        limit: ranks from which on nothing matches.
    """
    taken = np.zeros(int(found.annotations.max(initial=-1)) + 1, np.bool_)
    matched = [np.zeros(0, np.int64)]
    for step in np.unique(ranks[ranks < limit]).tolist():
        mine = order[slice(*np.searchsorted(ranks, [step, step + 1]))]
        mine = mine[~taken[found.annotations[mine]]]
        owner = found.detections[mine]
        best = mine[np.append(owner[1:] != owner[:-1], True)[: len(mine)]]
        matched.append(best)
        # A crowd stands for any number of objects and is never used up.
        taken[found.annotations[best]] = ~endless[best]
    return np.concatenate(matched)


def keys_of(
    detections: DetectionColumns, ground_truth: GroundTruthColumns, *, class_agnostic: bool
) -> tuple[IntArray, IntArray]:
    """What detections and annotations are compared within: the image, and the class if it counts."""
    if class_agnostic:
        return detections.image_index, ground_truth.image_index
    classes = len(ground_truth.classes)
    return (
        detections.image_index * classes + detections.class_ids,
        ground_truth.image_index * classes + ground_truth.labels.class_ids,
    )


def ranks_of(detections: DetectionColumns, keys: IntArray) -> IntArray:
    """(N,) 0 for the highest score of each key, 1 for the next, ..."""
    order = np.lexsort((-detections.scores, keys))
    ranks = np.empty(len(order), np.int64)
    ranks[order] = np.arange(len(order)) - np.searchsorted(keys[order], keys[order], side="left")
    return ranks


def _iou(found: FloatArray, true: FloatArray, crowd: BoolArray) -> FloatArray:
    """(P,) IoU of boxes x, y, width, height, row by row."""
    low = np.maximum(found[:, :2], true[:, :2])
    side = np.maximum(np.minimum(found[:, :2] + found[:, 2:], true[:, :2] + true[:, 2:]) - low, 0.0)
    inter = side[:, 0] * side[:, 1]
    area = found[:, 2] * found[:, 3]
    # For a crowd the union is the detection alone, so that a small box inside it has an IoU of 1.
    union = np.where(crowd, area, area + true[:, 2] * true[:, 3] - inter)
    iou: FloatArray = np.divide(inter, union, out=np.zeros_like(inter), where=inter > 0)
    return iou
