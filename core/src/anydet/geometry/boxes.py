"""Boxes: format changes, clipping, IoU, non-maximum suppression.

Formats: ``xyxy`` corners with x2/y2 exclusive, ``xywh`` top-left corner and size, ``cxcywh`` centre and size;
``_abs`` in pixels, ``_norm`` divided by the image's width and height.
"""

from __future__ import annotations

from typing import Literal, get_args

import numpy as np

from anydet.types import FloatArray, IntArray

BoxFormat = Literal["cxcywh_norm", "cxcywh_abs", "xywh_abs", "xyxy_abs"]
BOX_FORMATS: tuple[str, ...] = get_args(BoxFormat)


def xyxy_to_xywh(boxes: FloatArray) -> FloatArray:
    """(N, 4) corners to top-left corner and size."""
    return np.concatenate([boxes[:, :2], boxes[:, 2:] - boxes[:, :2]], axis=1)


def xywh_to_xyxy(boxes: FloatArray) -> FloatArray:
    """(N, 4) top-left corner and size to corners."""
    return np.concatenate([boxes[:, :2], boxes[:, :2] + boxes[:, 2:]], axis=1)


def to_xywh_px(boxes: FloatArray, box_format: str, sizes_wh: IntArray) -> FloatArray:
    """(N, 4) boxes of ``box_format`` to x, y, width, height in pixels.

    Args:
        boxes: (N, 4).
        box_format: one of ``BOX_FORMATS``.
        sizes_wh: (N, 2) or (2,) image sizes in pixels; only ``cxcywh_norm`` looks at them.
    """
    if box_format == "xywh_abs":
        return boxes
    if box_format == "xyxy_abs":
        return xyxy_to_xywh(boxes)
    if box_format == "cxcywh_norm":
        scale = np.broadcast_to(sizes_wh, (len(boxes), 2)).astype(np.float64)
        boxes = boxes * np.concatenate([scale, scale], axis=1)
    elif box_format != "cxcywh_abs":
        raise ValueError(f"unknown box format {box_format!r}; known: {', '.join(BOX_FORMATS)}")
    return np.concatenate([boxes[:, :2] - boxes[:, 2:] / 2, boxes[:, 2:]], axis=1)


def xyxy_to_cxcywh_norm(boxes: FloatArray, size_wh: tuple[int, int]) -> FloatArray:
    """(N, 4) corners in pixels to centre and size divided by the image's size."""
    scale = np.array([*size_wh, *size_wh], np.float64)
    return np.concatenate([(boxes[:, :2] + boxes[:, 2:]) / 2, boxes[:, 2:] - boxes[:, :2]], axis=1) / scale


def clip_xyxy(boxes: FloatArray, size_wh: tuple[int, int]) -> FloatArray:
    """(N, 4) corners moved into the image; a box outside it comes back with no area."""
    width, height = size_wh
    return np.clip(boxes, 0.0, np.array([width, height, width, height], np.float64))


def area_xyxy(boxes: FloatArray) -> FloatArray:
    """(N,) areas; 0 where a corner pair is inverted."""
    side = np.clip(boxes[:, 2:] - boxes[:, :2], 0.0, None)
    area: FloatArray = side[:, 0] * side[:, 1]
    return area


def iou_xyxy(left: FloatArray, right: FloatArray) -> FloatArray:
    """(N, M) intersection over union of (N, 4) and (M, 4) corners; 0 where both are empty."""
    low = np.maximum(left[:, None, :2], right[None, :, :2])
    high = np.minimum(left[:, None, 2:], right[None, :, 2:])
    side = np.clip(high - low, 0.0, None)
    inter = side[..., 0] * side[..., 1]
    union = area_xyxy(left)[:, None] + area_xyxy(right)[None, :] - inter
    out: FloatArray = np.divide(inter, union, out=np.zeros_like(inter), where=union > 0)
    return out


def nms(boxes: FloatArray, scores: FloatArray, iou_threshold: float) -> IntArray:
    """Positions kept by greedy non-maximum suppression, best score first.

    Equal to ``torchvision.ops.nms``: a box goes when its IoU with a better one is above the threshold, and
    of equal scores the earlier box wins.

    Args:
        boxes: (N, 4) ``xyxy``.
        scores: (N,).
        iou_threshold: in [0, 1].
    """
    order = np.argsort(-scores, kind="stable")
    x1, y1, x2, y2 = np.ascontiguousarray(boxes[order].T)
    areas = (x2 - x1) * (y2 - y1)
    alive = np.ones(len(order), np.bool_)
    keep: list[int] = []
    for i in range(len(order)):
        if not alive[i]:
            continue
        keep.append(i)
        rest = i + 1 + np.flatnonzero(alive[i + 1 :])
        width = np.clip(np.minimum(x2[i], x2[rest]) - np.maximum(x1[i], x1[rest]), 0, None)
        height = np.clip(np.minimum(y2[i], y2[rest]) - np.maximum(y1[i], y1[rest]), 0, None)
        inter = width * height
        with np.errstate(invalid="ignore", divide="ignore"):
            alive[rest] = ~(inter / (areas[i] + areas[rest] - inter) > iou_threshold)
    kept: IntArray = order[np.array(keep, np.int64)]
    return kept


def nms_by_class(
    boxes: FloatArray, scores: FloatArray, class_ids: IntArray, iou_threshold: float
) -> IntArray:
    """``nms`` within each class alone; positions best score first, of equal scores the earlier first."""
    kept = [np.zeros(0, np.int64)]
    for class_id in np.unique(class_ids):
        rows = np.flatnonzero(class_ids == class_id)
        kept.append(rows[nms(boxes[rows], scores[rows], iou_threshold)])
    rows = np.sort(np.concatenate(kept))
    ordered: IntArray = rows[np.argsort(-scores[rows], kind="stable")]
    return ordered
