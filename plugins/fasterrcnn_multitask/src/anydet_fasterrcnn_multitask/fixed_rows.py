"""Faster R-CNN's prediction without lists: any number of images, rows of a fixed number an image.

torchvision predicts image by image, in Python lists of tensors whose sizes depend on the data. A trace of
that has the number of images of its example, and its suppression shifts boxes of other classes to far
coordinates, where single precision has an error of hundredths of a pixel. Here an absent row has a score
below all others, each class of each image is a group of its own, and a ``Form`` suppresses all groups at
once.
"""

from __future__ import annotations

import torch
from torch import Tensor
from torchvision.models.detection.image_list import ImageList

from anydet_fasterrcnn_multitask.model import MultiTaskFasterRCNN
from anydet_fasterrcnn_multitask.roi_heads import Features
from anydet_fasterrcnn_multitask.rows import ABSENT, Form, take, top

_SMALLEST_BOX = 1e-2
"""Pixels; torchvision drops detections with a shorter side."""


def propose(
    model: MultiTaskFasterRCNN, features: Features, padded: Tensor, size_wh: Tensor, form: Form
) -> tuple[Tensor, Tensor]:
    """The first stage: (B, P, 4) proposals in pixels of the input and (B, P) scores, ``ABSENT`` of none.

    Args:
        model: in evaluation mode.
        features: levels of the pyramid.
        padded: (B, 3, H, W) inputs.
        size_wh: (2,) width and height that boxes are clipped to.
        form: of the suppression.
    """
    rpn = model.rpn
    levels = list(features.values())
    objectness, deltas = rpn.head(levels)
    (anchors,) = rpn.anchor_generator(ImageList(padded, [(0, 0)]), levels)
    boxes, scores, first = [], [], 0
    for logits, codes in zip(objectness, deltas, strict=True):
        probabilities = logits.permute(0, 2, 3, 1).flatten(1).sigmoid()
        count = probabilities.shape[1]
        best, index = top(probabilities, rpn.pre_nms_top_n())
        places = anchors[first : first + count][index]
        rows = take(codes.unflatten(1, (-1, 4)).permute(0, 3, 4, 1, 2).flatten(1, 3), index)
        decoded = rpn.box_coder.decode_single(rows.reshape(-1, 4), places.reshape(-1, 4))
        boxes.append(clip(decoded.reshape(places.shape), size_wh))
        scores.append(torch.where(_large(boxes[-1], rpn.min_size) & (best >= rpn.score_thresh), best, ABSENT))
        first = first + count
    most = rpn.pre_nms_top_n()
    kept = form.suppress(torch.stack(boxes, 1), torch.stack(scores, 1), rpn.nms_thresh, most)
    best, index = top(kept.flatten(1), rpn.post_nms_top_n())
    return take(torch.cat(boxes, 1), index), best


def detect(
    model: MultiTaskFasterRCNN,
    features: Features,
    proposals: Tensor,
    there: Tensor,
    size_wh: Tensor,
    *,
    form: Form,
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
        form: of the suppression, and which proposals are computed.
        score_floor: scores above it are detections.
        rows: K.
    """
    heads = model.roi_heads
    count = model.rpn.post_nms_top_n()
    chosen = form.rows(there)
    logits, deltas = heads.box_predictor(chosen.features(model, features, proposals))
    classes = logits.shape[1] - 1
    decoded = heads.box_coder.decode_single(deltas.float(), chosen.of(proposals.reshape(-1, 4)))
    boxes = clip(decoded.unflatten(1, (-1, 4))[:, 1:], size_wh)
    scores = logits.float().softmax(-1)[:, 1:]
    scores = torch.where((scores > score_floor) & _large(boxes, _SMALLEST_BOX), scores, ABSENT)
    all_boxes = chosen.spread(boxes, 0.0).reshape(-1, count, classes, 4).transpose(1, 2)
    all_scores = chosen.spread(scores, ABSENT).reshape(-1, count, classes).transpose(1, 2)
    return form.best(all_boxes, all_scores, heads.nms_thresh, each=count, rows=rows)


def clip(boxes: Tensor, size_wh: Tensor) -> Tensor:
    """(..., 4) ``xyxy`` within an image."""
    return torch.minimum(boxes.clamp(min=0), size_wh.repeat(2))


def _large(boxes: Tensor, shortest: float) -> Tensor:
    """(...) whether both sides of (..., 4) boxes are as long."""
    return (boxes[..., 2:] - boxes[..., :2] >= shortest).all(-1)
