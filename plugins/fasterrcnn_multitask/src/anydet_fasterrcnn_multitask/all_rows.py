"""``AllRows``: a file in which every row is computed, detection or not, and no shape depends on the image.

OpenCV and TensorRT-RTX run no ``NonMaxSuppression`` with rows that are none, no ``NonZero`` and no
``RoiAlign``, or not all of them. Here suppression is a loop over a matrix, and regions are sampled by
``GridSample``. It takes the time of all proposals that there may be.
"""

from __future__ import annotations

import torch
from torch import Tensor
from torch.nn.functional import avg_pool2d, grid_sample, pad

from anydet_fasterrcnn_multitask.model import MultiTaskFasterRCNN
from anydet_fasterrcnn_multitask.roi_heads import Features
from anydet_fasterrcnn_multitask.rows import ABSENT, take, top

_CANDIDATES = 2000
"""Detections of an image that suppression looks at, the best of all classes; more where more are output.

A matrix of all is too large: 91 classes of 1000 proposals. Others come into question only where fewer of
these remain than are output.
"""


@torch.jit.script_if_tracing  # type: ignore[untyped-decorator]
def _settled(there: Tensor, covers: Tensor) -> Tensor:
    """(G, 1, N) 1 of rows that are kept, by (G, 1, N) 1 of those that there are.

    Greedy suppression as a fixed point: a row is kept where none that is kept covers it. Only better rows
    cover, so the first i rows are right after i steps, and all are once a step changes nothing.

    Args:
        there: as float.
        covers: (G, N, N) 1 where the first row, the better one, covers the second.
    """
    kept = there
    changed = torch.ones_like(there).sum() > 0
    while bool(changed):
        # Two steps a turn, so that what is compared is of one turn: OpenCV 5.0 ends a loop too early that
        # compares with what the turn before has left.
        first = torch.where(torch.matmul(kept, covers) > 0, torch.zeros_like(there), there)
        kept = torch.where(torch.matmul(first, covers) > 0, torch.zeros_like(there), there)
        changed = (kept - first).abs().sum() > 0
    return kept


def suppress(boxes: Tensor, scores: Tensor, iou_threshold: float, groups: Tensor | None = None) -> Tensor:
    """(G, N) scores, highest first, of (G, N, 4) boxes, ``ABSENT`` of those that a better one covers.

    Args:
        boxes: ``xyxy``.
        scores: ``ABSENT`` of rows that are none.
        iou_threshold: that a better one covers.
        groups: (G, N) numbers; only boxes of the same cover each other.
    """
    sides = (boxes[..., 2:] - boxes[..., :2]).clamp(min=0)
    area = sides[..., 0] * sides[..., 1]
    upper = torch.maximum(boxes[:, :, None, :2], boxes[:, None, :, :2])
    lower = torch.minimum(boxes[:, :, None, 2:], boxes[:, None, :, 2:])
    both = (lower - upper).clamp(min=0)
    shared = both[..., 0] * both[..., 1]
    # Rows that are none have no area, and 0 / 0 is no number that all runtimes compare alike.
    union = (area[:, :, None] + area[:, None] - shared).clamp(min=1e-9)
    place = torch.ones_like(scores).cumsum(1)
    covers = (shared / union > iou_threshold) & (place[:, :, None] < place[:, None])
    if groups is not None:
        covers = covers & (groups[:, :, None] == groups[:, None])
    there = (scores > ABSENT).to(scores.dtype)
    kept = _settled(there[:, None], covers.to(scores.dtype))[:, 0]
    return torch.where(kept > 0, scores, ABSENT)


class AllRows:
    """All rows, those that are none too."""

    def __init__(self, there: Tensor) -> None:
        self._there = there

    def of(self, values: Tensor) -> Tensor:
        """As ``Rows.of``: all."""
        return values

    def spread(self, values: Tensor, fill: float) -> Tensor:
        """As ``Rows.spread``."""
        there = self._there.flatten().reshape(-1, *[1] * (values.dim() - 1))
        return torch.where(there, values, fill)

    def features(self, model: MultiTaskFasterRCNN, features: Features, boxes: Tensor) -> Tensor:
        """As ``Rows.features``: ``roi_align`` by ``GridSample`` in one plane that has all levels."""
        pool = model.roi_heads.box_roi_pool
        levels = [features[name] for name in pool.featmap_names]
        # Rows that are none have no area, and its logarithm no level.
        some = torch.where(self._there[..., None], boxes, boxes.new_tensor([0.0, 0.0, 1.0, 1.0]))
        of_level = pool.map_levels([some.reshape(-1, 4)]).reshape(some.shape[:2])
        sizes = torch.stack([torch._shape_as_tensor(level)[2:].flip(0).to(some) for level in levels])
        before = sizes.cumsum(0)[:, 0] - sizes[:, 0]
        scales = boxes.new_tensor(pool.scales)
        x, y, inside = sample_points(
            some * scales[of_level][..., None], sizes[of_level], pool.output_size, pool.sampling_ratio
        )
        # The corners -1 and 1 of the plane are centers of its outer pixels.
        across = 2 * (x + before[of_level][..., None]) / (sizes[:, 0].sum() - 1) - 1
        down = 2 * y / (sizes[0, 1] - 1) - 1
        shape = (-1, -1, down.shape[2], across.shape[2])
        grid = torch.stack([across[:, :, None].expand(shape), down[..., None].expand(shape)], -1)
        found = grid_sample(_plane(levels), grid.flatten(1, 2), padding_mode="border", align_corners=True)
        found = found * inside.flatten(1, 2)[:, None].to(found.dtype)
        pooled = avg_pool2d(found, pool.sampling_ratio).transpose(1, 2)
        # Numbers in place of sizes, which a trace would take for the example's.
        rows, columns = pool.output_size
        regions = pooled.reshape(-1, rows, model.backbone.out_channels, columns).transpose(1, 2)
        result: Tensor = model.roi_heads.box_head(regions)
        return result


def sample_points(
    boxes: Tensor, sizes_wh: Tensor, output_size: tuple[int, int], ratio: int
) -> tuple[Tensor, Tensor, Tensor]:
    """Where ``roi_align`` looks: (B, N, w) x, (B, N, h) y, and (B, N, h, w) whether its pixel counts.

    As torchvision's kernel with ``aligned=False``: a side is one pixel at least, points beyond the last pixel
    are on it, and those more than a pixel beyond it are 0.

    Args:
        boxes: (B, N, 4) ``xyxy`` in pixels of their level.
        sizes_wh: (B, N, 2) of their level.
        output_size: rows and columns of the result.
        ratio: points a side of each of its pixels.
    """
    sides = (boxes[..., 2:] - boxes[..., :2]).clamp(min=1)
    points, counts = [], []
    for axis, count in ((0, output_size[1] * ratio), (1, output_size[0] * ratio)):
        steps = (torch.arange(count, device=boxes.device) + 0.5) / count
        at = boxes[..., axis, None] + sides[..., axis, None] * steps
        size = sizes_wh[..., axis, None]
        counts.append(at <= size)
        points.append(torch.minimum(at, size - 1))
    return points[0], points[1], counts[0][:, :, None] & counts[1][..., None]


def _plane(levels: list[Tensor]) -> Tensor:
    """(B, C, h, w) levels, the largest first, side by side."""
    height = levels[0].shape[2]
    return torch.cat([pad(level, (0, 0, 0, height - level.shape[2])) for level in levels], 3)


class AllForm:
    """Suppression by a matrix of all pairs, and a second stage on all rows."""

    def rows(self, there: Tensor) -> AllRows:
        """As ``Form.rows``."""
        return AllRows(there)

    def suppress(self, boxes: Tensor, scores: Tensor, iou_threshold: float, most: int) -> Tensor:
        """As ``Form.suppress``."""
        del most
        return suppress(boxes.flatten(0, 1), scores.flatten(0, 1), iou_threshold).reshape(scores.shape)

    def best(
        self, boxes: Tensor, scores: Tensor, iou_threshold: float, *, each: int, rows: int
    ) -> tuple[Tensor, Tensor, Tensor]:
        """As ``Form.best``, of the best ``_CANDIDATES`` of all groups."""
        candidates, index = top(scores.flatten(1), max(_CANDIDATES, rows))
        chosen = take(boxes.flatten(1, 2), index)
        groups = torch.div(index, each, rounding_mode="floor")
        best, index = top(suppress(chosen, candidates, iou_threshold, groups), rows)
        return take(chosen, index), best, groups.gather(1, index)
