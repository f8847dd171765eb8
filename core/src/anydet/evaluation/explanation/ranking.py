"""Mistakes in which detections there are and how they rank: duplicates, scores upside down."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import replace

from anydet.evaluation.explanation.cause import Cause
from anydet.geometry.boxes import nms_by_class, xywh_to_xyxy
from anydet.types import DetectionColumns, GroundTruthColumns

_NMS_IOU = 0.6


def ranking_causes() -> Iterator[Cause]:
    """Duplicates and scores upside down."""
    yield Cause(
        "duplicates",
        "objects are detected several times: non-maximum suppression is missing",
        f"suppress overlapping boxes of a class before writing (an IoU of {_NMS_IOU} or so), and do not "
        "write an image's detections twice",
        _suppress,
    )
    yield Cause(
        "scores",
        "scores are upside down: the best detections have the lowest",
        "write confidence, not a cost or distance: 1 - score",
        _turn_over,
    )


def _suppress(detections: DetectionColumns, truth: GroundTruthColumns) -> DetectionColumns:
    groups = detections.image_index * len(truth.classes) + detections.class_ids
    boxes = xywh_to_xyxy(detections.boxes_xywh_px)
    kept = nms_by_class(boxes, detections.scores, groups, _NMS_IOU)
    kept.sort()
    return detections.take(kept)


def _turn_over(detections: DetectionColumns, _: GroundTruthColumns) -> DetectionColumns:
    return replace(detections, scores=1.0 - detections.scores)
