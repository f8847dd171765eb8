"""How well single images went: right, wrong and missed boxes, for putting the worst first."""

from __future__ import annotations

from dataclasses import dataclass
from itertools import pairwise

import numpy as np

from anydet.geometry.boxes import area_xyxy, iou_xyxy, xywh_to_xyxy
from anydet.types import BoolArray, DetectionColumns, FloatArray, GroundTruthColumns, IntArray


@dataclass(frozen=True, slots=True, eq=False)
class ImageScores:
    """Counts over the images of the ground truth.

    Attributes:
        right: (I,) detections that match an annotation of their class.
        wrong: (I,) detections that match none.
        missed: (I,) annotations that no detection matches.
    """

    right: IntArray
    wrong: IntArray
    missed: IntArray

    @property
    def f1(self) -> FloatArray:
        """(I,) 2 right / (2 right + wrong + missed); 1 where there is nothing and nothing was found."""
        both = 2 * self.right
        total = both + self.wrong + self.missed
        f1: FloatArray = np.where(total > 0, both / np.maximum(total, 1), 1.0)
        return f1

    def worst_first(self) -> IntArray:
        """(I,) positions, lowest F1 first, of equal ones those with more mistakes."""
        order: IntArray = np.lexsort((-(self.wrong + self.missed), self.f1))
        return order


def score_images(
    detections: DetectionColumns,
    ground_truth: GroundTruthColumns,
    *,
    score_threshold: float = 0.3,
    iou_threshold: float = 0.5,
) -> ImageScores:
    """Match boxes as COCO does at one IoU: per class, best score first, each to the best free annotation.

    A detection with half of its area inside a crowd of its class is left out when it matches nothing else.

    Args:
        detections: over ``ground_truth.images``.
        ground_truth: annotations; crowds are never missed.
        score_threshold: detections below are left out.
        iou_threshold: lowest IoU of a match.
    """
    counts = np.zeros((3, len(ground_truth.images)), np.int64)
    kept = np.flatnonzero(detections.scores >= score_threshold)
    kept = kept[np.lexsort((-detections.scores[kept], detections.image_index[kept]))]
    found_in = _slices(detections.image_index[kept], counts.shape[1])
    order = np.argsort(ground_truth.image_index, kind="stable")
    true_in = _slices(ground_truth.image_index[order], counts.shape[1])
    labels = ground_truth.labels
    found_boxes = xywh_to_xyxy(detections.boxes_xywh_px[kept])
    true_boxes, crowds = xywh_to_xyxy(labels.boxes_xywh_px[order]), labels.iscrowd[order]
    found_ids, true_ids = detections.class_ids[kept], labels.class_ids[order]
    for i, (rows, true) in enumerate(zip(found_in, true_in, strict=True)):
        same = found_ids[rows][:, None] == true_ids[true][None, :]
        crowd = crowds[true]
        matched = _match(iou_xyxy(found_boxes[rows], true_boxes[true]) * (same & ~crowd), iou_threshold)
        excused = _inside(found_boxes[rows], true_boxes[true], same & crowd)
        counts[:, i] = matched.sum(), (~matched & ~excused).sum(), (~crowd).sum() - matched.sum()
    return ImageScores(*counts)


def _slices(image_index: IntArray, count: int) -> list[slice]:
    """Where the rows of each image stand in an ascending index."""
    edges = np.searchsorted(image_index, np.arange(count + 1)).tolist()
    return [slice(start, stop) for start, stop in pairwise(edges)]


def _match(iou: FloatArray, threshold: float) -> BoolArray:
    """(N,) which rows get a column of their own, first row first."""
    iou, matched = iou.copy(), np.zeros(len(iou), np.bool_)
    for row in range(len(iou) if iou.shape[1] else 0):
        best = int(np.argmax(iou[row]))
        if iou[row, best] >= threshold:
            matched[row] = True
            iou[:, best] = 0.0
    return matched


def _inside(boxes: FloatArray, crowds: FloatArray, wanted: BoolArray) -> BoolArray:
    """(N,) whether half of a box is inside one of its wanted crowds."""
    low = np.maximum(boxes[:, None, :2], crowds[None, :, :2])
    side = np.clip(np.minimum(boxes[:, None, 2:], crowds[None, :, 2:]) - low, 0.0, None)
    shared = np.logical_and(side.prod(axis=2) >= 0.5 * area_xyxy(boxes)[:, None], wanted)
    inside: BoolArray = shared.any(axis=1)
    return inside
