"""``FoundRows``: rows that there are, by operators whose shapes depend on the image.

The fastest form for a CPU. Of four runtimes, ONNX Runtime and OpenVINO have all of its operators.
"""

from __future__ import annotations

from typing import Any

import torch
from torch import Tensor
from torchvision.ops import nms, roi_align

from anydet_fasterrcnn_multitask.model import MultiTaskFasterRCNN
from anydet_fasterrcnn_multitask.roi_heads import Features
from anydet_fasterrcnn_multitask.rows import ABSENT, take, top

_LOWEST = -0.5
"""Scores above it are of rows that are there.

OpenCV takes none below 0 and refuses the file; with 0, OpenCV 5.0 ran it and gave other detections.
"""


class Suppression(torch.autograd.Function):
    """Non-maximum suppression of groups of boxes: (M, 3) kept ones as group, 0 and row, any order."""

    @staticmethod
    def forward(_ctx: Any, boxes: Tensor, scores: Tensor, iou_threshold: float, most: int) -> Tensor:
        """Of (G, N, 4) ``xyxy`` boxes and (G, N) scores; ``most``, at least N, is for the trace."""
        del most
        kept = []
        for group in range(len(boxes)):
            there = torch.where(scores[group] > _LOWEST)[0]
            rows = there[nms(boxes[group, there], scores[group, there], iou_threshold)]
            kept.append(torch.stack([torch.full_like(rows, group), torch.zeros_like(rows), rows], 1))
        return torch.cat(kept)

    @staticmethod
    def symbolic(graph: Any, boxes: Any, scores: Any, iou_threshold: float, most: int) -> Any:
        """One ``NonMaxSuppression``, whose batches are the groups."""
        number = [
            graph.op("Constant", value_t=torch.tensor([value])) for value in (most, iou_threshold, _LOWEST)
        ]
        one_class = graph.op("Unsqueeze", scores, graph.op("Constant", value_t=torch.tensor([1])))
        found = graph.op("NonMaxSuppression", boxes, one_class, *number)
        return found.setType(boxes.type().with_dtype(torch.int64).with_sizes([None, 3]))


class FoundRows:
    """Rows that there are; the others are left out."""

    def __init__(self, there: Tensor) -> None:
        self._there = there
        self._places = there.flatten().nonzero()[:, 0]

    def of(self, values: Tensor) -> Tensor:
        """As ``Rows.of``."""
        return values[self._places]

    def spread(self, values: Tensor, fill: float) -> Tensor:
        """As ``Rows.spread``."""
        rest = values.shape[1:]
        empty = torch.full_like(self._there.flatten(), fill, dtype=values.dtype)
        return empty.reshape(-1, *[1] * len(rest)).expand(-1, *rest).index_put((self._places,), values)

    def features(self, model: MultiTaskFasterRCNN, features: Features, boxes: Tensor) -> Tensor:
        """As ``Rows.features``, by torchvision's ``roi_align`` of each level."""
        pool = model.roi_heads.box_roi_pool
        chosen = self.of(boxes.reshape(-1, 4))
        images = torch.div(self._places, boxes.shape[1], rounding_mode="floor")
        rois = torch.cat([images[:, None].to(chosen.dtype), chosen], 1)
        levels = pool.map_levels([chosen])
        members, pooled = [], []
        for level, (name, scale) in enumerate(zip(pool.featmap_names, pool.scales, strict=True)):
            members.append(torch.where(levels == level)[0])
            pooled.append(
                roi_align(features[name], rois[members[-1]], pool.output_size, scale, pool.sampling_ratio)
            )
        back = torch.cat(members).argsort()
        found: Tensor = model.roi_heads.box_head(torch.cat(pooled)[back])
        return found


class FoundForm:
    """Suppression by ONNX's ``NonMaxSuppression``, and a second stage on what it leaves."""

    def rows(self, there: Tensor) -> FoundRows:
        """As ``Form.rows``."""
        return FoundRows(there)

    def suppress(self, boxes: Tensor, scores: Tensor, iou_threshold: float, most: int) -> Tensor:
        """As ``Form.suppress``, in any order of scores."""
        groups = scores.flatten(0, 1)
        found = Suppression.apply(boxes.flatten(0, 1), groups, iou_threshold, most)
        index = found[:, 0] * scores.shape[2] + found[:, 2]
        kept = (
            torch.zeros_like(groups).flatten().scatter(0, index, torch.ones_like(index, dtype=scores.dtype))
        )
        return torch.where(kept.reshape(scores.shape) > 0, scores, ABSENT)

    def best(
        self, boxes: Tensor, scores: Tensor, iou_threshold: float, *, each: int, rows: int
    ) -> tuple[Tensor, Tensor, Tensor]:
        """As ``Form.best``."""
        kept = self.suppress(boxes, scores, iou_threshold, each)
        best, index = top(kept.flatten(1), rows)
        return take(boxes.flatten(1, 2), index), best, torch.div(index, each, rounding_mode="floor")
