"""Where an object is: from a box, an offset and a depth to a translation, and back.

Depths are learned as a camera of one focal length would see them (Brazil et al. 2023, "Omni3D"): what an
image shows of size and distance is ambiguous without the focal length, and it changes with every
resize and crop. The heads predict log depths for a focal length of the input's longer side in pixels;
``depth_shift`` is what the true camera adds.
"""

from __future__ import annotations

import torch
from torch import Tensor


def translation_m(centers_px: Tensor, log_z: Tensor, intrinsics: Tensor) -> Tensor:
    """(..., 3) translations of the contract: ``X = (u - cx) / fx Z``, ``Y = (v - cy) / fy Z``, ``Z = exp``.

    Args:
        centers_px: (..., 2) projected centers u, v, which are box centers and offsets.
        log_z: (...,) log meters.
        intrinsics: (..., 4) fx, fy, cx, cy in the pixels of ``centers_px``, ``k_delta`` applied.
    """
    depth = log_z.exp()[..., None]
    return torch.cat([(centers_px - intrinsics[..., 2:]) / intrinsics[..., :2] * depth, depth], dim=-1)


def projected_px(translations_m: Tensor, intrinsics: Tensor) -> Tensor:
    """(..., 2) where (..., 3) translations fall, in the pixels of (..., 4) intrinsics."""
    depth = translations_m[..., 2:]
    return translations_m[..., :2] / depth * intrinsics[..., :2] + intrinsics[..., 2:]


def nominal_camera(size_wh: tuple[int, int]) -> Tensor:
    """(4,) float64 camera of an input of which none is known: focal length as long as the longer side."""
    width, height = size_wh
    side = float(max(width, height))
    return torch.tensor([side, side, width / 2, height / 2], dtype=torch.float64)


def with_delta(intrinsics: Tensor, delta: Tensor) -> Tensor:
    """``fx' = fx (1 + dfx)``, ``cx' = cx + dcx`` of (..., 4) and (..., 4), all in pixels."""
    return torch.cat(
        [intrinsics[..., :2] * (1 + delta[..., :2]), intrinsics[..., 2:] + delta[..., 2:]], dim=-1
    )


def delta_to(intrinsics: Tensor, nominal: Tensor, size_wh: Tensor) -> Tensor:
    """(..., 4) target of ``CameraHead``: ``intrinsics`` relative to ``nominal``, shifts normalized.

    Args:
        intrinsics: (..., 4) the true camera.
        nominal: (4,) the one that is assumed.
        size_wh: (2,) width and height in pixels.
    """
    focal = intrinsics[..., :2] / nominal[:2] - 1
    return torch.cat([focal, (intrinsics[..., 2:] - nominal[2:]) / size_wh], dim=-1)


def depth_shift(intrinsics: Tensor, side_px: Tensor) -> Tensor:
    """(...,) log of the focal length over ``side_px``; the geometric mean where fx and fy differ."""
    return (intrinsics[..., 0] * intrinsics[..., 1]).log() / 2 - side_px.log()
