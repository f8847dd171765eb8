"""Masked image modeling on features: what a model makes of hidden patches is to be what it sees there.

Sources: He et al. 2022, "Masked Autoencoders Are Scalable Vision Learners" (most patches are hidden);
Baevski et al. 2022, "data2vec" (targets are normalized features of the whole image); Hoyer et al. 2023, "MIC:
Masked Image Consistency for Context-Enhanced Domain Adaptation" (a detector's views of a masked and of the
whole image agree).
"""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager

import torch
from torch import Tensor, nn
from torch.nn import functional as F  # noqa: N812 - everybody's name for it
from torch.nn.modules.batchnorm import _NormBase

from anydet.plugins.adapter import Masking
from anydet.training.model import TorchModel

PATCH_PX = 32
HIDDEN_FRACTION = 0.6


def masked_feature_loss(
    model: TorchModel, images: Tensor, generator: torch.Generator, masking: Masking = Masking()
) -> Tensor:
    """Distance of the neck's features of masked images from those of the whole images, in hidden places.

    A scalar, differentiable in the model's parameters; no parameter and no buffer changes. Where the model
    has no neck, the backbone's levels are compared. Hidden patches get the mean color of their image.

    In place of MIC's pseudo-labels there are features, and in place of its averaged teacher the model itself,
    without gradient. Nothing but that keeps features from becoming constant, so that the loss is one for few
    and small steps, as at test time. A family that trains with such a loss brings a decoder and a teacher.

    Args:
        model: in the mode in which it predicts.
        images: (B, 3, H, W) inputs.
        generator: chooses the patches; on the CPU.
        masking: what is hidden.
    """
    patch_px = masking.patch_size or PATCH_PX
    patches = draw_patches(images, patch_px, masking.mask_prob or HIDDEN_FRACTION, generator)
    color = images.mean(dim=(2, 3), keepdim=True)
    if masking.mask_value is not None:
        color = torch.full_like(color, masking.mask_value)
    masked = hide(images, patches, patch_px, color)
    # Masked images would shift running statistics that predictions use.
    with kept_statistics(model):
        found = model.features(masked)
        with torch.no_grad():
            targets = model.features(images)
    size_hw = (images.shape[2], images.shape[3])
    levels = [name for name in found if name.startswith("neck.")] or list(found)
    losses = [
        hidden_loss(
            normalized(found[name]),
            normalized(targets[name]),
            hidden_cells(patches, patch_px, size_hw, (found[name].shape[2], found[name].shape[3])),
        )
        for name in levels
    ]
    return torch.stack(losses).mean()


def draw_patches(images: Tensor, patch_px: int, fraction: float, generator: torch.Generator | None) -> Tensor:
    """Which patches to hide: (B, rows, columns) bool, on the device of the images.

    Args:
        images: (B, 3, H, W).
        patch_px: side of a patch; patches at the lower and right edges may be cut.
        fraction: probability with which each patch is hidden.
        generator: of random numbers on the CPU; ``None`` is torch's own.
    """
    count, _, height, width = images.shape
    rows, columns = (-(-side // patch_px) for side in (height, width))
    # Drawn on the CPU, so that a seed hides the same patches on every device.
    drawn = torch.rand(count, rows, columns, generator=generator) < fraction
    return drawn.to(images.device)


def hide(images: Tensor, patches: Tensor, patch_px: int, color: Tensor) -> Tensor:
    """(B, 3, H, W) images with a color, (3, 1, 1) or (B, 3, 1, 1), in place of the patches of a mask."""
    size_hw = (images.shape[2], images.shape[3])
    hidden = hidden_cells(patches, patch_px, size_hw, size_hw)[:, None]
    return torch.where(hidden, color.to(images.dtype), images)


def hidden_cells(
    patches: Tensor, patch_px: int, image_hw: tuple[int, int], level_hw: tuple[int, int]
) -> Tensor:
    """(B, h, w) bool: cells of a level of h x w whose centers are in hidden patches of H x W images."""
    rows, columns = (
        ((torch.arange(cells, device=patches.device) + 0.5) * (side / cells / patch_px)).long()
        for side, cells in zip(image_hw, level_hw, strict=True)
    )
    return patches[:, rows[:, None], columns]


def normalized(features: Tensor) -> Tensor:
    """(B, d, h, w) features of each place with mean 0 and variance 1, as float32."""
    # float32: a variance over channels in half precision is too coarse to divide by.
    rows = features.float().movedim(1, -1)
    return F.layer_norm(rows, rows.shape[-1:]).movedim(-1, 1)


def hidden_loss(predicted: Tensor, target: Tensor, hidden: Tensor) -> Tensor:
    """Mean smooth L1 distance over hidden places, 0 where there are none.

    Args:
        predicted: (B, d, h, w).
        target: likewise.
        hidden: (B, h, w) bool; others do not count.
    """
    errors = F.smooth_l1_loss(predicted.to(target.dtype), target, reduction="none").mean(dim=1)
    return torch.where(hidden, errors, 0.0).sum() / hidden.sum().clamp(min=1)


@contextmanager
def kept_statistics(module: nn.Module) -> Iterator[None]:
    """Running statistics of the norms below ``module`` stay as they are meanwhile.

    In training mode norms still go by the batch, in evaluation mode by their statistics.
    """
    norms = [norm for norm in module.modules() if isinstance(norm, _NormBase) and norm.track_running_stats]
    for norm in norms:
        norm.track_running_stats = False
    try:
        yield
    finally:
        for norm in norms:
            norm.track_running_stats = True
