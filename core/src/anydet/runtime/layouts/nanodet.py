"""NanoDet: class scores and box distributions, one pair of outputs a stride; shapes distinguish them."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np

from anydet.runtime.layouts.candidates import Array, Decoder, Outputs
from anydet.runtime.layouts.grids import cell_counts, grid
from anydet.runtime.layouts.shapes import Signature
from anydet.types import FloatArray, IntArray, Size

_STRIDES = (8, 16, 32)
_BINS = 8
"""reg_max 7: distances of 0..7 strides."""


@dataclass(frozen=True, slots=True)
class Nanodet:
    """Per stride (cells, C) probabilities and (cells, 32) logits of four distances.

    A distance from the cell's center to a side is the mean of a distribution over 0..7 strides (Li et al.
    2020, "Generalized Focal Loss"); centers are at (cell + 0.5) * stride - 0.5.

    Attributes:
        input_wh: input size in pixels.
        class_count: C.
        class_outputs: positions of the class outputs, finest stride first.
        box_outputs: positions of the box outputs, likewise.
    """

    input_wh: Size
    class_count: int
    class_outputs: tuple[int, ...]
    box_outputs: tuple[int, ...]

    def scores(self, outputs: Outputs) -> Array:
        """All strides, one after the other."""
        return np.concatenate([outputs[i] for i in self.class_outputs])

    def boxes(self, outputs: Outputs, rows: IntArray) -> FloatArray:
        """Center minus and plus the expected distances."""
        logits = np.concatenate([outputs[i] for i in self.box_outputs])[rows].astype(np.float64)
        cells = grid(self.input_wh, _STRIDES)
        strides = cells.strides[rows]
        center = (cells.cells_xy[rows] + 0.5) * strides - 0.5
        distances = _expected(logits.reshape(-1, 4, _BINS)) * strides
        return np.concatenate([center - distances[:, :2], center + distances[:, 2:]], axis=1)


def bind_nanodet(outputs: Signature, input_wh: Size) -> Decoder | None:
    """A (cells, 32) and a (cells, C) output for each stride; C = 32 is ambiguous."""
    shapes = outputs.shapes
    class_outputs, box_outputs, classes = [], [], set()
    for count in cell_counts(input_wh, _STRIDES):
        at = [i for i, shape in enumerate(shapes) if len(shape) == 2 and shape[0] == count]
        boxes = [i for i in at if shapes[i][1] == 4 * _BINS]
        if len(at) != 2 or len(boxes) != 1:
            return None
        box_outputs += boxes
        class_outputs += [i for i in at if i not in boxes]
        classes.add(shapes[class_outputs[-1]][1])
    if len(shapes) != 2 * len(_STRIDES) or len(classes) != 1:
        return None
    return Nanodet(input_wh, classes.pop(), tuple(class_outputs), tuple(box_outputs))


def _expected(logits: FloatArray) -> FloatArray:
    """Mean of softmax over the last axis, in bins."""
    weights = np.exp(logits - logits.max(axis=-1, keepdims=True))
    mean: FloatArray = weights @ np.arange(logits.shape[-1], dtype=np.float64) / weights.sum(axis=-1)
    return mean
