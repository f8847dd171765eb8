"""Exports with NMS inside, or that need none: a row a detection."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np

from anydet.runtime.layouts.candidates import Array, Decoder, Outputs
from anydet.runtime.layouts.shapes import Signature
from anydet.types import FloatArray, IntArray, Size

_COLUMNS = 6


@dataclass(frozen=True, slots=True)
class End2end:
    """(N, 6 + M): x1, y1, x2, y2 in input pixels, score, class, and coefficients of (M, h, w) prototypes.

    N may be any number, and differ from image to image (Ultralytics with ``nms=True``; YOLOv10).

    Attributes:
        rows_output: position of the rows.
        masked: whether the other output is prototypes.
    """

    rows_output: int
    masked: bool

    @property
    def class_count(self) -> int | None:
        """``None``: the outputs do not show it."""
        return None

    def scores(self, outputs: Outputs) -> Array:
        """(N, 1)."""
        scores: Array = self._rows(outputs)[:, 4:5]
        return scores

    def labels(self, outputs: Outputs, rows: IntArray) -> Array:
        """The sixth column."""
        labels: Array = self._rows(outputs)[rows, 5]
        return labels

    def boxes(self, outputs: Outputs, rows: IntArray) -> FloatArray:
        """Already decoded."""
        boxes: FloatArray = self._rows(outputs)[rows, :4].astype(np.float64)
        return boxes

    def coefficients(self, outputs: Outputs, rows: IntArray) -> Array:
        """What stands right of the class."""
        coefficients: Array = self._rows(outputs)[rows, _COLUMNS:]
        return coefficients

    def prototypes(self, outputs: Outputs) -> Array | None:
        """The other output, where there is one."""
        return outputs[1 - self.rows_output] if self.masked else None

    def _rows(self, outputs: Outputs) -> Array:
        rows: Array = np.atleast_2d(outputs[self.rows_output])
        return rows


def bind_end2end(outputs: Signature, input_wh: Size) -> Decoder | None:
    """(N, 6), or (N, 6 + M) and (M, H/4, W/4); a single detection may come without its axis."""
    shapes = outputs.shapes
    if len(shapes) == 1 and len(shapes[0]) in (1, 2) and shapes[0][-1] == _COLUMNS:
        return End2end(0, masked=False)
    if len(shapes) != 2 or {len(shape) for shape in shapes} not in ({2, 3}, {1, 3}):
        return None
    rows_output = 1 if len(shapes[0]) == 3 else 0
    depth, *map_hw = shapes[1 - rows_output]
    is_map = map_hw == [input_wh[1] // 4, input_wh[0] // 4]
    return (
        End2end(rows_output, masked=True) if is_map and shapes[rows_output][-1] == _COLUMNS + depth else None
    )
