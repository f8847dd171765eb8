"""``Outputs``: what a model gives for a batch."""

from __future__ import annotations

from collections.abc import Sequence
from typing import NamedTuple

from torch import Tensor


class Denoising(NamedTuple):
    """Which queries started at which noisy truth.

    Attributes:
        queries: the first so many queries of each image are denoising ones.
        groups: how often each truth was made noisy.
        positives: of each image, (groups x objects,) queries that should find objects 0, 1, ... again.
    """

    queries: int
    groups: int
    positives: Sequence[Tensor]


class Outputs(NamedTuple):
    """Outputs for B images with L decoder layers and Q queries.

    Attributes:
        logits: (B, L, Q, C) of classes; sigmoid.
        boxes: (B, L, Q, 4) normalized center and size in the input.
        heads: name -> (B, L, Q, n); see ``QueryHeads``.
        proposal_logits: (B, P, C) of the encoder's proposals, of which queries are made.
        proposal_boxes: (B, P, 4).
        scores: (B, S, C) class logits of all positions of the encoder's levels, of which the P with the
            highest are proposals; ``None`` in outputs that no model gave.
        camera: (B, 4); see ``CameraHead``; ``None`` without that head.
        denoising: what the first queries are in training, or ``None``.
    """

    logits: Tensor
    boxes: Tensor
    heads: dict[str, Tensor]
    proposal_logits: Tensor
    proposal_boxes: Tensor
    camera: Tensor | None = None
    denoising: Denoising | None = None
    scores: Tensor | None = None

    def split(self) -> tuple[Outputs | None, Outputs]:
        """Denoising queries, or ``None``, and the others."""
        if self.denoising is None:
            return None, self
        count = self.denoising.queries
        noisy, others = (self._take(part) for part in (slice(count), slice(count, None)))
        return noisy, others._replace(denoising=None)

    def _take(self, queries: slice) -> Outputs:
        heads = {name: values[:, :, queries] for name, values in self.heads.items()}
        return self._replace(logits=self.logits[:, :, queries], boxes=self.boxes[:, :, queries], heads=heads)
