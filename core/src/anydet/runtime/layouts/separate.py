"""Exports with NMS inside, or that need none: boxes, scores and labels in outputs of their own."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np

from anydet.runtime.errors import ModelError
from anydet.runtime.layouts.candidates import Array, Decoder, Outputs
from anydet.runtime.layouts.shapes import Signature
from anydet.types import FloatArray, IntArray, Size

_LABEL_WORDS = ("label", "class")


@dataclass(frozen=True, slots=True)
class Mmdeploy:
    """(N, 5) x1, y1, x2, y2 in input pixels and score, (N,) labels, and (N, h, w) mask probabilities or none.

    Masks are those of the input, or of the box where they are not of its size (mmdeploy, ``end2end`` of
    MMDetection's single-stage and two-stage detectors). Labels below 0 are padding.

    Attributes:
        input_wh: input size in pixels.
        dets_output: position of boxes and scores.
        labels_output: position of the labels.
        masks_output: position of the masks, or ``None``.
    """

    input_wh: Size
    dets_output: int
    labels_output: int
    masks_output: int | None

    @property
    def class_count(self) -> int | None:
        """``None``: the outputs do not show it."""
        return None

    def scores(self, outputs: Outputs) -> Array:
        """(N, 1), without the padding."""
        scores: Array = outputs[self.dets_output][self._found(outputs), 4:5]
        return scores

    def labels(self, outputs: Outputs, rows: IntArray) -> Array:
        """As they are."""
        labels: Array = outputs[self.labels_output][self._found(outputs)[rows]]
        return labels

    def boxes(self, outputs: Outputs, rows: IntArray) -> FloatArray:
        """Already decoded."""
        boxes: FloatArray = outputs[self.dets_output][self._found(outputs)[rows], :4].astype(float)
        return boxes

    def soft_masks(self, outputs: Outputs, rows: IntArray) -> Array | None:
        """(len(rows), h, w) probabilities over the input or the box."""
        if self.masks_output is None:
            return None
        masks: Array = outputs[self.masks_output][self._found(outputs)[rows]]
        return masks

    def _found(self, outputs: Outputs) -> IntArray:
        return np.flatnonzero(outputs[self.labels_output] >= 0)


@dataclass(frozen=True, slots=True)
class Separate:
    """(N, 4) x1, y1, x2, y2 in input pixels, (N,) scores, (N,) labels; N may differ from image to image.

    torchvision's detectors, and deployment exports of RT-DETR and its descendants, are like that. Where a
    fourth output counts the detections, the rows behind them are padding (TensorRT's EfficientNMS).

    Attributes:
        boxes_output: position of the boxes.
        scores_output: position of the scores.
        labels_output: position of the labels.
        count_output: position of the count, or ``None``.
    """

    boxes_output: int
    scores_output: int
    labels_output: int
    count_output: int | None = None

    @property
    def class_count(self) -> int | None:
        """``None``: the outputs do not show it."""
        return None

    def scores(self, outputs: Outputs) -> Array:
        """(N, 1), or (count, 1)."""
        scores: Array = outputs[self.scores_output][: self._count(outputs), None]
        return scores

    def labels(self, outputs: Outputs, rows: IntArray) -> Array:
        """As they are."""
        labels: Array = outputs[self.labels_output][rows]
        return labels

    def boxes(self, outputs: Outputs, rows: IntArray) -> FloatArray:
        """Already decoded."""
        boxes: FloatArray = outputs[self.boxes_output][rows].astype(float)
        return boxes

    def _count(self, outputs: Outputs) -> int | None:
        if self.count_output is None:
            return None
        count, room = int(outputs[self.count_output].item()), len(outputs[self.boxes_output])
        if not 0 <= count <= room:
            raise ModelError(
                f"the outputs count {count} detections and have room for {room}",
                fix="check preset= and layout=: the outputs do not match layout 'counted'",
            )
        return count


def bind_separate(outputs: Signature, input_wh: Size) -> Decoder | None:
    """(N, 4), (N,) and (N,), in any order."""
    return _bind(outputs, range(len(outputs))) if len(outputs) == 3 else None


def bind_mmdeploy(outputs: Signature, input_wh: Size) -> Decoder | None:
    """(N, 5), (N,) whole numbers, and (N, h, w) or nothing, in any order."""
    shapes = outputs.shapes
    dets = [i for i, shape in enumerate(shapes) if len(shape) == 2 and shape[1] == 5]
    labels = [i for i, shape in enumerate(shapes) if len(shape) == 1 and outputs.integer[i]]
    masks = [i for i, shape in enumerate(shapes) if len(shape) == 3]
    if len(dets) != 1 or len(labels) != 1 or len(masks) != len(shapes) - 2 or len(masks) > 1:
        return None
    if any(shapes[i][0] != shapes[dets[0]][0] for i in (*labels, *masks)):
        return None
    return Mmdeploy(input_wh, dets[0], labels[0], masks[0] if masks else None)


def bind_counted(outputs: Signature, input_wh: Size) -> Decoder | None:
    """(N, 4), (N,) and (N,) beside the only other output, a whole number."""
    others = [i for i, shape in enumerate(outputs.shapes) if shape in ((), (1,)) and outputs.integer[i]]
    if len(outputs) != 4 or not others:
        return None
    count = next((i for i in others if "num" in outputs.names[i]), others[0])
    return _bind(outputs, [i for i in range(4) if i != count], count)


def _bind(outputs: Signature, three: range | list[int], count: int | None = None) -> Decoder | None:
    boxes = [i for i in three if len(outputs.shapes[i]) == 2 and outputs.shapes[i][1] == 4]
    if len(boxes) != 1:
        return None
    others = [i for i in three if i != boxes[0]]
    labels = _labels_output(outputs, others)
    if labels is None or any(outputs.shapes[i] != outputs.shapes[boxes[0]][:1] for i in others):
        return None
    return Separate(boxes[0], next(i for i in others if i != labels), labels, count)


def _labels_output(outputs: Signature, two: list[int]) -> int | None:
    """The one of whole numbers, else the one with a name of labels; ``None`` where neither decides."""
    whole = [i for i in two if outputs.integer[i]]
    named = [i for i in two if any(word in outputs.names[i].lower() for word in _LABEL_WORDS)]
    found = whole if len(whole) == 1 else named
    return found[0] if len(found) == 1 else None
