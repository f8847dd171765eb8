"""Boxes left in the network's input, and letterboxes that are partly undone."""

from __future__ import annotations

from collections.abc import Iterator

import numpy as np

from anydet.evaluation.explanation.cause import Cause, moved, with_boxes
from anydet.types import DetectionColumns, FloatArray, GroundTruthColumns

SIDES = (
    *(224, 256, 288, 300, 320, 352, 384, 416, 448, 480, 512, 544, 576, 608, 640, 672, 704, 736, 768, 800),
    *(832, 864, 896, 928, 960, 992, 1024, 1152, 1280, 1333, 1536),
)
"""Usual sides of a square input, pixels."""
SHORT_AND_LONG = ((800, 1333), (640, 1333), (600, 1000), (480, 640))
"""Usual shortest and longest sides of torchvision's and detectron2's resizing, pixels."""
_LEFT = "boxes are left in pixels of the network's input"
_BACK = "scale boxes back to the original image before writing them"
_PADDED = {True: "padded on both sides", False: "padded right and below"}
_FEWEST_PAIRS = 8


def input_causes() -> Iterator[Cause]:
    """Boxes never brought back to the image, for each usual size."""
    for side in SIDES:
        name = f"{_LEFT}, the image stretched to {side} x {side}"
        yield Cause("network input", name, _BACK, moved(_unstretch, side))
    for centered, padded in _PADDED.items():
        for side in SIDES:
            name = f"{_LEFT}, the image letterboxed to {side} x {side} ({padded})"
            remedy = f"{'subtract the padding, then ' * centered}divide by the scale of the letterbox"
            yield Cause("network input", name, remedy, moved(_unletterbox, side, centered))
    for short, long in SHORT_AND_LONG:
        name = f"{_LEFT}, the image's shortest side resized to {short}, its longest to {long} at most"
        yield Cause("network input", name, _BACK, moved(_unresize, short, long))
    name = f"{_LEFT}, as large as boxes reach"
    yield Cause("network input", name, _BACK, moved(_unstretch, None), learned=True)
    thousandths = "divide boxes by 1000 and multiply by the image's width and height"
    for order in ("", ", y before x"):
        name = f"boxes are thousandths of the image{order}"
        yield Cause("network input", name, thousandths, moved(_unstretch, 1000, bool(order)))


def letterbox_causes() -> Iterator[Cause]:
    """A letterbox that is partly undone, or where there was none; whatever its size."""
    for centered, padded in _PADDED.items():
        yield Cause(
            "letterbox",
            f"boxes are fractions of the letterboxed input ({padded}), taken for those of the image",
            f"{'subtract the padding, then ' * centered}divide by the scale of the letterbox",
            moved(_of_square, centered),
        )
        yield Cause(
            "letterbox",
            f"boxes are brought back as if the image had been letterboxed ({padded}), but it was stretched",
            "divide by the network's input size and multiply by the image's, x and y each by its own",
            moved(_to_square, centered),
        )
    name = "the letterbox's scale is undone, its offset is not"
    yield Cause("letterbox", name, "subtract the padding before dividing by the scale", moved(_shift, -0.5))
    name = "a letterbox's offset is subtracted that was not there"
    yield Cause("letterbox", name, "do not subtract padding that is right and below", moved(_shift, 0.5))


def scale_cause() -> Cause:
    """Any factor and shift that are the same for all images, fitted to what is annotated."""
    return Cause(
        "scale",
        "boxes are larger or smaller, or beside the objects, by the same factor or shift everywhere",
        "look for a resized copy or crop of the images, or of the annotations, and for a forgotten stride",
        _fit_scale,
        learned=True,
    )


def _unstretch(
    boxes: FloatArray, sizes_wh: FloatArray, side: int | None, y_first: bool = False
) -> FloatArray:
    """``side`` is that of a square, or ``None`` for how far boxes reach."""
    reach = np.full(2, side or 1.0)
    if side is None and len(boxes):
        reach = np.maximum(np.quantile(boxes[:, :2] + boxes[:, 2:], 0.999, axis=0), 1.0)
    boxes = boxes[:, [1, 0, 3, 2]] if y_first else boxes
    stretched: FloatArray = boxes * np.tile(sizes_wh / reach, 2)
    return stretched


def _longest(sizes_wh: FloatArray) -> FloatArray:
    longest: FloatArray = np.maximum(sizes_wh.max(axis=1, keepdims=True), 1.0)
    return longest


def _unletterbox(boxes: FloatArray, sizes_wh: FloatArray, side: float, centered: bool) -> FloatArray:
    """From pixels of a letterboxed square to pixels of the image."""
    scale = side / _longest(sizes_wh)
    padding = (side - sizes_wh * scale) / 2 * centered
    return np.concatenate([boxes[:, :2] - padding, boxes[:, 2:]], axis=1) / scale


def _unresize(boxes: FloatArray, sizes_wh: FloatArray, short: float, long: float) -> FloatArray:
    """From pixels of a resized image; torchvision's ``GeneralizedRCNNTransform``."""
    shortest = np.maximum(sizes_wh.min(axis=1, keepdims=True), 1.0)
    resized: FloatArray = boxes / np.minimum(short / shortest, long / _longest(sizes_wh))
    return resized


def _of_square(boxes: FloatArray, sizes_wh: FloatArray, centered: bool) -> FloatArray:
    """From fractions of a letterboxed square that were multiplied by the image's size."""
    return _unletterbox(boxes / np.maximum(np.tile(sizes_wh, 2), 1.0), sizes_wh, 1.0, centered)


def _to_square(boxes: FloatArray, sizes_wh: FloatArray, centered: bool) -> FloatArray:
    """The inverse: fractions of the square are those of the stretched image."""
    longest = _longest(sizes_wh)
    padding = (longest - sizes_wh) / 2 * centered
    fractions = np.concatenate([boxes[:, :2] + padding, boxes[:, 2:]], axis=1) / longest
    return fractions * np.tile(sizes_wh, 2)


def _shift(boxes: FloatArray, sizes_wh: FloatArray, fraction: float) -> FloatArray:
    """Moved by a fraction of the padding, in pixels of the image."""
    return np.concatenate([boxes[:, :2] + fraction * (_longest(sizes_wh) - sizes_wh), boxes[:, 2:]], axis=1)


def _fit_scale(detections: DetectionColumns, truth: GroundTruthColumns) -> DetectionColumns:
    """Fitted to annotations that are alone of their class on their image, and the best detection of it."""
    count = len(truth.classes)
    keys = truth.image_index * count + truth.labels.class_ids
    alone, rows, times = np.unique(keys, return_index=True, return_counts=True)
    alone, rows = alone[times == 1], rows[times == 1]
    best = np.lexsort((-detections.scores, detections.image_index))
    found, first = np.unique((detections.image_index * count + detections.class_ids)[best], return_index=True)
    _, at_alone, at_found = np.intersect1d(alone, found, return_indices=True)
    if len(at_alone) < _FEWEST_PAIRS:
        return detections
    true = truth.labels.boxes_xywh_px[rows[at_alone]]
    ours = detections.boxes_xywh_px[best[first[at_found]]]
    factor = np.median(true[:, 2:] / np.maximum(ours[:, 2:], 1e-9), axis=0)
    centers = true[:, :2] + true[:, 2:] / 2, ours[:, :2] + ours[:, 2:] / 2
    shift = np.median(centers[0] - factor * centers[1], axis=0)
    boxes = detections.boxes_xywh_px * np.tile(factor, 2)
    return with_boxes(detections, np.concatenate([boxes[:, :2] + shift, boxes[:, 2:]], axis=1))
