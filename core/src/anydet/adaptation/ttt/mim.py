"""``mim``: learns to see what is hidden."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import replace
from typing import ClassVar

import torch
from torch import Tensor

from anydet.adaptation.ttt.method import Defaults, GradientMethod
from anydet.plugins.adapter import Masking
from anydet.prediction.hooks import TTTDescription


class MaskedImages(GradientMethod):
    """Minimizes the adapter's self-supervised loss of images with hidden patches.

    Gandelsman et al. 2022, "Test-Time Training with Masked Autoencoders". It differs in that what is
    reconstructed are features, not pixels, as the adapter's loss has it (``Adapter.self_supervised_loss``);
    in that norms alone change; and in its few steps, where the paper takes twenty for each image.
    """

    name: ClassVar[str] = "mim"
    defaults: ClassVar[Defaults] = Defaults()

    def loss(self, batch: Tensor, generator: torch.Generator) -> Tensor | None:
        """The adapter's loss of a batch."""
        found: Tensor = self.adapter.self_supervised_loss(batch, generator, self._masking())
        return found

    def describe(self) -> TTTDescription:
        """With what is hidden, as far as it was given."""
        given: Mapping[str, float | None] = {
            name: self.settings.options[name] for name in ("mask_prob", "patch_size", "mask_value")
        }
        return replace(super().describe(), mim={n: value for n, value in given.items() if value is not None})

    def _masking(self) -> Masking:
        options = self.settings.options
        return Masking(options["mask_prob"], options["patch_size"], options["mask_value"])
