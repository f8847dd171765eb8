"""VOC's matching: each detection looks at the annotation that it overlaps most, whether that is taken or not.

COCO's greedy matching (``greedy_matching.pair``) looks at those that are left, so that a second detection of
one object may match its neighbor; here it is a duplicate.
"""

from __future__ import annotations

from dataclasses import replace

import numpy as np

from anydet.evaluation.greedy_matching import Overlaps, overlaps
from anydet.types import BoolArray, DetectionColumns, GroundTruthColumns, IntArray


def best_annotations(
    detections: DetectionColumns, ground_truth: GroundTruthColumns, least: float
) -> IntArray:
    """(N,) row of the annotation of the same class and image that each detection overlaps most, else -1.

    Of equal overlaps the first row is taken, as ``argmax`` does.

    Args:
        detections: over ``ground_truth.images``.
        ground_truth: the annotations; overlap with those of crowds is the fraction of the detection inside.
        least: overlap below which there is none.
    """
    return best_of(overlaps(detections, ground_truth, least=least), len(detections))


def best_of(found: Overlaps, count: int) -> IntArray:
    """(count,) row of the annotation that each detection overlaps most, of pairs; -1 where it is in none."""
    order = np.lexsort((found.annotations, -found.iou, found.detections))
    owner = found.detections[order]
    first = np.append(True, owner[1:] != owner[:-1])[: len(order)]
    best = np.full(count, -1, np.int64)
    best[owner[first]] = found.annotations[order][first]
    return best


def first_claims(detections: DetectionColumns, best: IntArray) -> BoolArray:
    """(N,) whether a detection has the highest score of those that look at the same annotation.

    Of equal scores the first row is taken; detections that look at none (-1) claim nothing.
    """
    order = np.lexsort((-detections.scores, best))
    claimed = best[order]
    first = np.append(True, claimed[1:] != claimed[:-1])[: len(order)] & (claimed >= 0)
    claims = np.zeros(len(best), np.bool_)
    claims[order[first]] = True
    return claims


def select_annotations(ground_truth: GroundTruthColumns, kept: BoolArray) -> GroundTruthColumns:
    """The same images with some of the annotations."""
    labels = ground_truth.labels.take(kept)
    return replace(ground_truth, image_index=ground_truth.image_index[kept], labels=labels)
