"""Losses of depth, rotation, translation, offsets, cameras and keypoints: one number a row.

With ``--task-aligner uncertainty`` an error is weighted by its predicted scale: it is taken to
be of a Laplace distribution, so that each object's error counts by how sure the model is of that very object
(Kendall & Gal 2017, "What Uncertainties Do We Need in Bayesian Deep Learning for Computer Vision?").
"""

from __future__ import annotations

import torch
from torch import Tensor
from torch.nn.functional import binary_cross_entropy_with_logits

from anydet_rtdetr_pose.rotation import geodesic_angle

_SHARPEST, _BLUNTEST = -7.0, 7.0
_SMALLEST_SIDE = 1e-3


def log_z_loss(log_z: Tensor, depth_m: Tensor) -> Tensor:
    """(M,) differences of log depths."""
    return (log_z - depth_m.log()).abs()


def rotation_loss(rotations: Tensor, targets: Tensor) -> Tensor:
    """(M,) angles in radians between (M, 3, 3)."""
    return geodesic_angle(rotations, targets)


def translation_loss(translations_m: Tensor, targets_m: Tensor) -> Tensor:
    """(M,) L1 distances of (M, 3) relative to the true depth."""
    return (translations_m - targets_m).abs().sum(dim=-1) / targets_m[:, 2]


def offset_loss(offsets: Tensor, boxes: Tensor, centers: Tensor, target_boxes: Tensor) -> Tensor:
    """(M,) L1 distances of projected centers in sides of the true box.

    Boxes learn nothing from it: what they are off, offsets make good.

    Args:
        offsets: (M, 2) in sides of ``boxes``.
        boxes: (M, 4) predicted, normalized center and size.
        centers: (M, 2) true normalized projected centers.
        target_boxes: (M, 4) true ones.
    """
    fixed = boxes.detach()
    away = fixed[:, :2] + offsets * fixed[:, 2:] - centers
    return (away / target_boxes[:, 2:].clamp(min=_SMALLEST_SIDE)).abs().sum(dim=-1)


def camera_loss(delta: Tensor, targets: Tensor) -> Tensor:
    """(B,) L1 distances of (B, 4) camera corrections."""
    return (delta - targets).abs().sum(dim=-1)


def keypoint_losses(points: Tensor, boxes: Tensor, targets: Tensor) -> tuple[Tensor, Tensor]:
    """(M,) mean distances of labeled points in sides of the true box, and (M,) losses of being labeled.

    Args:
        points: (M, K, 3) x, y from the box center in sides of ``boxes``, and a logit.
        boxes: (M, 4) predicted, normalized center and size.
        targets: (M, K, 3) normalized x, y, and visibility 0, 1, 2.
    """
    # Visibility 1 (hidden, but labeled) has a position as 2 has; only 0 has none.
    labeled = (targets[..., 2] > 0).to(points.dtype)
    fixed = boxes.detach()[:, None]
    sides = fixed[..., 2:].clamp(min=_SMALLEST_SIDE)
    away = (points[..., :2] - (targets[..., :2] - fixed[..., :2]) / sides).abs().sum(dim=-1)
    placed = (away * labeled).sum(dim=-1) / labeled.sum(dim=-1).clamp(min=1)
    visibility = binary_cross_entropy_with_logits(points[..., 2], labeled, reduction="none").mean(dim=-1)
    return placed, visibility


def by_uncertainty(errors: Tensor, log_scales: Tensor) -> Tensor:
    """(M,) negative log likelihoods of errors of a Laplace distribution, but for a constant."""
    # Unbounded, exp(-scale) overflows for an error near 0, whose best scale is minus infinity.
    scales = log_scales.clamp(_SHARPEST, _BLUNTEST)
    return errors * torch.exp(-scales) + scales
