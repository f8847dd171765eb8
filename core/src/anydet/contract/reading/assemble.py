"""Columns as a reader collected them into ``RawPredictions``."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

import numpy as np

from anydet.contract.encode import POSE_FIELDS
from anydet.contract.locations import Shape
from anydet.contract.raw import ImageDetails, RawPredictions
from anydet.geometry.rotations import rot6d_rows_to_columns
from anydet.scanner import Ragged, ScannedPredictions, Sparse
from anydet.types import FloatArray, IntArray, Poses

POSE_SHAPES: dict[str, tuple[int, ...]] = {
    "log_z": (),
    "rot6d": (6,),
    "R": (3, 3),
    "t": (3,),
    "offsets": (2,),
    "k_delta": (4,),
    "log_sigma_z": (),
    "log_sigma_rot": (),
}
"""Field of a detection in the file -> shape of its value."""


def assemble(
    path: str,
    shape: Shape,
    found: ScannedPredictions,
    *,
    meta: Mapping[str, Any] | None,
    details: Mapping[int, ImageDetails],
    extra: Mapping[int, Mapping[str, Any]],
) -> RawPredictions:
    """Everything over all rows.

    Args:
        path: the file.
        shape: its shape.
        found: what was read; its ``meta``, ``about`` and ``extra`` are not looked at.
        meta: judged.
        details: what entries say beside detections and size, by image index.
        extra: free data by row.
    """
    count = len(found.scores)
    meta = meta or None
    conventions = (meta or {}).get("conventions", {})
    classes = (meta or {}).get("classes")
    keypoints, visibility = _keypoints(count, found.keypoints)
    return RawPredictions(
        path=path,
        shape=shape,
        images=found.images,
        places=found.places,
        sizes_wh=found.sizes_wh,
        details=details,
        image_index=np.repeat(np.arange(len(found.images)), found.counts),
        class_ids=found.class_ids,
        boxes=found.boxes,
        scores=found.scores,
        states=found.states.over(count) if found.states else None,
        state_scores=found.state_scores.over(count) if found.state_scores else None,
        masks=found.masks,
        keypoints=keypoints,
        keypoint_visibility=visibility,
        poses=_poses(count, found.poses, rows_stacked=conventions.get("rot6d") == "rows"),
        detection_extra=tuple(map(extra.get, range(count))) if extra else None,
        meta=meta,
        classes=None if classes is None else tuple(classes),
        box_format=conventions.get("bbox_format", "cxcywh_norm"),
    )


def _poses(count: int, fields: Mapping[str, Sparse], *, rows_stacked: bool) -> Poses | None:
    columns = {
        POSE_FIELDS[name]: field.over(count).reshape(count, *POSE_SHAPES[name])
        for name, field in fields.items()
        if field
    }
    if rows_stacked and "rot6d" in columns:
        # Rows without a rotation are NaN here, which is no reason for a warning.
        with np.errstate(invalid="ignore", divide="ignore"):
            columns["rot6d"] = rot6d_rows_to_columns(columns["rot6d"])
    return Poses(**columns) if columns else None


def _keypoints(count: int, lists: Ragged) -> tuple[FloatArray | None, IntArray | None]:
    """(N, K, 3) and (N, K), or ``None`` where no row has any; x, y and v all 0 is a missing keypoint."""
    if not lists:
        return None, None
    points: FloatArray = np.array(lists.values, np.float64)
    missing = (points[:, 0] == 0) & (points[:, 1] == 0) & (points[:, 3] == 0)
    points[missing, :3] = np.nan
    laid_out = Ragged(lists.rows, lists.ends, points).over(count)
    seen = laid_out[:, :, 3]
    visibility = np.where(np.isnan(seen), -1, seen).astype(np.int64)
    return np.ascontiguousarray(laid_out[:, :, :3]), visibility if (points[:, 3] >= 0).any() else None
