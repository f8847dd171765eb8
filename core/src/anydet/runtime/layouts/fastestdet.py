"""FastestDet: one map of objectness, box and classes at stride 16."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np

from anydet.geometry.boxes import cxcywh_to_xyxy
from anydet.runtime.layouts.candidates import Array, Decoder, Outputs, check_probabilities
from anydet.runtime.layouts.shapes import Signature
from anydet.types import FloatArray, IntArray, Size

_STRIDE = 16
_OBJECTNESS_POWER, _CLASS_POWER = 0.6, 0.4


@dataclass(frozen=True, slots=True)
class Fastestdet:
    """(5 + C, H/16, W/16): objectness, x, y, w, h, class probabilities.

    Center = (cell + tanh(xy)) * stride, size = sigmoid(wh) * input size, score = objectness^0.6 * class^0.4
    (dog-qiuqiu/FastestDet, ``handle_preds``).
    """

    input_wh: Size
    columns: int
    class_count: int

    def scores(self, outputs: Outputs) -> Array:
        """Weighted geometric mean of objectness and class; a row a cell."""
        cells = outputs[0].reshape(len(outputs[0]), -1)
        factors = cells[:1], cells[5:]
        for probabilities in factors:
            check_probabilities(probabilities)  # numbers below 0 have no such powers
        objectness, classes = (np.maximum(probabilities, 0) for probabilities in factors)
        scores: Array = (objectness**_OBJECTNESS_POWER * classes**_CLASS_POWER).T
        return scores

    def boxes(self, outputs: Outputs, rows: IntArray) -> FloatArray:
        """Offsets from the cell, sizes as parts of the input."""
        raw = outputs[0].reshape(len(outputs[0]), -1)[1:5, rows].T.astype(np.float64)
        y, x = np.divmod(rows, self.columns)
        center = (np.stack([x, y], axis=1) + np.tanh(raw[:, :2])) * _STRIDE
        size = np.array(self.input_wh, np.float64) / (1 + np.exp(-raw[:, 2:]))
        return cxcywh_to_xyxy(np.concatenate([center, size], axis=1))


def bind_fastestdet(outputs: Signature, input_wh: Size) -> Decoder | None:
    """One output of (5 + C, H/16, W/16)."""
    shapes = outputs.shapes
    columns, rows = input_wh[0] // _STRIDE, input_wh[1] // _STRIDE
    if len(shapes) != 1 or len(shapes[0]) != 3 or shapes[0][1:] != (rows, columns) or shapes[0][0] <= 5:
        return None
    return Fastestdet(input_wh, columns, shapes[0][0] - 5)
