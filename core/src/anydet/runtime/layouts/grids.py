"""Grids of cells over the model's input, one a stride, the finest first, rows before columns."""

from __future__ import annotations

from dataclasses import dataclass
from functools import cache
from typing import Any, Literal

import numpy as np
from numpy.typing import NDArray

from anydet.columns import Columns
from anydet.geometry.boxes import cxcywh_to_xyxy
from anydet.types import FloatArray, IntArray, Size


def cell_counts(input_wh: Size, strides: tuple[int, ...]) -> tuple[int, ...]:
    """Cells of each stride; a cell that is only partly inside counts."""
    width, height = input_wh
    return tuple(-(-width // stride) * -(-height // stride) for stride in strides)


@dataclass(frozen=True, slots=True, eq=False)
class Grid:
    """Cells of all strides, one after the other.

    Attributes:
        cells_xy: (N, 2) float64 column and row.
        strides: (N, 1) float64 pixels of the input.
    """

    cells_xy: FloatArray
    strides: FloatArray


@cache
def grid(input_wh: Size, strides: tuple[int, ...]) -> Grid:
    """The grid of an input size."""
    width, height = input_wh
    cells = [_level(-(-width // stride), -(-height // stride)) for stride in strides]
    repeats = cell_counts(input_wh, strides)
    return Grid(np.concatenate(cells), np.repeat(np.array(strides, np.float64), repeats)[:, None])


def cell_boxes(raw: NDArray[Any], rows: IntArray, input_wh: Size, strides: tuple[int, ...]) -> FloatArray:
    """(K, 4) ``xyxy`` of offsets from the cell and logarithms of sizes, all in strides.

    Center = (xy + cell) * stride, size = exp(wh) * stride.

    Args:
        raw: (K, 4) x, y, w, h.
        rows: (K,) cells they belong to.
        input_wh: input size in pixels.
        strides: of the grid.
    """
    cells = grid(input_wh, strides)
    offsets = raw.astype(np.float64)
    center = (offsets[:, :2] + cells.cells_xy[rows]) * cells.strides[rows]
    with np.errstate(over="ignore"):  # infinite sizes are refused where candidates are selected
        size = np.exp(offsets[:, 2:]) * cells.strides[rows]
    return cxcywh_to_xyxy(np.concatenate([center, size], axis=1))


@dataclass(frozen=True, slots=True)
class Anchored:
    """Cells with any number of anchors each: the rows of a layout, and where each of them is.

    Attributes:
        strides: pixels of the input a cell, in the order of the rows.
        counts: anchors a cell of each stride.
        anchors_wh: (width, height) in pixels of the input of each anchor, a tuple a stride; empty where
            anchors have no size.
        order: whether the anchors of a cell follow each other (``cells``), or the cells of an anchor
            (``anchors``).
        center: the point of a cell that offsets are from, as a part of it.
        shift_px: added to that point, in pixels of the input.
    """

    strides: tuple[int, ...]
    counts: tuple[int, ...]
    anchors_wh: tuple[tuple[tuple[float, float], ...], ...] = ()
    order: Literal["cells", "anchors"] = "cells"
    center: float = 0.0
    shift_px: float = 0.0

    def length(self, axis: str, level: int | None, input_wh: Size) -> int:
        """Of an axis of an output: of one stride, or of all where ``level`` is ``None``.

        Height, width and the number of anchors are those of the only stride where no one is named.
        """
        cells = cell_counts(input_wh, self.strides)
        levels = range(len(cells)) if level is None else (level,)
        if axis in ("rows", "cells"):
            return sum(cells[i] * (self.counts[i] if axis == "rows" else 1) for i in levels)
        first = levels[0]
        side = {"width": input_wh[0], "height": input_wh[1]}.get(axis)
        return self.counts[first] if side is None else -(-side // self.strides[first])

    def places(self, input_wh: Size) -> Places:
        """Of all rows."""
        return _places(self, input_wh)


@dataclass(frozen=True, slots=True, eq=False)
class Places(Columns):
    """Rows of a grid.

    Attributes:
        cells_xy: (N, 2) float64 column and row of the cell.
        points_xy: (N, 2) float64 pixels of the input that offsets are from.
        strides: (N, 1) float64 pixels of the input.
        anchors_wh: (N, 2) float64 pixels of the input; NaN where anchors have no size.
    """

    cells_xy: FloatArray
    points_xy: FloatArray
    strides: FloatArray
    anchors_wh: FloatArray


@cache
def _places(anchored: Anchored, input_wh: Size) -> Places:
    cells, strides, anchors = [], [], []
    for level, (stride, count) in enumerate(zip(anchored.strides, anchored.counts, strict=True)):
        xy = _level(-(-input_wh[0] // stride), -(-input_wh[1] // stride))
        sizes = np.array(anchored.anchors_wh[level]) if anchored.anchors_wh else np.full((count, 2), np.nan)
        if anchored.order == "cells":
            cells.append(np.repeat(xy, count, axis=0))
            anchors.append(np.tile(sizes, (len(xy), 1)))
        else:
            cells.append(np.tile(xy, (count, 1)))
            anchors.append(np.repeat(sizes, len(xy), axis=0))
        strides.append(np.full((len(xy) * count, 1), float(stride)))
    all_cells, all_strides = np.concatenate(cells), np.concatenate(strides)
    points = (all_cells + anchored.center) * all_strides + anchored.shift_px
    return Places(all_cells, points, all_strides, np.concatenate(anchors))


def _level(columns: int, rows: int) -> FloatArray:
    y, x = np.divmod(np.arange(columns * rows), columns)
    return np.stack([x, y], axis=1).astype(np.float64)
