"""Estimated and true poses from columns, and how far those of matched detections are apart."""

from __future__ import annotations

from collections.abc import Mapping

import numpy as np

from anydet.columns import Columns
from anydet.dataclass import dataclass
from anydet.geometry import pose_errors
from anydet.geometry.boxes import xywh_to_xyxy
from anydet.geometry.pose_errors import Shape
from anydet.geometry.poses import resolve
from anydet.types import (
    BoolArray,
    DetectionColumns,
    FloatArray,
    GroundTruthColumns,
    ImageColumns,
    IntArray,
    Intrinsics,
    Poses,
)


@dataclass(frozen=True, slots=True, eq=False)
class PoseMatches(Columns):
    """Errors of matched detections, one row each; NaN where something is missing to measure them.

    Attributes:
        class_ids: (M,) int64.
        rotation_deg: (M,) to the nearest pose in which the object looks the same.
        plain_rotation_deg: (M,) without symmetries.
        translation_m: (M,) distance of the origins.
        depth_m: (M,) along the camera's axis.
        relative_depth: (M,) the same as a fraction of the true depth.
        add_m: (M,) mean distance of vertices.
        adds_m: (M,) mean distance to the nearest vertex.
        projection_px: (M,) mean distance of projected vertices.
        diameter_m: (M,) of the object.
        symmetric: (M,) bool, the object looks the same in more than one pose.
    """

    class_ids: IntArray
    rotation_deg: FloatArray
    plain_rotation_deg: FloatArray
    translation_m: FloatArray
    depth_m: FloatArray
    relative_depth: FloatArray
    add_m: FloatArray
    adds_m: FloatArray
    projection_px: FloatArray
    diameter_m: FloatArray
    symmetric: BoolArray

    def __len__(self) -> int:
        return len(self.class_ids)

    @property
    def expected_m(self) -> FloatArray:
        """(M,) ADD-S of symmetric objects and ADD of others, which is called ADD(-S)."""
        return np.where(self.symmetric, self.adds_m, self.add_m)


def measure(
    estimated: FloatArray,
    true: FloatArray,
    class_ids: IntArray,
    cameras: FloatArray,
    shapes: Mapping[int, Shape],
) -> PoseMatches:
    """Errors of (M, 4, 4) poses.

    Args:
        estimated: NaN where unknown.
        true: all known.
        class_ids: (M,).
        cameras: (M, 4) fx, fy, cx, cy, NaN where unknown.
        shapes: models by class id; without one, only rotation, translation and depth are measured.
    """
    nearest, symmetric = np.array(true), np.zeros(len(true), np.bool_)
    diameters = np.full(len(true), np.nan)
    for class_id in np.unique(class_ids).tolist():
        if class_id in shapes:
            model, rows = shapes[class_id].model, np.flatnonzero(class_ids == class_id)
            nearest[rows] = pose_errors.closest_equivalents(estimated[rows], true[rows], model)
            symmetric[rows], diameters[rows] = model.symmetric, model.diameter_m
    depth = np.abs(estimated[:, 2, 3] - true[:, 2, 3])
    surface = np.full((3, len(true)), np.nan)
    for row in np.flatnonzero(is_known(estimated)).tolist():
        shape = shapes.get(int(class_ids[row]))
        if shape is not None:
            surface[0, row] = pose_errors.add_m(estimated[row], true[row], shape)
            surface[1, row] = pose_errors.adds_m(estimated[row], true[row], shape)
        if shape is not None and np.isfinite(cameras[row]).all():
            camera = Intrinsics(*cameras[row].tolist())
            surface[2, row] = pose_errors.projection_px(estimated[row], nearest[row], shape, camera)
    return PoseMatches(
        class_ids=class_ids,
        rotation_deg=pose_errors.rotation_error_deg(estimated, nearest),
        plain_rotation_deg=pose_errors.rotation_error_deg(estimated, true),
        translation_m=pose_errors.translation_error_m(estimated, nearest),
        depth_m=depth,
        relative_depth=depth / np.abs(true[:, 2, 3]),
        add_m=surface[0],
        adds_m=surface[1],
        projection_px=surface[2],
        diameter_m=diameters,
        symmetric=symmetric,
    )


def is_known(poses: FloatArray) -> BoolArray:
    """(N,) whether rotation and translation of (N, 4, 4) are there."""
    known: BoolArray = np.logical_and.reduce(np.isfinite(poses), axis=(1, 2))
    return known


def camera_table(
    detections: DetectionColumns, ground_truth: GroundTruthColumns
) -> tuple[FloatArray, FloatArray]:
    """(I, 4) cameras that estimates and true poses are seen through, NaN where unknown.

    Each side's own, where it states one, else the other's.
    """
    count = len(ground_truth.images)
    ours, theirs = _stated(detections.about, count), _stated(ground_truth.about, count)
    return np.where(np.isfinite(ours), ours, theirs), np.where(np.isfinite(theirs), theirs, ours)


def poses_of(
    columns: Poses | None, boxes_xywh_px: FloatArray, image_index: IntArray, cameras: FloatArray
) -> FloatArray:
    """(N, 4, 4) poses from whatever a row has, NaN where that is not enough; the depth alone where it is.

    Args:
        columns: as predictions or labels have them.
        boxes_xywh_px: (N, 4), from whose centers offsets count.
        image_index: (N,).
        cameras: (I, 4).
    """
    poses = np.full((len(image_index), 4, 4), np.nan)
    if columns is None or not len(poses):
        return poses
    boxes = xywh_to_xyxy(boxes_xywh_px)
    kinds, kind = np.unique(np.nan_to_num(cameras, nan=-1.0), axis=0, return_inverse=True)
    for i, camera in enumerate(np.where(kinds[:, :1] > 0, kinds, np.nan).tolist()):
        rows = np.flatnonzero(kind.reshape(-1)[image_index] == i)
        poses[rows] = pose_errors.pose(*resolve(columns.take(rows), boxes[rows], Intrinsics(*camera)))
    if columns.log_z is not None:
        with np.errstate(over="ignore"):
            depth = np.exp(columns.log_z)
        poses[:, 2, 3] = np.where(np.isnan(poses[:, 2, 3]), depth, poses[:, 2, 3])
    return poses


def _stated(about: ImageColumns | None, count: int) -> FloatArray:
    none = np.full((count, 4), np.nan)
    return none if about is None or about.cameras is None else about.cameras
