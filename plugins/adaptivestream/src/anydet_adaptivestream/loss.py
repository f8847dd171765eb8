"""``StableLoss``: finite for any input, with a true gradient, and open about what it changed."""

from __future__ import annotations

from dataclasses import dataclass

import torch
from torch import Tensor, nn
from torch.nn import functional

from anydet.data.record.class_mask import UNLABELED
from anydet.training.numerics.sanitizing import Sanitized, sanitize
from anydet_adaptivestream.model import fit

NO_LABEL = -1
"""Label of an image whose class is unknown; such images add nothing to the classification loss."""


@dataclass(frozen=True, slots=True, eq=False)
class Losses:
    """What one batch costs, as scalar tensors.

    Attributes:
        total: the weighted sum, which is minimized.
        segmentation: mean cross-entropy of the labeled pixels.
        dice: 1 - the mean Dice coefficient of the classes that are there.
        classification: mean cross-entropy of the images whose class is known.
        nonfinite: number of logits that were NaN or infinite.
        clamped: number of finite logits beyond the limit.
        unknown: number of labels that are neither classes nor "not labeled".
    """

    total: Tensor
    segmentation: Tensor
    dice: Tensor
    classification: Tensor
    nonfinite: Tensor
    clamped: Tensor
    unknown: Tensor


class StableLoss(nn.Module):
    """Cross-entropy (and Dice) of pixels plus cross-entropy of images, on logits within ±10.

    NaN becomes 0 and infinity the limit before the clamp; labels that are no class count as not labeled.
    Each is counted, so that a caller can refuse to go on. Pixels that are not labeled, masks without pixels
    and batches without any label cost nothing, with a gradient of zero. Pixel logits of another size than the
    target are stretched to it.

    Attributes:
        segmentation_weight: of the pixels' cross-entropy.
        classification_weight: of the images' cross-entropy.
        dice_weight: of the pixels' Dice loss.
        ignore_index: value of pixels that are not labeled.
        limit: largest absolute logit.
    """

    def __init__(
        self,
        segmentation_weight: float = 1.0,
        classification_weight: float = 0.5,
        dice_weight: float = 0.0,
        *,
        ignore_index: int = UNLABELED,
        limit: float = 10.0,
    ) -> None:
        super().__init__()
        self.segmentation_weight = segmentation_weight
        self.classification_weight = classification_weight
        self.dice_weight = dice_weight
        self.ignore_index = ignore_index
        self.limit = limit

    def forward(self, seg_pred: Tensor, cls_pred: Tensor, seg_target: Tensor, cls_target: Tensor) -> Losses:
        """Losses of a batch, in single precision or better.

        Args:
            seg_pred: (B, C, h, w) pixel logits.
            cls_pred: (B, C) image logits.
            seg_target: (B, H, W) int64 class of each pixel, ``ignore_index`` where it is not labeled.
            cls_target: (B,) int64 class of each image, ``NO_LABEL`` where it is unknown.
        """
        if seg_target.numel():
            # Cast first: stretching in half precision would round the logits before they are counted and
            # clamped.
            seg_pred = fit(_in_full(seg_pred), tuple(seg_target.shape[-2:]))
        pixel_logits, image_logits = self._limited(seg_pred), self._limited(cls_pred)
        pixels, images = pixel_logits.values, image_logits.values
        seg_target, unknown_pixels = _known(seg_target, pixels.shape[1], self.ignore_index)
        cls_target, unknown_images = _known(cls_target, images.shape[1], NO_LABEL)
        segmentation = _cross_entropy(pixels, seg_target, self.ignore_index)
        classification = _cross_entropy(images, cls_target, NO_LABEL)
        dice = dice_loss(pixels, seg_target, self.ignore_index) if self.dice_weight else pixels.new_zeros(())
        total = (
            self.segmentation_weight * segmentation
            + self.dice_weight * dice
            + self.classification_weight * classification
        )
        nonfinite = pixel_logits.nonfinite + image_logits.nonfinite
        clamped = pixel_logits.clamped + image_logits.clamped
        unknown = unknown_pixels + unknown_images
        return Losses(total, segmentation, dice, classification, nonfinite, clamped, unknown)

    def _limited(self, logits: Tensor) -> Sanitized:
        return sanitize(_in_full(logits), self.limit)


def dice_loss(logits: Tensor, target: Tensor, ignore_index: int, *, smooth: float = 1.0) -> Tensor:
    """1 - the mean soft Dice coefficient of the classes that labeled pixels of the batch have; a scalar.

    Source: Milletari et al. 2016, "V-Net", section 3, with plain instead of squared sums below the line, and
    ``smooth`` added above and below.

    Args:
        logits: (B, C, H, W).
        target: (B, H, W) classes, or ``ignore_index``.
        ignore_index: value of pixels that do not count.
        smooth: in pixels.
    """
    if not target.numel():
        return logits.sum() * 0.0
    labeled = target != ignore_index
    # one_hot refuses the index of unlabeled pixels, so they pass as class 0 and are zeroed afterwards.
    true = (
        functional.one_hot(torch.where(labeled, target, 0), logits.shape[1]).movedim(-1, 1) * labeled[:, None]
    )
    found = logits.softmax(dim=1) * labeled[:, None]
    over = (0, 2, 3)
    overlap, size = (found * true).sum(over), found.sum(over) + true.sum(over)
    coefficient = (2.0 * overlap + smooth) / (size + smooth)
    present = true.sum(over) > 0
    # Only classes in the batch: one that is neither there nor predicted has a coefficient of 1 by its
    # smoothing, which would hide how bad the others are.
    return ((1.0 - coefficient) * present).sum() / present.sum().clamp(min=1)


def _in_full(logits: Tensor) -> Tensor:
    """Half precision cannot hold the sums of a loss."""
    return logits.to(torch.promote_types(logits.dtype, torch.float32))


def _known(target: Tensor, classes: int, blank: int) -> tuple[Tensor, Tensor]:
    """Labels with ``blank`` for those that are no class, and how many these are."""
    wrong = ((target < 0) | (target >= classes)) & (target != blank)
    return target.masked_fill(wrong, blank), wrong.sum()


def _cross_entropy(logits: Tensor, target: Tensor, blank: int) -> Tensor:
    """Mean over what is labeled; 0 where nothing is."""
    if not target.numel():
        return logits.sum() * 0.0
    # Summed and divided here: torch's own mean is NaN where every label is ignored.
    total = functional.cross_entropy(logits, target, ignore_index=blank, reduction="sum")
    return total / (target != blank).sum().clamp(min=1)
