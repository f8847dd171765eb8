"""``Regions``: what a second stage says of regions, as class logits that other models can be asked for."""

from __future__ import annotations

from collections.abc import Sequence
from typing import NamedTuple, TypeAlias

import torch
from torch import Tensor
from torch.nn.utils.rnn import pad_sequence

from anydet.errors import TrainingError
from anydet.plugins.adapter import ClassLogits, RowValues

SizesHW: TypeAlias = Sequence[tuple[int, int]]


class Regions(NamedTuple):
    """What the second stage says of regions of B images.

    Attributes:
        boxes: (N_i, 4) of each image, ``xyxy`` in pixels of the input.
        logits: (N_i, C + 1) of each image, the background first; float32.
        sizes_hw: of each image in the input, padding left out.
        deltas: (N_i, C + 1, 4) of each image, from regions to boxes, for each class; float32.
        states: (N_i, S) logits of each image, float32; ``None`` where nothing needs them.
    """

    boxes: Sequence[Tensor]
    logits: Sequence[Tensor]
    sizes_hw: SizesHW
    deltas: Sequence[Tensor]
    states: Sequence[Tensor] | None = None

    @classmethod
    def of(
        cls,
        boxes: Sequence[Tensor],
        logits: Tensor,
        deltas: Tensor,
        sizes_hw: SizesHW,
        states: Tensor | None = None,
    ) -> Regions:
        """Image by image what is said of (sum N_i, ...) regions of all of them.

        Args:
            boxes: (N_i, 4) of each image.
            logits: (sum N_i, C + 1).
            deltas: (sum N_i, 4 (C + 1)).
            sizes_hw: of each image.
            states: (sum N_i, S), or ``None``.
        """
        counts = [len(rows) for rows in boxes]
        by_class = deltas.float().reshape(-1, logits.shape[1], 4)
        split = None if states is None else torch.split(states.float(), counts)
        return cls(boxes, torch.split(logits.float(), counts), sizes_hw, torch.split(by_class, counts), split)

    def class_logits(self) -> ClassLogits:
        """The same, padded to the image that has most; ``bbox`` and ``states`` are beside."""
        device = self.logits[0].device
        counts = torch.tensor([len(rows) for rows in self.boxes], device=device)
        columns = torch.arange(max(len(rows) for rows in self.boxes), device=device)
        beside = {"bbox": RowValues(pad_sequence(list(self.deltas), batch_first=True))}
        if self.states is not None:
            beside["states"] = RowValues(pad_sequence(list(self.states), batch_first=True), "states")
        return ClassLogits(
            pad_sequence(list(self.logits), batch_first=True),
            columns < counts[:, None],
            "softmax",
            background=0,
            boxes=pad_sequence(list(self.boxes), batch_first=True),
            sizes_wh=torch.tensor(self.sizes_hw, device=device).flip(1),
            beside=beside,
        )


def boxes_like(like: ClassLogits, sizes_hw: SizesHW) -> list[Tensor]:
    """(N, 4) boxes of each image of another model's answer, in pixels of inputs that may have other sizes.

    Args:
        like: the other model's.
        sizes_hw: of each image in the own input, padding left out.

    Raises ``TrainingError`` where the answer has no boxes.
    """
    if like.boxes is None or like.sizes_wh is None:
        raise TrainingError(
            "the logits to compare with have no boxes", fix="give those of a model of this family"
        )
    scale = like.boxes.new_tensor(sizes_hw).flip(1) / like.sizes_wh
    return list(like.boxes.detach() * scale.repeat(1, 2)[:, None])
