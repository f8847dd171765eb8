"""Entropy of what a detector is confident of: the loss of Tent and of those that came after it.

In image classification each image has one distribution over classes. A detector has hundreds, nearly all of
them background, whose entropy is small, right, and says nothing of the objects. So only rows count (regions,
queries, cells or pixels) whose highest foreground probability is above a floor.
"""

from __future__ import annotations

import math
from dataclasses import dataclass

import torch
from torch import Tensor
from torch.nn import functional as F  # noqa: N812 - everybody's name for it

from anydet.plugins.adapter import ClassLogits


@dataclass(frozen=True, slots=True, eq=False)
class Confident:
    """Confident rows of a batch.

    Attributes:
        entropy: (R,) entropy of each confident row in nats, differentiable; with sigmoid scores the sum of
            the entropies of all classes, each of which is present or not.
        image: (R,) index of its image in the batch.
        probabilities: (R, C) of the foreground classes, without gradient.
        images: number of images in the batch.
        largest: entropy of a row of which nothing is known: ln C, or ln 2 with sigmoid scores, where one
            class is in doubt at once.
    """

    entropy: Tensor
    image: Tensor
    probabilities: Tensor
    images: int
    largest: float

    def __len__(self) -> int:
        return len(self.entropy)

    def mean(self) -> Tensor:
        """Mean entropy of all rows, a scalar; 0, still differentiable, where there is none."""
        return self.entropy.sum() / max(1, len(self.entropy))

    def of_images(self) -> tuple[Tensor, Tensor]:
        """(B,) mean entropy of each image's rows, and (B,) whether it has any."""
        count = torch.bincount(self.image, minlength=self.images)
        total = self.entropy.new_zeros(self.images).index_add(0, self.image, self.entropy)
        return total / count.clamp(min=1), count > 0

    def distributions(self) -> Tensor:
        """(B, C) mean foreground probabilities of each image's rows."""
        count = torch.bincount(self.image, minlength=self.images).clamp(min=1)
        shape = (self.images, self.probabilities.shape[1])
        total = self.probabilities.new_zeros(shape).index_add(0, self.image, self.probabilities)
        return total / count[:, None]


def confident_rows(found: ClassLogits, floor: float) -> Confident:
    """Rows whose highest foreground probability is at least ``floor``."""
    logits: Tensor = found.logits.float()
    foreground = [c for c in range(logits.shape[2]) if c != found.background]
    with torch.no_grad():
        every = probabilities(found)
        best = every[..., foreground].amax(-1)
        chosen = found.valid & (best >= floor)
        image = chosen.nonzero()[:, 0]
    rows = logits[chosen]
    if found.activation == "softmax":
        logs = rows.log_softmax(-1)
        entropy = -(logs.exp() * logs).sum(-1)
        largest = math.log(max(2, len(foreground)))
    else:
        # Of a logit: softplus(x) - x sigmoid(x), which stays finite where a probability is 0 or 1.
        entropy = (F.softplus(rows) - rows * rows.sigmoid()).sum(-1)
        largest = math.log(2)
    return Confident(entropy, image, every[chosen][:, foreground], len(logits), largest)


def probabilities(found: ClassLogits) -> Tensor:
    """(B, N, C) probabilities of all columns, the background's too."""
    logits: Tensor = found.logits.float()
    return logits.softmax(-1) if found.activation == "softmax" else logits.sigmoid()
