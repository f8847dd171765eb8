"""Grids of cells over the model's input, one a stride, the finest first, rows before columns."""

from __future__ import annotations

from dataclasses import dataclass
from functools import cache

import numpy as np

from anydet.types import FloatArray, Size


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


def _level(columns: int, rows: int) -> FloatArray:
    y, x = np.divmod(np.arange(columns * rows), columns)
    return np.stack([x, y], axis=1).astype(np.float64)
