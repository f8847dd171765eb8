"""Losses of classes and boxes.

Sources: Zhang et al. 2021, "VarifocalNet"; Lin et al. 2017, "Focal Loss"; Carion et al. 2020, "DETR".
"""

from __future__ import annotations

import torch
from torch import Tensor
from torch.nn.functional import binary_cross_entropy_with_logits

from anydet_rtdetr_pose.box_iou import iou_and_giou

VARIFOCAL_ALPHA, FOCAL_ALPHA, GAMMA = 0.75, 0.25, 2.0


def varifocal_weights(probabilities: Tensor, scores: Tensor) -> Tensor:
    """(...,) weights of a varifocal loss.

    Args:
        probabilities: predicted, in 0..1, without gradient.
        scores: targets: the IoU of a query that found its object in that object's class, else 0.
    """
    return torch.where(scores > 0, scores, VARIFOCAL_ALPHA * probabilities**GAMMA)


def weighted_cross_entropy(logits: Tensor, scores: Tensor, weights: Tensor) -> Tensor:
    """Sum over all of binary cross-entropy with ``scores``, times ``weights``."""
    return binary_cross_entropy_with_logits(logits, scores, weight=weights, reduction="sum")


def varifocal_loss(logits: Tensor, scores: Tensor) -> Tensor:
    """Sum over all classes of all queries; weights carry no gradient."""
    # Detached: with a gradient, the loss could be lowered by shrinking its own weight.
    weights = varifocal_weights(logits.detach().sigmoid(), scores)
    return weighted_cross_entropy(logits, scores, weights)


def focal_loss(logits: Tensor, found: Tensor) -> Tensor:
    """Sum over all classes of all queries; ``found`` is 1 in the class of a found object, else 0."""
    probabilities = logits.sigmoid()
    entropy = binary_cross_entropy_with_logits(logits, found, reduction="none")
    missed = probabilities * (1 - found) + (1 - probabilities) * found
    return ((FOCAL_ALPHA * found + (1 - FOCAL_ALPHA) * (1 - found)) * entropy * missed**GAMMA).sum()


def box_l1_loss(boxes: Tensor, targets: Tensor) -> Tensor:
    """Sum of distances of (M, 4) normalized centers and sizes."""
    return (boxes - targets).abs().sum()


def giou_loss(boxes: Tensor, targets: Tensor) -> Tensor:
    """Sum of 1 - GIoU of (M, 4) centers and sizes."""
    return (1 - iou_and_giou(boxes, targets)[1]).sum()
