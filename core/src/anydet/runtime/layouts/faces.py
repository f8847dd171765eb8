"""Face detectors with five landmarks: outputs for each stride, distinguished by their shapes."""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import dataclass

import numpy as np

from anydet.runtime.layouts.candidates import Array, Decoder, Outputs, check_probabilities
from anydet.runtime.layouts.grids import cell_boxes, cell_counts, grid
from anydet.runtime.layouts.shapes import Signature
from anydet.types import FloatArray, IntArray, Size

LANDMARKS = ("right_eye", "left_eye", "nose", "right_mouth_corner", "left_mouth_corner")
"""In the order of the outputs; right and left are the person's."""
_STRIDES = (8, 16, 32)
_ANCHORS = 2
"""Of SCRFD, a cell."""
_COORDINATES = 2 * len(LANDMARKS)

PerStride = tuple[int, ...]
"""Positions of outputs, finest stride first."""


@dataclass(frozen=True, slots=True)
class Scrfd:
    """Per stride (2 x cells, 1) probabilities, (2 x cells, 4) distances and (2 x cells, 10) landmark offsets.

    Distances to the sides and offsets are in strides, from the cell's top left corner; the two anchors of a
    cell follow each other (Guo et al. 2021, "Sample and Computation Redistribution for Efficient Face
    Detection").

    Attributes:
        input_wh: input size in pixels.
        score_outputs: probabilities.
        box_outputs: distances.
        point_outputs: landmark offsets; empty for models without.
    """

    input_wh: Size
    score_outputs: PerStride
    box_outputs: PerStride
    point_outputs: PerStride

    @property
    def class_count(self) -> int | None:
        """Faces alone."""
        return 1

    @property
    def landmark_names(self) -> tuple[str, ...]:
        """None for models without."""
        return LANDMARKS if self.point_outputs else ()

    def scores(self, outputs: Outputs) -> Array:
        """All strides, one after the other."""
        return _concatenated(outputs, self.score_outputs)

    def boxes(self, outputs: Outputs, rows: IntArray) -> FloatArray:
        """Anchor minus and plus the distances."""
        corners_xy, strides = self._anchors(rows)
        distances = _concatenated(outputs, self.box_outputs)[rows].astype(np.float64) * strides
        return np.concatenate([corners_xy - distances[:, :2], corners_xy + distances[:, 2:]], axis=1)

    def landmarks(self, outputs: Outputs, rows: IntArray) -> FloatArray | None:
        """Anchor plus the offsets."""
        if not self.point_outputs:
            return None
        corners_xy, strides = self._anchors(rows)
        offsets = _points(_concatenated(outputs, self.point_outputs)[rows])
        return _without_scores(corners_xy[:, None] + offsets * strides[:, None])

    def _anchors(self, rows: IntArray) -> tuple[FloatArray, FloatArray]:
        cells = grid(self.input_wh, _STRIDES)
        strides = cells.strides[rows // _ANCHORS]
        return cells.cells_xy[rows // _ANCHORS] * strides, strides


@dataclass(frozen=True, slots=True)
class Yunet:
    """Per stride (cells, 1) class and objectness probabilities, (cells, 4) boxes and (cells, 10) landmarks.

    Center = (xy + cell) * stride, size = exp(wh) * stride, landmark = (xy + cell) * stride, score =
    sqrt(class * objectness) (Wu et al. 2023, "YuNet: A Tiny Millisecond-level Face Detector"). Class and
    objectness need no telling apart.

    Attributes:
        input_wh: input size in pixels.
        factor_outputs: class and objectness, one of them each.
        box_outputs: boxes.
        point_outputs: landmarks.
    """

    input_wh: Size
    factor_outputs: tuple[PerStride, PerStride]
    box_outputs: PerStride
    point_outputs: PerStride

    @property
    def class_count(self) -> int | None:
        """Faces alone."""
        return 1

    @property
    def landmark_names(self) -> tuple[str, ...]:
        """Always the five."""
        return LANDMARKS

    def scores(self, outputs: Outputs) -> Array:
        """Geometric mean of both probabilities."""
        first, second = (_concatenated(outputs, positions) for positions in self.factor_outputs)
        check_probabilities(first)
        check_probabilities(second)
        scores: Array = np.sqrt(np.clip(first, 0, 1) * np.clip(second, 0, 1))
        return scores

    def boxes(self, outputs: Outputs, rows: IntArray) -> FloatArray:
        """Offsets from the cell, sizes in strides."""
        return cell_boxes(_concatenated(outputs, self.box_outputs)[rows], rows, self.input_wh, _STRIDES)

    def landmarks(self, outputs: Outputs, rows: IntArray) -> FloatArray:
        """Offsets from the cell."""
        offsets = _points(_concatenated(outputs, self.point_outputs)[rows])
        cells = grid(self.input_wh, _STRIDES)
        return _without_scores((offsets + cells.cells_xy[rows][:, None]) * cells.strides[rows][:, None])


def bind_scrfd(outputs: Signature, input_wh: Size) -> Decoder | None:
    """For each stride a (2 x cells, 1), a (2 x cells, 4), and a (2 x cells, 10) or none."""
    counts = [_ANCHORS * count for count in cell_counts(input_wh, _STRIDES)]
    scores, boxes, points = (_per_stride(outputs, counts, width) for width in (1, 4, _COORDINATES))
    sets = (len(scores), len(boxes), len(points))
    if sets not in ((1, 1, 0), (1, 1, 1)) or len(outputs) != sum(sets) * len(_STRIDES):
        return None
    return Scrfd(input_wh, scores[0], boxes[0], points[0] if points else ())


def bind_yunet(outputs: Signature, input_wh: Size) -> Decoder | None:
    """For each stride two (cells, 1), a (cells, 4) and a (cells, 10)."""
    counts = cell_counts(input_wh, _STRIDES)
    factors, boxes, points = (_per_stride(outputs, counts, width) for width in (1, 4, _COORDINATES))
    sets = (len(factors), len(boxes), len(points))
    if sets != (2, 1, 1) or len(outputs) != sum(sets) * len(_STRIDES):
        return None
    return Yunet(input_wh, (factors[0], factors[1]), boxes[0], points[0])


def _per_stride(outputs: Signature, counts: Iterable[int], width: int) -> list[PerStride]:
    """Sets of outputs of (count, width), one output a count; none where the strides have unequally many."""
    found = [outputs.positions(count, width) for count in counts]
    return list(zip(*found, strict=True)) if len(set(map(len, found))) == 1 else []


def _concatenated(outputs: Outputs, positions: PerStride) -> Array:
    return np.concatenate([outputs[i] for i in positions])


def _without_scores(points: FloatArray) -> FloatArray:
    """These families give no score a landmark."""
    return np.concatenate([points, np.full((*points.shape[:2], 1), np.nan)], axis=-1)


def _points(flat: Array) -> FloatArray:
    points: FloatArray = flat.reshape(-1, len(LANDMARKS), 2).astype(np.float64)
    return points
