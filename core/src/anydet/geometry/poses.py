"""Poses as rotation and translation, and where they fall in the image."""

from __future__ import annotations

import numpy as np

from anydet.geometry.cameras import translation_m
from anydet.geometry.rotations import rot6d_to_matrix
from anydet.types import FloatArray, Intrinsics, Poses


def resolve(poses: Poses, boxes_xyxy_px: FloatArray, camera: Intrinsics) -> tuple[FloatArray, FloatArray]:
    """(N, 3, 3) rotations and (N, 3) translations in meters, NaN where unknown.

    ``R`` and ``t`` win where a row has both; else ``rot6d`` and ``log_z`` (with offsets) where they are.
    """
    count = len(boxes_xyxy_px)
    rotations = np.full((count, 3, 3), np.nan) if poses.rotations is None else poses.rotations
    translations = np.full((count, 3), np.nan) if poses.translations_m is None else poses.translations_m
    whole = np.isfinite(rotations).all(axis=(1, 2)) & np.isfinite(translations).all(axis=1)
    if poses.rot6d is not None:
        with np.errstate(invalid="ignore", divide="ignore"):
            other = rot6d_to_matrix(poses.rot6d)
        keep = np.logical_or(whole, ~np.isfinite(other).all(axis=(1, 2)))
        rotations = np.where(keep[:, None, None], rotations, other)
    if poses.log_z is not None:
        # A row without an offset has NaN, which must not make its whole translation unknown.
        offsets = None if poses.offsets_px is None else np.nan_to_num(poses.offsets_px)
        delta = None if poses.k_delta is None else np.nan_to_num(poses.k_delta)
        centers = (boxes_xyxy_px[:, :2] + boxes_xyxy_px[:, 2:]) / 2
        with np.errstate(over="ignore"):
            found = translation_m(centers, poses.log_z, camera, offsets, delta)
        keep = np.logical_or(whole, ~np.isfinite(found).all(axis=1))
        translations = np.where(keep[:, None], translations, found)
    return rotations, translations


def axes_px(poses: Poses, boxes_xyxy_px: FloatArray, camera: Intrinsics) -> FloatArray:
    """(N, 4, 2) origin and tips of the x, y and z axes in pixels; NaN where unknown or behind the camera.

    An axis is as long as half the box's longer side at the object's depth. ``k_delta`` corrects the camera.
    """
    rotations, origin = resolve(poses, boxes_xyxy_px, camera)
    delta = np.zeros((len(origin), 4)) if poses.k_delta is None else np.nan_to_num(poses.k_delta)
    focal = np.array([camera.fx, camera.fy]) * (1 + delta[:, :2])
    center = np.array([camera.cx, camera.cy]) + delta[:, 2:]
    side_px = (boxes_xyxy_px[:, 2:] - boxes_xyxy_px[:, :2]).max(axis=1, initial=0)
    length_m = 0.5 * side_px * origin[:, 2] / focal[:, 0]
    tips = origin[:, None] + length_m[:, None, None] * rotations.transpose(0, 2, 1)
    points = np.concatenate([origin[:, None], tips], axis=1)
    points = np.where(points[..., 2:] > 1e-6, points, np.nan)
    found: FloatArray = points[..., :2] / points[..., 2:] * focal[:, None] + center[:, None]
    return found
