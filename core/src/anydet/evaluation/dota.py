"""Average precision of DOTA: of oriented boxes, by class, at one IoU threshold.

Xia et al. 2018, "DOTA: A Large-scale Dataset for Object Detection in Aerial Images", and
``dota_evaluation_task1.py`` of its development kit. It is VOC's protocol (``voc``) with the IoU of polygons:
annotations that are ``difficult`` (crowds here) count neither way. The kit's own number is that of VOC2007,
with 11 points.
"""

from __future__ import annotations

from dataclasses import replace

from anydet.errors import EvaluationError
from anydet.evaluation.best_overlap import best_of
from anydet.evaluation.greedy_matching import Overlaps
from anydet.evaluation.oriented_columns import corners_of_annotations, corners_of_detections
from anydet.evaluation.oriented_engine import oriented_overlaps
from anydet.evaluation.voc import VocEvaluator
from anydet.types import DetectionColumns, GroundTruthColumns, IntArray


class DotaEvaluator(VocEvaluator):
    """AP of oriented boxes as DOTA's kit has it (11 points), and as the area under the curve."""

    name = "dota"

    def applies(self, detections: DetectionColumns, ground_truth: GroundTruthColumns) -> str | None:
        """The reason why there is nothing to measure, or ``None``."""
        reason = super().applies(detections, ground_truth)
        if reason is None:
            try:
                _with_corners(detections, ground_truth)
            except EvaluationError as error:
                reason = error.problem
        return reason

    def best(self, detections: DetectionColumns, ground_truth: GroundTruthColumns) -> IntArray:
        """(N,) row of the annotation that each detection overlaps most and enough, else -1."""
        pairs = oriented_overlaps(*_with_corners(detections, ground_truth))
        enough = pairs.iou >= self.iou_threshold
        kept = Overlaps(pairs.detections[enough], pairs.annotations[enough], pairs.iou[enough])
        return best_of(kept, len(detections))


def _with_corners(
    detections: DetectionColumns, ground_truth: GroundTruthColumns
) -> tuple[DetectionColumns, GroundTruthColumns]:
    """Raises ``EvaluationError`` where a detection or an annotation has no four corners."""
    found = corners_of_detections(detections, detections)
    labels = corners_of_annotations(ground_truth.labels, ground_truth)
    return found, replace(ground_truth, labels=labels)


def dota_evaluator(ground_truth: GroundTruthColumns) -> DotaEvaluator:
    """The evaluator that is registered as ``dota``."""
    return DotaEvaluator(ground_truth.classes)
