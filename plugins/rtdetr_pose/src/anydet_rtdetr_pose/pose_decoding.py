"""``DecodedPoses``: outputs of the heads as poses in the camera's frame."""

from __future__ import annotations

from collections.abc import Mapping
from typing import NamedTuple

import torch
from torch import Tensor

from anydet_rtdetr_pose.recovery import depth_shift, translation_m
from anydet_rtdetr_pose.rotation import matrix_from_rot6d, turn_to


class DecodedPoses(NamedTuple):
    """Poses of queries of any shape.

    Attributes:
        log_z: (...,) log meters.
        rotations: (..., 3, 3).
        centers_px: (..., 2) projected centers in pixels of the input.
        translations_m: (..., 3).
    """

    log_z: Tensor
    rotations: Tensor
    centers_px: Tensor
    translations_m: Tensor


def decode_poses(
    heads: Mapping[str, Tensor], boxes: Tensor, intrinsics: Tensor, size_wh: Tensor
) -> DecodedPoses:
    """Poses of what the heads predict, with a camera.

    Args:
        heads: ``log_z`` (..., 1), ``rot6d`` (..., 6), ``offsets`` (..., 2); see ``QueryHeads``.
        boxes: (..., 4) of the same queries, normalized center and size.
        intrinsics: (..., 4) of the input, in pixels, which may be broadcast.
        size_wh: (2,) of the input in pixels.
    """
    log_z = heads["log_z"][..., 0] + depth_shift(intrinsics, size_wh.max())
    centers = (boxes[..., :2] + heads["offsets"] * boxes[..., 2:]) * size_wh
    cameras = intrinsics.expand(*centers.shape[:-1], 4)
    return DecodedPoses(
        log_z,
        # Detached: the rotation loss must not be lowered by moving the center of the ray.
        rotations_seen(heads["rot6d"], centers.detach(), cameras),
        centers,
        translation_m(centers, log_z, cameras),
    )


def rotations_seen(rot6d: Tensor, centers_px: Tensor, intrinsics: Tensor) -> Tensor:
    """(..., 3, 3) rotations in the camera's frame of ``rot6d`` (..., 6) seen along the ray of its object.

    An object that moves sideways shows another side of itself: what a query sees is the rotation relative to
    the ray (Kundu et al. 2018, "3D-RCNN"; allocentric).

    Args:
        rot6d: (..., 6) first two columns.
        centers_px: (..., 2) projected centers.
        intrinsics: (..., 4) in the same pixels.
    """
    across = (centers_px - intrinsics[..., 2:]) / intrinsics[..., :2]
    rays = torch.cat([across, torch.ones_like(across[..., :1])], dim=-1)
    return turn_to(rays) @ matrix_from_rot6d(rot6d)
