"""Corners of oriented boxes on both sides: what their IoU is measured on.

Annotations are polygons of four corners. Detections have their corners as four keypoints, as adapters of
models of oriented boxes give them (``geometry.oriented.CORNERS``): the contract's masks are whole pixels.
"""

from __future__ import annotations

from dataclasses import replace
from typing import TypeVar

import numpy as np

from anydet.evaluation.lacking_rows import refuse
from anydet.geometry.boxes import xyxy_to_xywh
from anydet.geometry.oriented import areas_of, convex_hulls, enclosing_xyxy
from anydet.mask_columns import SegmentationColumn
from anydet.types import BoolArray, DetectionColumns, FloatArray, GroundTruthColumns, Labels

_T = TypeVar("_T", DetectionColumns, Labels)


def corners_of_detections(into: DetectionColumns, detections: DetectionColumns) -> DetectionColumns:
    """Columns with the corners of detections as (N, 4, 3) keypoints, their areas, and the boxes around them.

    Args:
        into: columns of the same detections.
        detections: their corners are in ``keypoints``.

    Raises:
        EvaluationError: a detection has no four keypoints, naming how many and the first one's image.
    """
    points = detections.keypoints
    if points is None or points.shape[1] != 4:
        points = np.full((len(detections), 4, 3), np.nan)
    refuse(
        _lacking(points[..., :2]),
        detections,
        "detections have no four corners",
        "give predictions of oriented boxes, whose keypoints are their corners, or --iou-type bbox",
    )
    return _with_corners(into, points[..., :2])


def corners_of_annotations(into: Labels, ground_truth: GroundTruthColumns) -> Labels:
    """Columns with the corners of annotations as (G, 4, 3) keypoints, their areas, and the boxes around them.

    An area that the source states stays.

    Args:
        into: columns of the same annotations.
        ground_truth: its segmentations are polygons of four corners.

    Raises:
        EvaluationError: an annotation is none, naming how many and the first one's image.
    """
    old = ground_truth.labels
    segmentations = old.segmentations
    # Masks that are drawn in files of their own are not opened to find out that they are no polygons.
    stated = isinstance(segmentations, SegmentationColumn | tuple | list)
    polygons = SegmentationColumn.of(segmentations if segmentations and stated else (None,) * len(old))
    corners = polygons.quadrilaterals
    refuse(
        _lacking(corners),
        ground_truth,
        "annotations are no polygon of four corners",
        "use a data set of oriented boxes, or --iou-type bbox",
    )
    found = _with_corners(into, corners)
    invented = np.zeros(len(old), np.bool_) if old.area_stated is None else ~old.area_stated
    return replace(found, areas=np.where(invented, found.areas, old.areas))


def _lacking(corners: FloatArray) -> BoolArray:
    return np.asarray(np.isnan(corners).any(axis=(1, 2)), np.bool_)


def _with_corners(into: _T, corners: FloatArray) -> _T:
    hulls = convex_hulls(corners)
    points = np.pad(hulls, ((0, 0), (0, 0), (0, 1)))
    boxes = xyxy_to_xywh(enclosing_xyxy(hulls))
    return replace(into, keypoints=points, areas=areas_of(hulls), boxes_xywh_px=boxes)
