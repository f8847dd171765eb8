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

    def boxes(self, outputs: Outputs, rows: IntArray) -> FloatArray:
        """Parts of the input to its pixels; raises ``ModelError`` where they are no parts of it."""
        boxes = outputs[1 - self.logits_output]
        low, high = float(boxes.min(initial=0.0)), float(boxes.max(initial=0.0))
        if not (low >= -_SLACK and high <= 1 + _SLACK):
            raise ModelError(
                f"boxes run from {low:.4g} to {high:.4g} where normalized coordinates were expected",
                fix="check preset= and layout=: the outputs do not match 'detr'",
            )
        return cxcywh_to_xyxy(boxes[rows].astype(np.float64) * np.array(self.input_wh * 2, np.float64))


def bind_detr(outputs: Signature, input_wh: Size) -> Decoder | None:
    """(Q, C + 1) logits with background and (Q, 4) boxes."""
    return _bind(outputs, input_wh, background=True)


def bind_detr_sigmoid(outputs: Signature, input_wh: Size) -> Decoder | None:
    """(Q, C) logits and (Q, 4) boxes."""
    return _bind(outputs, input_wh, background=False)


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
