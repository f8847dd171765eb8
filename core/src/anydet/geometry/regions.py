"""Connected components of a label image: runs of equal pixels, joined from row to row.

The run-based two-pass method: a run is a stretch of one row with one value; runs of adjacent rows that touch
belong together; a union-find over the runs gives the regions. Everything works on arrays of runs.
"""

from __future__ import annotations

from typing import Any

import numpy as np
from numpy.typing import NDArray

from anydet.dataclass import dataclass
from anydet.types import FloatArray, IntArray

BACKGROUND = 255
"""Value of pixels that are in no region, unless another is named."""


@dataclass(frozen=True, slots=True, eq=False)
class Regions:
    """The 4-connected regions of an image, in the order of their first pixels.

    Attributes:
        index_map: (H, W) int64 which region each pixel is in, -1 for background.
        values: (N,) int64 the value that a region's pixels have.
        boxes_xyxy_px: (N, 4) float64 smallest box around each, x2/y2 exclusive.
        areas_px: (N,) int64 number of pixels.
    """

    index_map: IntArray
    values: IntArray
    boxes_xyxy_px: FloatArray
    areas_px: IntArray

    def __len__(self) -> int:
        return len(self.values)


@dataclass(frozen=True, slots=True, eq=False)
class _Runs:
    """Stretches of one value within one row, in reading order: columns ``start`` to ``stop``, exclusive."""

    row: IntArray
    start: IntArray
    stop: IntArray
    value: IntArray


def find_regions(image: NDArray[Any], background: int = BACKGROUND) -> Regions:
    """Regions of (H, W) whole numbers; pixels that are ``background`` are in none."""
    runs = _find_runs(image, background)
    roots = unite(len(runs.row), *_touching(runs, image.shape[1]))
    first, region = np.unique(roots, return_inverse=True)
    count, length = len(first), runs.stop - runs.start
    index_map = np.full(image.shape, -1, np.int64)
    index_map[image != background] = np.repeat(region, length)
    return Regions(
        index_map=index_map,
        values=runs.value[first],
        boxes_xyxy_px=_bounds(runs, region, count),
        areas_px=np.bincount(region, length, count).astype(np.int64),
    )


def _find_runs(image: NDArray[Any], background: int) -> _Runs:
    height, width = image.shape
    changes = np.ones((height, width + 1), np.bool_)  # a run starts in column 0 and one ends after the last
    changes[:, 1:-1] = image[:, 1:] != image[:, :-1]
    row, column = np.nonzero(changes)
    within = column[:-1] < width  # the last column only ends runs
    row, start, stop = row[:-1][within], column[:-1][within], column[1:][within]
    value = image[row, start].astype(np.int64)
    shown = value != background
    return _Runs(row[shown], start[shown], stop[shown], value[shown])


def _touching(runs: _Runs, width: int) -> tuple[IntArray, IntArray]:
    """Pairs of runs of equal value, one above the other, that have a column in common."""
    stride = width + 1
    above = (runs.row - 1) * stride  # reading position of the start of the row above
    low = np.searchsorted(runs.row * stride + runs.stop, above + runs.start, side="right")
    high = np.searchsorted(runs.row * stride + runs.start, above + runs.stop, side="left")
    count = high - low
    lower = np.repeat(np.arange(len(low)), count)
    upper = np.arange(len(lower)) + np.repeat(low - (np.cumsum(count) - count), count)
    same = runs.value[lower] == runs.value[upper]
    return lower[same], upper[same]


def unite(count: int, left: IntArray, right: IntArray) -> IntArray:
    """(count,) smallest member of each one's set, when every ``left[i]`` and ``right[i]`` are united.

    Each round hangs roots under smaller neighboring roots, then halves all paths until they are flat.
    """
    parent = np.arange(count)
    while True:
        a, b = parent[left], parent[right]
        if np.array_equal(a, b):
            return parent
        np.minimum.at(parent, np.maximum(a, b), np.minimum(a, b))
        while not np.array_equal(grand := parent[parent], parent):
            parent = grand


def _bounds(runs: _Runs, region: IntArray, count: int) -> FloatArray:
    low = np.full((2, count), np.iinfo(np.int64).max)
    high = np.zeros((2, count), np.int64)
    np.minimum.at(low[0], region, runs.start)
    np.minimum.at(low[1], region, runs.row)
    np.maximum.at(high[0], region, runs.stop)
    np.maximum.at(high[1], region, runs.row + 1)
    boxes: FloatArray = np.concatenate([low, high]).T.astype(np.float64)
    return boxes
