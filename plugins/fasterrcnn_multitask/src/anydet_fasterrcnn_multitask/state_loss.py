"""What a wrong state costs."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Literal, TypeAlias

import torch
from torch import Tensor, nn
from torch.nn import functional

Kind: TypeAlias = Literal["cross_entropy", "balanced", "focal"]
_FOCUS = 2.0
"""Exponent gamma of the focal loss, as its authors recommend."""


class StateLoss(nn.Module):
    """Mean loss of state logits.

    Args:
        kind: ``cross_entropy``; ``balanced``, in which each state weighs as much as each other over the
            training set; or ``focal`` (Lin et al. 2017, "Focal Loss for Dense Object Detection", eq. 4,
            gamma 2), in which what is known already weighs less.
        counts: how often each state is in the training set; ``balanced`` needs it.
    """

    weights: Tensor | None

    def __init__(self, kind: Kind = "cross_entropy", counts: Sequence[int] = ()) -> None:
        super().__init__()
        self.kind = kind
        weights = balanced_weights(counts) if kind == "balanced" else None
        # Not persistent: they describe the training set, and a checkpoint must load without them.
        self.register_buffer("weights", weights, persistent=False)

    def forward(self, logits: Tensor, states: Tensor) -> Tensor:
        """Scalar loss of (N, S) logits for (N,) states; 0, with a gradient of 0, where N is 0."""
        logits = logits.float()
        if not len(states):
            # A mean over no rows is NaN; this zero still depends on the state head, as
            # DistributedDataParallel needs.
            return logits.sum() * 0.0
        if self.kind == "focal":
            log_p = functional.log_softmax(logits, dim=-1).gather(1, states[:, None])[:, 0]
            return (-((1 - log_p.exp()) ** _FOCUS) * log_p).mean()
        return functional.cross_entropy(logits, states, self.weights)


def balanced_weights(counts: Sequence[int]) -> Tensor:
    """(S,) weights N / (S' n_s) over the S' states that occur, 0 for those that do not."""
    frequency = torch.as_tensor(counts, dtype=torch.float32)
    occurring = (frequency > 0).sum().clamp(min=1)
    weights = frequency.sum() / (occurring * frequency.clamp(min=1))
    return torch.where(frequency > 0, weights, torch.zeros_like(weights))
