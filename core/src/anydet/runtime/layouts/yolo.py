"""YOLO layouts: one output, a row an anchor."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np

from anydet.geometry.boxes import cxcywh_to_xyxy
from anydet.runtime.layouts.candidates import Array, Decoder, Outputs
from anydet.runtime.layouts.grids import cell_boxes, cell_counts
from anydet.runtime.layouts.shapes import Signature
from anydet.types import FloatArray, IntArray, Size

_STRIDES = (8, 16, 32)
_PYRAMIDS = (_STRIDES, (8, 16, 32, 64), (4, 8, 16, 32), (16, 32))
"""Usual exports, those with a P6 level, those with a P2 level, and YOLOv3-tiny."""
_YOLOV5_ANCHORS = 3
_MAP_STRIDE = 4
"""Mask prototypes are a quarter of the input."""


@dataclass(frozen=True, slots=True)
class Yolox:
    """(N, 5 + C): x, y, w, h as the head gives them, objectness, class probabilities.

    Center = (xy + cell) * stride, size = exp(wh) * stride, score = objectness * class
    (Ge et al. 2021, "YOLOX: Exceeding YOLO Series in 2021"; exports without ``decode_in_inference``).
    """

    input_wh: Size
    class_count: int

    def scores(self, outputs: Outputs) -> Array:
        """Objectness times class."""
        return outputs[0][:, 4:5] * outputs[0][:, 5:]

    def boxes(self, outputs: Outputs, rows: IntArray) -> FloatArray:
        """Offsets from the cell, sizes in strides."""
        return cell_boxes(outputs[0][rows, :4], rows, self.input_wh, _STRIDES)


@dataclass(frozen=True, slots=True)
class Decoded:
    """(N, 5 + C): center and size in input pixels, objectness, class probabilities (YOLOv5)."""

    class_count: int

    def scores(self, outputs: Outputs) -> Array:
        """Objectness times class."""
        return outputs[0][:, 4:5] * outputs[0][:, 5:]

    def boxes(self, outputs: Outputs, rows: IntArray) -> FloatArray:
        """Already decoded."""
        return cxcywh_to_xyxy(outputs[0][rows, :4].astype(np.float64))


@dataclass(frozen=True, slots=True)
class Ultralytics:
    """(4 + C, N): center and size in input pixels, class probabilities (YOLOv8, v9, v11, v12 exports)."""

    class_count: int

    def scores(self, outputs: Outputs) -> Array:
        """A row an anchor."""
        scores: Array = outputs[0][4:].T
        return scores

    def boxes(self, outputs: Outputs, rows: IntArray) -> FloatArray:
        """Already decoded."""
        return cxcywh_to_xyxy(outputs[0][:4, rows].T.astype(np.float64))


@dataclass(frozen=True, slots=True)
class UltralyticsSegment:
    """(4 + C + M, N) as ``Ultralytics`` with mask coefficients below, and (M, H/4, W/4) prototypes.

    Attributes:
        class_count: C.
        rows_output: position of the boxes, scores and coefficients; the prototypes are the other output.
    """

    class_count: int
    rows_output: int

    def scores(self, outputs: Outputs) -> Array:
        """A row an anchor."""
        scores: Array = outputs[self.rows_output][4 : 4 + self.class_count].T
        return scores

    def boxes(self, outputs: Outputs, rows: IntArray) -> FloatArray:
        """Already decoded."""
        return cxcywh_to_xyxy(outputs[self.rows_output][:4, rows].T.astype(np.float64))

    def coefficients(self, outputs: Outputs, rows: IntArray) -> Array:
        """What stands below the scores."""
        coefficients: Array = outputs[self.rows_output][4 + self.class_count :, rows].T
        return coefficients

    def prototypes(self, outputs: Outputs) -> Array:
        """The other output."""
        return outputs[1 - self.rows_output]


def bind_yolox(outputs: Signature, input_wh: Size) -> Decoder | None:
    """One output of (cells, 5 + C)."""
    count = _class_count(outputs, {sum(cell_counts(input_wh, _STRIDES))})
    return Yolox(input_wh, count) if count else None


def bind_yolox_decoded(outputs: Signature, input_wh: Size) -> Decoder | None:
    """One output of (cells, 5 + C), from exports with ``decode_in_inference``."""
    count = _class_count(outputs, {sum(cell_counts(input_wh, _STRIDES))})
    return Decoded(count) if count else None


def bind_yolov5(outputs: Signature, input_wh: Size) -> Decoder | None:
    """One output of (3 anchors x cells, 5 + C)."""
    anchors = {_YOLOV5_ANCHORS * sum(cell_counts(input_wh, strides)) for strides in _PYRAMIDS}
    count = _class_count(outputs, anchors)
    return Decoded(count) if count else None


def bind_ultralytics(outputs: Signature, input_wh: Size) -> Decoder | None:
    """One output of (4 + C, cells)."""
    columns = ultralytics_cells(outputs, input_wh)
    return Ultralytics(columns - 4) if columns > 4 else None


def ultralytics_cells(outputs: Signature, input_wh: Size) -> int:
    """Numbers of each cell of one output (numbers, cells); 0 where it is something else."""
    known = {sum(cell_counts(input_wh, strides)) for strides in _PYRAMIDS}
    return outputs.shapes[0][0] if _one_matrix(outputs) and outputs.shapes[0][1] in known else 0


def bind_ultralytics_segment(outputs: Signature, input_wh: Size) -> Decoder | None:
    """(4 + C + M, cells) and (M, H/4, W/4)."""
    shapes = outputs.shapes
    if sorted(map(len, shapes)) != [2, 3]:
        return None
    rows_output = 0 if len(shapes[0]) == 2 else 1
    (columns, cells), (depth, *map_hw) = shapes[rows_output], shapes[1 - rows_output]
    known = {sum(cell_counts(input_wh, strides)) for strides in _PYRAMIDS}
    is_map = map_hw == [input_wh[1] // _MAP_STRIDE, input_wh[0] // _MAP_STRIDE]
    count = columns - 4 - depth
    return UltralyticsSegment(count, rows_output) if count > 0 and cells in known and is_map else None


def _class_count(outputs: Signature, rows: set[int]) -> int:
    """C of one output (N, 5 + C) with N among ``rows``; 0 where it is something else."""
    if not _one_matrix(outputs) or outputs.shapes[0][0] not in rows:
        return 0
    return max(0, outputs.shapes[0][1] - 5)


def _one_matrix(outputs: Signature) -> bool:
    return len(outputs) == 1 and len(outputs.shapes[0]) == 2
