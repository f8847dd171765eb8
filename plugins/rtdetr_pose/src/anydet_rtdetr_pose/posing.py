"""``Told``: what the heads say of queries, as poses in the camera's frame."""

from __future__ import annotations

from collections.abc import Mapping
from typing import NamedTuple

from torch import Tensor

from anydet_rtdetr_pose.recovery import depth_shift, translation_m
from anydet_rtdetr_pose.rotation import matrix_from_rot6d


class Told(NamedTuple):
    """Poses of queries of any shape.

    Attributes:
        log_z: (...,) log metres.
        rotations: (..., 3, 3).
        centres_px: (..., 2) projected centres in pixels of the input.
        translations_m: (..., 3).
    """

    log_z: Tensor
    rotations: Tensor
    centres_px: Tensor
    translations_m: Tensor


def told_by(heads: Mapping[str, Tensor], boxes: Tensor, intrinsics: Tensor, size_wh: Tensor) -> Told:
    """Poses as the heads say them, with a camera.

    Args:
        heads: ``log_z`` (..., 1), ``rot6d`` (..., 6), ``offsets`` (..., 2); see ``QueryHeads``.
        boxes: (..., 4) of the same queries, centre and size in shares.
        intrinsics: (..., 4) of the input, in pixels, which may be broadcast.
        size_wh: (2,) of the input in pixels.
    """
    log_z = heads["log_z"][..., 0] + depth_shift(intrinsics, size_wh.max())
    centres = (boxes[..., :2] + heads["offsets"] * boxes[..., 2:]) * size_wh
    return Told(
        log_z,
        matrix_from_rot6d(heads["rot6d"]),
        centres,
        translation_m(centres, log_z, intrinsics.expand(*centres.shape[:-1], 4)),
    )
