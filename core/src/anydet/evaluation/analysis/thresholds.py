"""The score threshold at which F1 is highest, for each class and for all together.

F1 = 2 TP / (2 TP + FP + FN), with detections matched at IoU 0.5 as COCO does it. A threshold keeps all
detections of at least its score, so equal scores are never parted; of equally good thresholds the highest is
named. ``F1`` is the mean of the classes' best, which hotcoco's ``f_scores`` calls F1_50.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np

from anydet.evaluation.analysis.pool import ImageRows, Judged, PooledEvaluator, Wanted
from anydet.evaluation.greedy_matching import pair
from anydet.evaluation.results import Measured
from anydet.evaluation.tables import Cell, Table
from anydet.types import BoolArray, ClassTable, DetectionColumns, FloatArray, GroundTruthColumns


@dataclass(frozen=True, slots=True)
class OperatingPoint:
    """Where F1 is highest: keep detections with at least this score."""

    threshold: float
    f1: float
    precision: float
    recall: float


class ThresholdEvaluator(PooledEvaluator):
    """F1-optimal thresholds.

    Args:
        classes: the class table of the ground truth.
        iou_threshold: lowest IoU of a match.
    """

    name = "thresholds"

    def __init__(self, classes: ClassTable, iou_threshold: float = 0.5) -> None:
        super().__init__(classes)
        self.iou_threshold = iou_threshold

    def rows(self, detections: DetectionColumns, ground_truth: GroundTruthColumns) -> Sequence[ImageRows]:
        """Right and wrong detections, and the annotations."""
        matched = pair(detections, ground_truth, iou_threshold=self.iou_threshold)
        kept = np.flatnonzero(~matched.ignored)
        counted = np.flatnonzero(~ground_truth.labels.iscrowd)
        return (
            Judged(
                detections.image_index[kept],
                detections.class_ids[kept],
                detections.scores[kept],
                matched.annotations[kept] >= 0,
            ),
            Wanted(ground_truth.image_index[counted], ground_truth.labels.class_ids[counted]),
        )

    def count(self, images: tuple[str, ...], judged: Judged, wanted: Wanted) -> Measured:
        """Thresholds of all classes that have annotations."""
        del images
        rows: list[tuple[Cell, ...]] = []
        best = []
        for c, name in enumerate(self.classes.names):
            positives, mine = int(np.count_nonzero(wanted.class_ids == c)), judged.class_ids == c
            point = find_operating_point(judged.scores[mine], judged.right[mine], positives)
            if positives:
                best.append(point.f1 if point else 0.0)
            if point:
                rows.append((name, point.threshold, point.f1, point.precision, point.recall))
            else:
                nothing = 0.0 if positives else None
                rows.append((name, None, nothing, None, nothing))
        overall = find_operating_point(judged.scores, judged.right, len(wanted.class_ids))
        return Measured(
            {
                "F1": sum(best) / len(best) if best else None,
                "threshold": overall.threshold if overall else None,
                "F1_all": overall.f1 if overall else None,
                "precision_all": overall.precision if overall else None,
                "recall_all": overall.recall if overall else None,
            },
            (
                Table(
                    "F1-optimal thresholds", ("class", "threshold", "F1", "precision", "recall"), tuple(rows)
                ),
            ),
            {"iou_threshold": self.iou_threshold},
        )


def find_operating_point(scores: FloatArray, right: BoolArray, positives: int) -> OperatingPoint | None:
    """The threshold of the highest F1; ``None`` where no detection is right or nothing is annotated.

    Args:
        scores: (N,) of the detections, in any order.
        right: (N,) whether they match an annotation.
        positives: annotations.
    """
    order = np.argsort(-scores, kind="stable")
    hits, kept = np.cumsum(right[order]), np.arange(1, len(order) + 1)
    last = np.append(np.diff(scores[order]) != 0, True)[: len(order)]  # of a run of equal scores
    f1 = np.where(last, 2 * hits / (kept + positives), -1.0)
    if not positives or not f1.max(initial=0) > 0:
        return None
    best = int(np.argmax(f1))
    true = int(hits[best])
    return OperatingPoint(float(scores[order[best]]), float(f1[best]), true / (best + 1), true / positives)


def threshold_evaluator(ground_truth: GroundTruthColumns) -> ThresholdEvaluator:
    """The evaluator that is registered as ``thresholds``."""
    return ThresholdEvaluator(ground_truth.classes)
