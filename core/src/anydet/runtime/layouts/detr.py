"""DETR and its descendants: class logits and normalized boxes, a row a query."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np

from anydet.geometry.boxes import cxcywh_to_xyxy
from anydet.runtime.errors import ModelError
from anydet.runtime.layouts.candidates import Array, Decoder, Outputs, sigmoid
from anydet.runtime.layouts.shapes import Signature
from anydet.types import FloatArray, IntArray, Size

_SLACK = 1e-2
"""How far half precision may leave [0, 1]."""


@dataclass(frozen=True, slots=True)
class Detr:
    """(Q, C + 1) or (Q, C) logits and (Q, 4) center and size divided by the input's.

    With background (last column) the scores are a softmax (Carion et al. 2020, "End-to-End Object Detection
    with Transformers"), without it sigmoids (Deformable DETR, RT-DETR).

    Attributes:
        input_wh: input size in pixels.
        class_count: C.
        background: whether the last logit is the background's.
        logits_output: position of the logits; the boxes are the other output.
    """

    input_wh: Size
    class_count: int
    background: bool
    logits_output: int

    def scores(self, outputs: Outputs) -> Array:
        """Softmax without its background column, or sigmoids."""
        logits = outputs[self.logits_output].astype(np.float64)
        low, high = float(logits.min(initial=0.0)), float(logits.max(initial=0.0))
        if low >= 0 and high <= 1 and logits.any():
            raise ModelError(
                f"class logits run from {low:.4g} to {high:.4g}: they are probabilities already",
                fix="check preset= and layout=: the outputs do not match 'detr'",
            )
        if not self.background:
            return sigmoid(logits)
        weights = np.exp(logits - logits.max(axis=1, keepdims=True))
        softmax: Array = weights[:, :-1] / weights.sum(axis=1, keepdims=True)
        return softmax

    @property
    def _boxes_output(self) -> int:
        return 1 - self.logits_output

    def boxes(self, outputs: Outputs, rows: IntArray) -> FloatArray:
        """Parts of the input to its pixels; raises ``ModelError`` where they are no parts of it."""
        boxes = outputs[self._boxes_output]
        low, high = float(boxes.min(initial=0.0)), float(boxes.max(initial=0.0))
        if not (low >= -_SLACK and high <= 1 + _SLACK):
            raise ModelError(
                f"boxes run from {low:.4g} to {high:.4g} where normalized coordinates were expected",
                fix="check preset= and layout=: the outputs do not match 'detr'",
            )
        return cxcywh_to_xyxy(boxes[rows].astype(np.float64) * np.array(self.input_wh * 2, np.float64))


@dataclass(frozen=True, slots=True)
class RfDetr(Detr):
    """As DETR with sigmoids, and (Q, h, w) mask logits over the whole input or none (rfdetr 1.11).

    Attributes:
        masks_output: position of the masks, or ``None``.
        boxes_output: position of the boxes.
    """

    masks_output: int | None
    boxes_output: int

    @property
    def _boxes_output(self) -> int:
        return self.boxes_output

    def mask_logits(self, outputs: Outputs, rows: IntArray) -> Array | None:
        """As they are."""
        return None if self.masks_output is None else outputs[self.masks_output][rows]


def bind_detr(outputs: Signature, input_wh: Size) -> Decoder | None:
    """(Q, C + 1) logits with background and (Q, 4) boxes."""
    return _bind(outputs, input_wh, background=True)


def bind_detr_sigmoid(outputs: Signature, input_wh: Size) -> Decoder | None:
    """(Q, C) logits and (Q, 4) boxes."""
    return _bind(outputs, input_wh, background=False)


def bind_rfdetr(outputs: Signature, input_wh: Size) -> Decoder | None:
    """(Q, 4) boxes called dets, (Q, C) logits, and (Q, h, w) masks or none."""
    masks = [i for i, shape in enumerate(outputs.shapes) if len(shape) == 3]
    others = [i for i in range(len(outputs)) if i not in masks]
    if len(others) != 2 or len(masks) > 1 or any(len(outputs.shapes[i]) != 2 for i in others):
        return None
    boxes = [i for i in others if outputs.shapes[i][1] == 4]
    # A name decides where both are four wide: three classes and background.
    named = [i for i in boxes if outputs.names[i] == "dets"]
    if not boxes or len({outputs.shapes[i][0] for i in (*others, *masks)}) > 1:
        return None
    at = (named or boxes)[-1]
    logits = next(i for i in others if i != at)
    return RfDetr(input_wh, outputs.shapes[logits][1], False, logits, masks[0] if masks else None, at)


def _bind(outputs: Signature, input_wh: Size, *, background: bool) -> Decoder | None:
    shapes = outputs.shapes
    if len(shapes) != 2 or any(len(shape) != 2 for shape in shapes) or shapes[0][0] != shapes[1][0]:
        return None
    boxes = [i for i, shape in enumerate(shapes) if shape[1] == 4]
    if not boxes:
        return None
    logits = 1 - boxes[-1]  # where both are four wide, logits come first, and ``boxes`` checks the values
    count = shapes[logits][1] - background
    return Detr(input_wh, count, background, logits) if count > 0 else None
