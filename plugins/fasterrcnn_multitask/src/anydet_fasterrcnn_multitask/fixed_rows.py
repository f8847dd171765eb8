"""Faster R-CNN's prediction without lists: any number of images, rows of a fixed number an image.

torchvision predicts image by image, in Python lists of tensors whose sizes depend on the data. A trace of
that has the number of images of its example, and its suppression shifts boxes of other classes to far
coordinates, where single precision has an error of hundredths of a pixel. Here an absent row has a score
below all others, each class of each image is a group of its own, and ONNX's ``NonMaxSuppression`` takes all
groups at once.
"""

from __future__ import annotations

from typing import Any

import torch
from torch import Tensor
from torchvision.models.detection.image_list import ImageList
from torchvision.ops import nms, roi_align

from anydet_fasterrcnn_multitask.model import MultiTaskFasterRCNN
from anydet_fasterrcnn_multitask.roi_heads import Features

ABSENT = -1.0
"""Score of a row that is none; those of others are probabilities."""
_LOWEST = -0.5
"""Scores above it are of rows that are there.

OpenCV takes none below 0 and refuses the file; with 0, OpenCV 5.0 ran it and gave other detections.
"""
_SMALLEST_BOX = 1e-2
"""Pixels; torchvision drops detections with a shorter side."""


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


def propose(
    model: MultiTaskFasterRCNN, features: Features, padded: Tensor, size_wh: Tensor
) -> tuple[Tensor, Tensor]:
    """The first stage: (B, P, 4) proposals in pixels of the input and (B, P) scores, ``ABSENT`` of none.

    Args:
        model: in evaluation mode.
        features: levels of the pyramid.
        padded: (B, 3, H, W) inputs.
        size_wh: (2,) width and height that boxes are clipped to.
    """
    rpn = model.rpn
    levels = list(features.values())
    objectness, deltas = rpn.head(levels)
    (anchors,) = rpn.anchor_generator(ImageList(padded, [(0, 0)]), levels)
    boxes, scores, first = [], [], 0
    for logits, codes in zip(objectness, deltas, strict=True):
        probabilities = logits.permute(0, 2, 3, 1).flatten(1).sigmoid()
        count = probabilities.shape[1]
        best, index = _top(probabilities, rpn.pre_nms_top_n())
        index = torch.where(index < count, index, 0)  # of rows that are none
        places = anchors[first : first + count][index]
        rows = _take(codes.unflatten(1, (-1, 4)).permute(0, 3, 4, 1, 2).flatten(1, 3), index)
        decoded = rpn.box_coder.decode_single(rows.reshape(-1, 4), places.reshape(-1, 4))
        boxes.append(clip(decoded.reshape(places.shape), size_wh))
        scores.append(torch.where(_large(boxes[-1], rpn.min_size) & (best >= rpn.score_thresh), best, ABSENT))
        first = first + count
    most = rpn.pre_nms_top_n()
    kept = suppress(torch.stack(boxes, 1), torch.stack(scores, 1), rpn.nms_thresh, most)
    best, index = _top(kept.flatten(1), rpn.post_nms_top_n())
    return _take(torch.cat(boxes, 1), index), best


def detect(
    model: MultiTaskFasterRCNN,
    features: Features,
    proposals: Tensor,
    there: Tensor,
    size_wh: Tensor,
    *,
    score_floor: float,
    rows: int,
) -> tuple[Tensor, Tensor, Tensor]:
    """The second stage: (B, K, 4) boxes, (B, K) scores, ``ABSENT`` of none, and (B, K) class ids.

    Args:
        model: in evaluation mode.
        features: levels of the pyramid.
        proposals: (B, P, 4) of ``propose``.
        there: (B, P) which of them are proposals.
        size_wh: (2,) width and height that boxes are clipped to.
        score_floor: scores above it are detections.
        rows: K.
    """
    heads = model.roi_heads
    count = model.rpn.post_nms_top_n()
    places, regions = region_features(model, features, proposals, there)
    logits, deltas = heads.box_predictor(regions)
    classes = logits.shape[1] - 1
    decoded = heads.box_coder.decode_single(deltas.float(), proposals.reshape(-1, 4)[places])
    boxes = clip(decoded.unflatten(1, (-1, 4))[:, 1:], size_wh)
    scores = logits.float().softmax(-1)[:, 1:]
    scores = torch.where((scores > score_floor) & _large(boxes, _SMALLEST_BOX), scores, ABSENT)
    all_boxes = spread(boxes, places, there, 0.0).reshape(-1, count, classes, 4).transpose(1, 2)
    all_scores = spread(scores, places, there, ABSENT).reshape(-1, count, classes).transpose(1, 2)
    kept = suppress(all_boxes, all_scores, heads.nms_thresh, count)
    best, index = _top(kept.flatten(1), rows)
    index = torch.where(index < classes * count, index, 0)
    return _take(all_boxes.flatten(1, 2), index), best, torch.div(index, count, rounding_mode="floor")


def suppress(boxes: Tensor, scores: Tensor, iou_threshold: float, most: int) -> Tensor:
    """(B, G, N) scores of (B, G, N, 4) boxes, ``ABSENT`` of those that a better one of the group covers.

    ``most`` is N as a number, which a trace does not have.
    """
    groups = scores.flatten(0, 1)
    found = Suppression.apply(boxes.flatten(0, 1), groups, iou_threshold, most)
    index = found[:, 0] * scores.shape[2] + found[:, 2]
    kept = torch.zeros_like(groups).flatten().scatter(0, index, torch.ones_like(index, dtype=scores.dtype))
    return torch.where(kept.reshape(scores.shape) > 0, scores, ABSENT)


def region_features(
    model: MultiTaskFasterRCNN, features: Features, boxes: Tensor, there: Tensor
) -> tuple[Tensor, Tensor]:
    """Places (M,) of boxes among all rows, and (M, representation) features of them.

    Args:
        model: in evaluation mode.
        features: levels of the pyramid.
        boxes: (B, N, 4) in pixels of the input.
        there: (B, N) which of them count.
    """
    pool = model.roi_heads.box_roi_pool
    places = there.flatten().nonzero()[:, 0]
    chosen = boxes.reshape(-1, 4)[places]
    images = torch.div(places, boxes.shape[1], rounding_mode="floor")
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
    return places, found


def spread(values: Tensor, places: Tensor, there: Tensor, fill: float) -> Tensor:
    """(B * N, ...) with (M, ...) values in their places, and ``fill`` in all others.

    Args:
        values: (M, ...).
        places: (M,) among all rows.
        there: (B, N), for the number of rows.
        fill: of rows that have none.
    """
    rest = values.shape[1:]
    empty = torch.full_like(there.flatten(), fill, dtype=values.dtype)
    return empty.reshape(-1, *[1] * len(rest)).expand(-1, *rest).index_put((places,), values)


def clip(boxes: Tensor, size_wh: Tensor) -> Tensor:
    """(..., 4) ``xyxy`` within an image."""
    return torch.minimum(boxes.clamp(min=0), size_wh.repeat(2))


def _large(boxes: Tensor, shortest: float) -> Tensor:
    """(...) whether both sides of (..., 4) boxes are as long."""
    return (boxes[..., 2:] - boxes[..., :2] >= shortest).all(-1)


def _top(scores: Tensor, count: int) -> tuple[Tensor, Tensor]:
    """(B, count) highest scores and their columns, of score ``ABSENT`` where there are fewer."""
    padding = torch.full_like(scores[:, :1], ABSENT).expand(-1, count)
    best, index = torch.cat([scores, padding], 1).topk(count, dim=1)
    return best, index


def _take(rows: Tensor, index: Tensor) -> Tensor:
    """(B, K, n) rows of (B, N, n) by (B, K) index."""
    return rows.gather(1, index[..., None].expand(-1, -1, rows.shape[2]))
