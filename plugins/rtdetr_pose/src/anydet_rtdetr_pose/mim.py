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

from anydet.plugins.adapter import Masking
from anydet.training.masking import draw_patches, hidden_cells, hidden_loss, hide, normalized
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
        return self.project(self.levels(images))

    def levels(self, images: Tensor) -> list[Tensor]:
        """The same before the projections: features of the backbone, as many channels as it has."""
        images = images.contiguous(memory_format=torch.channels_last)
        return [features for features, _ in self.backbone(images, torch.ones_like(images[:, 0]))]

    def project(self, levels: Sequence[Tensor]) -> list[Tensor]:
        """Features of the backbone, projected."""
        projections = self.projections.children()
        return [project(features) for project, features in zip(projections, levels, strict=True)]


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

    def draw(
        self, images: Tensor, generator: torch.Generator | None = None, masking: Masking = Masking()
    ) -> Tensor:
        """Which patches to hide: (B, rows, columns) bool, on the device of the images.

        Args:
            images: (B, 3, H, W).
            generator: of random numbers on the CPU; ``None`` is torch's own.
            masking: what is hidden, where it is not what the branch was trained with.
        """
        fraction = masking.mask_prob or self.spec.mask_prob
        return draw_patches(images, self._patch_px(masking), fraction, generator)

    def hide(self, images: Tensor, patches: Tensor, masking: Masking = Masking()) -> Tensor:
        """The images with a color, the learned one by default, in place of the patches that are hidden."""
        color: Tensor = self.mask_value
        if masking.mask_value is not None:
            color = torch.full_like(color, masking.mask_value)
        return hide(images, patches, self._patch_px(masking), color)

    def loss(
        self,
        images: Tensor,
        patches: Tensor,
        states: Sequence[Tensor],
        targets: Sequence[Tensor],
        masking: Masking = Masking(),
    ) -> Tensor:
        """Mean over levels of what hidden places cost.

        Args:
            images: (B, 3, H, W).
            patches: those that were hidden.
            states: of the encoder, of the images with hidden patches; (B, d, h, w) of each level.
            targets: projected features of the whole images, likewise.
            masking: as ``draw`` got it.
        """
        size_hw = (images.shape[2], images.shape[3])
        losses = [
            hidden_loss(
                self.decoder(state),
                normalized(target),
                hidden_cells(patches, self._patch_px(masking), size_hw, (target.shape[2], target.shape[3])),
            )
            for state, target in zip(states, targets, strict=True)
        ]
        return torch.stack(losses).mean()

    def _patch_px(self, masking: Masking) -> int:
        return masking.patch_size or self.spec.patch_px
