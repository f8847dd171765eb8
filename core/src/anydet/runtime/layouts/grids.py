"""Grids of cells over the model's input, one a stride, the finest first, rows before columns."""

from __future__ import annotations

from dataclasses import dataclass
from functools import cache
from typing import Any

import numpy as np
from numpy.typing import NDArray

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


def _level(columns: int, rows: int) -> FloatArray:
    y, x = np.divmod(np.arange(columns * rows), columns)
    return np.stack([x, y], axis=1).astype(np.float64)
