"""``tent``: norms that make the model sure of what it finds."""

from __future__ import annotations

from typing import ClassVar

import torch
from torch import Tensor

from anydet.adaptation.ttt.entropy import confident_rows
from anydet.adaptation.ttt.method import GradientMethod


class Tent(GradientMethod):
    """Minimizes the entropy of predictions by scales and shifts of norms.

    Wang et al. 2021, "Tent: Fully Test-Time Adaptation by Entropy Minimization". It differs in
    that only confident foreground rows count (``entropy``); that statistics of norms add up over the stream,
    where the paper normalizes by each batch alone; and that they are constants of the gradient.
    """

    name: ClassVar[str] = "tent"
    one_pass: ClassVar[bool] = True

    def loss(self, batch: Tensor, generator: torch.Generator) -> Tensor | None:
        """Mean entropy of confident rows."""
        del generator
        rows = confident_rows(self.adapter.class_logits(batch), self.confidence)
        return rows.mean() if len(rows) else None
