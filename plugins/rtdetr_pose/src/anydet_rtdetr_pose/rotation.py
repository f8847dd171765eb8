"""Rotations as tensors: from six numbers, and how far apart two of them are."""

from __future__ import annotations

import torch
from torch import Tensor
from torch.nn.functional import normalize

_EPS = 1e-6


def matrix_from_rot6d(rot6d: Tensor) -> Tensor:
    """(..., 6) first two COLUMNS of R to (..., 3, 3) by Gram-Schmidt; see ``geometry.rotations``.

    Differentiable everywhere. Source: Zhou et al. 2019, eq. 15.
    """
    x = normalize(rot6d[..., :3], dim=-1, eps=_EPS)
    rest = rot6d[..., 3:] - (x * rot6d[..., 3:]).sum(dim=-1, keepdim=True) * x
    y = normalize(rest, dim=-1, eps=_EPS)
    return torch.stack([x, y, torch.linalg.cross(x, y)], dim=-1)


def geodesic_angle(a: Tensor, b: Tensor) -> Tensor:
    """Angle in radians, 0 to pi, between (..., 3, 3) rotations.

    ``atan2(sin, cos)`` of what turns ``a`` into ``b``. Unlike the arc cosine of the trace its gradient is
    bounded at 0 and at pi: the sine is the root of a sum of squares and 1e-12, which moves angles there by a
    millionth of a radian.
    """
    relative = a.transpose(-1, -2) @ b
    trace = relative.diagonal(dim1=-2, dim2=-1).sum(dim=-1)
    skew = vee(relative - relative.transpose(-1, -2)) / 2
    sine = (skew.square().sum(dim=-1) + _EPS**2).sqrt()
    return torch.atan2(sine, (trace - 1) / 2)


def vee(matrices: Tensor) -> Tensor:
    """(..., 3) of (..., 3, 3) skew-symmetric matrices: the entries at 21, 02, 10."""
    return torch.stack([matrices[..., 2, 1], matrices[..., 0, 2], matrices[..., 1, 0]], dim=-1)


def about_axis(axes: Tensor, cosines: Tensor, sines: Tensor) -> Tensor:
    """(..., 3, 3) rotations about (..., 3) unit axes by angles of (...,) cosines and sines (Rodrigues)."""
    x, y, z = axes.unbind(dim=-1)
    zero = torch.zeros_like(x)
    cross = torch.stack([zero, -z, y, z, zero, -x, -y, x, zero], dim=-1).reshape(*x.shape, 3, 3)
    along = axes[..., :, None] * axes[..., None, :]
    identity = torch.eye(3, dtype=axes.dtype, device=axes.device)
    turned: Tensor = along + cosines[..., None, None] * (identity - along) + sines[..., None, None] * cross
    return turned


def turn_to(rays: Tensor) -> Tensor:
    """(..., 3, 3) least rotations that take the optical axis to (..., 3) rays before the camera (z > 0)."""
    x, y, z = normalize(rays, dim=-1).unbind(dim=-1)
    # Rodrigues' formula without its sine in the denominator, which is 0 for the optical axis itself.
    across = -x * y / (1 + z)
    entries = [1 - x * x / (1 + z), across, x, across, 1 - y * y / (1 + z), y, -x, -y, z]
    return torch.stack(entries, dim=-1).reshape(*rays.shape[:-1], 3, 3)
