"""Masked image modeling: what a model makes of hidden places is to be what a teacher sees there.

Patches of an image are hidden. From what the hybrid encoder makes of the rest, a small decoder predicts the
projected features that a teacher has of the whole image. Nobody needs to have labeled it.

Sources: He et al. 2022, "Masked Autoencoders Are Scalable Vision Learners" (most patches are hidden, a light
decoder); Baevski et al. 2022, "data2vec" (targets are the normalized features of an averaged teacher).
"""

from __future__ import annotations

from collections.abc import Sequence
from copy import deepcopy

import torch
from torch import Tensor, nn
from torch.nn import functional as F  # noqa: N812 - everybody's name for it

from anydet_rtdetr_pose.architecture import Mim

_GRAY = 0.5


class Pyramid(nn.Module):
    """Images to P3, P4 and P5, projected to one width.

    Args:
        backbone: takes images and masks of padding, gives (features, mask) of each level.
        projections: one of each level.
    """

    def __init__(self, backbone: nn.Module, projections: nn.Module) -> None:
        super().__init__()
        self.backbone, self.projections = backbone, projections

    def forward(self, images: Tensor) -> list[Tensor]:
        """(B, d, H / stride, W / stride) of each level, of (B, 3, H, W)."""
        images = images.contiguous(memory_format=torch.channels_last)
        levels = self.backbone(images, torch.ones_like(images[:, 0]))
        projections = self.projections.children()
        return [project(features) for project, (features, _) in zip(projections, levels, strict=True)]


class Teacher(nn.Module):
    """A copy of a pyramid that follows it slowly; it has no gradient and is always in evaluation mode.

    Args:
        pyramid: what it begins as.
    """

    def __init__(self, pyramid: Pyramid) -> None:
        super().__init__()
        self.pyramid = deepcopy(pyramid)
        self.requires_grad_(requires_grad=False)
        self.eval()

    def forward(self, images: Tensor) -> list[Tensor]:
        """As the pyramid."""
        features: list[Tensor] = self.pyramid(images)
        return features

    @torch.no_grad()
    def follow(self, pyramid: Pyramid, decay: float) -> None:
        """``weight = decay * weight + (1 - decay) * pyramid's``; statistics of norms are copied."""
        torch._foreach_lerp_(list(self.pyramid.parameters()), list(pyramid.parameters()), 1 - decay)
        for own, live in zip(self.pyramid.buffers(), pyramid.buffers(), strict=True):
            own.copy_(live)  # running statistics are averages already

    def train(self, mode: bool = True) -> Teacher:
        """Stays in evaluation mode."""
        del mode
        return super().train(mode=False)


class MimBranch(nn.Module):
    """What masked image modeling adds to a model; predictions do not use it.

    Args:
        spec: how much is hidden, and which teacher there is.
        width: features of the encoder's states and of the pyramid.
        pyramid: of the model.

    Attributes:
        teacher: follows the model, or ``None`` where the model is its own teacher.
    """

    def __init__(self, spec: Mim, width: int, pyramid: Pyramid) -> None:
        super().__init__()
        self.spec = spec
        self.mask_value = nn.Parameter(torch.full((3, 1, 1), _GRAY))
        self.decoder = nn.Sequential(
            nn.Conv2d(width, width, 3, padding=1), nn.GELU(), nn.Conv2d(width, width, 1)
        )
        self.teacher = Teacher(pyramid) if spec.teacher == "ema" else None

    def draw(self, images: Tensor, generator: torch.Generator | None = None) -> Tensor:
        """Which patches to hide: (B, rows, columns) bool, on the device of the images.

        Args:
            images: (B, 3, H, W).
            generator: of random numbers on the CPU; ``None`` is torch's own.
        """
        count, _, height, width = images.shape
        rows, columns = (-(-side // self.spec.patch_px) for side in (height, width))
        # Drawn on the CPU, so that a seed hides the same patches on every device.
        drawn = torch.rand(count, rows, columns, generator=generator) < self.spec.mask_prob
        return drawn.to(images.device)

    def hide(self, images: Tensor, patches: Tensor) -> Tensor:
        """The images with a learned color in place of the patches that are hidden."""
        hidden = self._cells(patches, images, images)[:, None]
        return torch.where(hidden, self.mask_value.to(images.dtype), images)

    def loss(
        self, images: Tensor, patches: Tensor, states: Sequence[Tensor], targets: Sequence[Tensor]
    ) -> Tensor:
        """Mean over levels of what hidden places cost.

        Args:
            images: (B, 3, H, W).
            patches: those that were hidden.
            states: of the encoder, of the images with hidden patches; (B, d, h, w) of each level.
            targets: projected features of the whole images, likewise.
        """
        losses = [
            hidden_loss(self.decoder(state), normalized(target), self._cells(patches, images, target))
            for state, target in zip(states, targets, strict=True)
        ]
        return torch.stack(losses).mean()

    def _cells(self, patches: Tensor, images: Tensor, level: Tensor) -> Tensor:
        """(B, h, w) bool: cells of a level that are in hidden patches."""
        height, width = level.shape[2:]
        times = self.spec.patch_px * height // images.shape[2]
        spread = patches.repeat_interleave(times, dim=1).repeat_interleave(times, dim=2)
        return spread[:, :height, :width]


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
