"""Pinhole cameras: how intrinsics follow an image, and where a predicted depth puts an object."""

from __future__ import annotations

import numpy as np

from anydet.types import FloatArray, Intrinsics, Size


def cropped(camera: Intrinsics, x_px: float, y_px: float) -> Intrinsics:
    """Camera of the image cut out at (x, y)."""
    return Intrinsics(camera.fx, camera.fy, camera.cx - x_px, camera.cy - y_px)


def scaled(camera: Intrinsics, source_wh: Size, target_wh: Size) -> Intrinsics:
    """Camera of the image resized from ``source_wh`` to ``target_wh``."""
    sx, sy = target_wh[0] / source_wh[0], target_wh[1] / source_wh[1]
    return Intrinsics(camera.fx * sx, camera.fy * sy, camera.cx * sx, camera.cy * sy)


def mirrored(camera: Intrinsics, side_px: int, axis: int = 0) -> Intrinsics:
    """Camera of the image mirrored along an axis (0: left and right), whose side there is ``side_px``."""
    if axis:
        return Intrinsics(camera.fx, camera.fy, camera.cx, side_px - camera.cy)
    return Intrinsics(camera.fx, camera.fy, side_px - camera.cx, camera.cy)


def turned(camera: Intrinsics, source_wh: Size) -> Intrinsics:
    """Camera of the image turned counterclockwise by 90 degrees: (x, y) goes to (y, width - x)."""
    return Intrinsics(camera.fy, camera.fx, camera.cy, source_wh[0] - camera.cx)


def translation_m(
    centers_px: FloatArray,
    log_z: FloatArray,
    camera: Intrinsics,
    offsets_px: FloatArray | None = None,
    k_delta: FloatArray | None = None,
) -> FloatArray:
    """(N, 3) translation recovered from box center and depth.

    ``u = cx_px + du``, ``v = cy_px + dv``, ``Z = exp(log_z)``, ``X = (u - cx') / fx' Z``,
    ``Y = (v - cy') / fy' Z`` with ``fx' = fx (1 + dfx)`` and ``cx' = cx + dcx``.

    Args:
        centers_px: (N, 2) box centers, pixels of the original image.
        log_z: (N,) log meters.
        camera: intrinsics of the original image.
        offsets_px: (N, 2) projected 3-D center minus box center, or ``None`` for 0.
        k_delta: (N, 4) dfx, dfy, dcx, dcy, or ``None`` for 0.
    """
    count = len(log_z)
    offsets = np.zeros((count, 2)) if offsets_px is None else offsets_px
    delta = np.zeros((count, 4)) if k_delta is None else k_delta
    focal = np.array([camera.fx, camera.fy]) * (1 + delta[:, :2])
    center = np.array([camera.cx, camera.cy]) + delta[:, 2:]
    depth = np.exp(log_z)[:, None]
    return np.concatenate([(centers_px + offsets - center) / focal * depth, depth], axis=1)
