"""What became of each box: right, wrong in which way, missed; and which images went worst.

Right and missed are COCO's, by the matching that ``AP50`` is made of (``greedy_matching.pair``). In what way
a detection is wrong is TIDE's (``analysis.tide``), under names for people.
"""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from anydet.evaluation.analysis.tide import TideEvaluator
from anydet.evaluation.greedy_matching import pair
from anydet.types import BoolArray, DetectionColumns, FloatArray, GroundTruthColumns, IntArray

WRONG_CLASS, MISPLACED, MISPLACED_CLASS, DUPLICATE, NOTHING, RIGHT, IGNORED, NOT_SHOWN = range(8)
"""The first five are TIDE's errors ``Cls``, ``Loc``, ``Both``, ``Dupe``, ``Bkg``, in its order."""
WRONG = WRONG_CLASS, MISPLACED, MISPLACED_CLASS, DUPLICATE, NOTHING
"""False positives."""


@dataclass(frozen=True, slots=True, eq=False)
class ImageOutcomes:
    """What became of detections and annotations, and counts over the images of the ground truth.

    Attributes:
        kinds: (N,) int8 of each detection; ``NOT_SHOWN`` below the score threshold, ``IGNORED`` in a crowd
            or beyond 100 of a class on an image.
        about: (N,) row of the annotation that a detection matches, or that it misses in place or class; -1.
        iou: (N,) with that annotation, else 0.
        missed: (G,) bool, no detection matches the annotation, and it is no crowd.
        detections: what ``kinds`` is of.
        ground_truth: what ``missed`` is of.
    """

    kinds: NDArray[np.int8]
    about: IntArray
    iou: FloatArray
    missed: BoolArray
    detections: DetectionColumns
    ground_truth: GroundTruthColumns

    def per_image(self, *kinds: int) -> IntArray:
        """(I,) detections of any of these kinds."""
        return self._count(self.detections.image_index[np.isin(self.kinds, kinds)])

    @property
    def right(self) -> IntArray:
        """(I,) detections that match an annotation of their class."""
        return self.per_image(RIGHT)

    @property
    def wrong(self) -> IntArray:
        """(I,) false positives."""
        return self.per_image(*WRONG)

    @property
    def missed_per_image(self) -> IntArray:
        """(I,) annotations that no detection matches."""
        return self._count(self.ground_truth.image_index[self.missed])

    @property
    def f1(self) -> FloatArray:
        """(I,) 2 right / (2 right + wrong + missed); 1 where there is nothing and nothing was found."""
        both = 2 * self.right
        total = both + self.wrong + self.missed_per_image
        f1: FloatArray = np.where(total > 0, both / np.maximum(total, 1), 1.0)
        return f1

    def worst_first(self) -> IntArray:
        """(I,) positions, lowest F1 first, of equal ones those with more mistakes."""
        order: IntArray = np.lexsort((-(self.wrong + self.missed_per_image), self.f1))
        return order

    def _count(self, image_index: IntArray) -> IntArray:
        return np.bincount(image_index, minlength=len(self.ground_truth.images))


def find_outcomes(
    detections: DetectionColumns,
    ground_truth: GroundTruthColumns,
    *,
    score_threshold: float = 0.3,
    iou_threshold: float = 0.5,
) -> ImageOutcomes:
    """What became of the detections at or above a score, and of the annotations by them.

    A higher threshold takes detections away and changes nothing else, as COCO's matching is greedy.

    Args:
        detections: over ``ground_truth.images``.
        ground_truth: annotations; crowds are never missed.
        score_threshold: detections below are left out.
        iou_threshold: lowest IoU of a match.
    """
    kept = np.flatnonzero(detections.scores >= score_threshold)
    shown = detections.take(kept)
    pairs = pair(shown, ground_truth, iou_threshold=iou_threshold)
    tide = TideEvaluator(ground_truth.classes, foreground=iou_threshold)
    errors = tide.find_errors(shown, ground_truth, most=max(1, len(shown)))
    kinds, about, iou = np.empty(len(shown), np.int8), np.full(len(shown), -1), np.zeros(len(shown))
    kinds[errors.rows], about[errors.rows], iou[errors.rows] = errors.kinds, errors.about, errors.iou
    # Of annotations of equal IoU, TIDE takes the first and COCO the last.
    kinds[kinds == RIGHT] = DUPLICATE
    kinds[pairs.ignored] = IGNORED
    kinds[pairs.hits] = RIGHT
    about[pairs.hits], iou[pairs.hits] = pairs.annotations[pairs.hits], pairs.iou[pairs.hits]
    about[pairs.ignored], iou[pairs.ignored] = -1, 0.0
    missed = ~ground_truth.labels.iscrowd
    missed[pairs.annotations[pairs.hits]] = False
    whole = (
        np.full(len(detections), NOT_SHOWN, np.int8),
        np.full(len(detections), -1),
        np.zeros(len(detections)),
    )
    for column, part in zip(whole, (kinds, about, iou), strict=True):
        column[kept] = part
    return ImageOutcomes(*whole, missed, detections, ground_truth)
