"""Overlap of boxes as tensors of any shape that broadcast."""

from __future__ import annotations

import torch
from torch import Tensor

_EPS = 1e-9


def corners(boxes: Tensor) -> Tensor:
    """(..., 4) center and size to corners."""
    half = boxes[..., 2:] / 2
    return torch.cat([boxes[..., :2] - half, boxes[..., :2] + half], dim=-1)


def iou_and_giou(a: Tensor, b: Tensor) -> tuple[Tensor, Tensor]:
    """IoU and generalized IoU of (..., 4) boxes as center and size.

    Source: Rezatofighi et al. 2019, "Generalized Intersection over Union".
    """
    first, second = corners(a), corners(b)
    inner = torch.minimum(first[..., 2:], second[..., 2:]) - torch.maximum(first[..., :2], second[..., :2])
    outer = torch.maximum(first[..., 2:], second[..., 2:]) - torch.minimum(first[..., :2], second[..., :2])
    shared = inner.clamp(min=0).prod(dim=-1)
    union = a[..., 2:].prod(dim=-1) + b[..., 2:].prod(dim=-1) - shared
    # Padding, and predictions that collapsed, are boxes of size 0.
    iou = shared / (union + _EPS)
    hull = outer.prod(dim=-1)
    return iou, iou - (hull - union) / (hull + _EPS)
