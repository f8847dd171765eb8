"""Outputs described by their axes, and columns of them as matrices with a row an anchor."""

from __future__ import annotations

import re
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np

from anydet.runtime.layouts.candidates import Array, Outputs
from anydet.runtime.layouts.grids import Anchored
from anydet.runtime.layouts.shapes import Shape, Signature
from anydet.types import Size

PLACES = ("rows", "cells", "height", "width", "anchors", "N")
"""Axes that say where; the one other axis is that of the columns."""
_COLUMNS = re.compile(r"(?:(\d+) ?\+ ?)?(C)|(\d+)")
_REFERENCE = re.compile(r"([A-Za-z_]\w*)(?:\[(-?\d+)?(:)?(-?\d+)?\])?")


@dataclass(frozen=True, slots=True)
class Axes:
    """One output of a layout file.

    Attributes:
        key: its name in the file.
        shape: axes, each one of ``PLACES``, or columns.
        each_stride: whether there is one for each stride.
        name: in the model; empty where any may be meant.
        whole: whether it holds whole numbers; ``None`` where it does not matter.
    """

    key: str
    shape: tuple[str, ...]
    each_stride: bool = False
    name: str = ""
    whole: bool | None = None

    @property
    def columns_axis(self) -> int | None:
        """The axis that is none of ``PLACES``; ``None`` where each place has one number."""
        return next((i for i, axis in enumerate(self.shape) if axis not in PLACES), None)

    def anchors_in_row(self, grid: Anchored | None) -> int:
        """Anchors that a row has columns of: more than one where rows are cells."""
        if grid is None or not {"cells", "height"} & set(self.shape) or "anchors" in self.shape:
            return 1
        return max(grid.counts)

    def stated_width(self, part: Slice) -> int | None:
        """Columns that a part says it has; ``None`` where they depend on C."""
        if part.first is not None and part.end is not None and 0 <= part.first < part.end:
            return part.end - part.first
        axis = None if self.columns_axis is None else self.shape[self.columns_axis]
        _, has_classes, number = (0, False, 1) if axis is None else split_columns(axis)
        return None if has_classes else part.width(number)

    def class_count(
        self, shape: Shape, level: int | None, grid: Anchored | None, input_wh: Size
    ) -> int | None:
        """C that makes an output of this shape fit: 0 where it has none, ``None`` where it does not fit."""
        if len(shape) != len(self.shape):
            return None
        count = 0
        for axis, size in zip(self.shape, shape, strict=True):
            if axis in PLACES:
                if axis != "N" and (grid is None or grid.length(axis, level, input_wh) != size):
                    return None
                continue
            before, classes, number = split_columns(axis)
            if not classes and size != number:
                return None
            if classes:
                count = size - before
                if count < 1:
                    return None
        return count


def split_columns(axis: str) -> tuple[int, bool, int]:
    """Columns before the classes, whether there are classes, and the number where there are none.

    Raises ``ValueError`` where it is neither.
    """
    found = _COLUMNS.fullmatch(axis)
    if found is None:
        raise ValueError(axis)
    return int(found[1] or 0), bool(found[2]), int(found[3] or 0)


@dataclass(frozen=True, slots=True)
class Slice:
    """Columns of an output: ``head[4]``, ``head[5:]``, ``head``.

    Attributes:
        key: of the output.
        first: the first column; ``None`` for that of the output.
        end: the column behind the last; ``None`` for the output's end.
    """

    key: str
    first: int | None = None
    end: int | None = None

    @classmethod
    def of(cls, text: str) -> Slice:
        """Of its text; raises ``ValueError`` where it is none."""
        found = _REFERENCE.fullmatch(text.strip())
        if found is None or (text.endswith("]") and not any(found.groups()[1:])):
            raise ValueError(text)
        first, colon, last = found[2], found[3], found[4]
        if first is not None and colon is None:
            return cls(found[1], int(first), int(first) + 1 or None)
        return cls(found[1], int(first) if first else None, int(last) if last else None)

    def __str__(self) -> str:
        """As a layout file has it."""
        first = "" if self.first is None else str(self.first)
        end = "" if self.end is None else str(self.end)
        if not first and not end:
            return self.key
        one = self.first is not None and (self.first + 1 or None) == self.end
        return f"{self.key}[{first}]" if one else f"{self.key}[{first}:{end}]"

    @property
    def columns(self) -> slice:
        """Of the output."""
        return slice(self.first, self.end)

    def width(self, columns: int) -> int:
        """Columns that it has, of so many."""
        return len(range(*self.columns.indices(columns)))


Positions = tuple[int, ...]
"""Outputs of a key: one, or one a stride, in the order of the strides."""


def assign(
    outputs: Signature, declared: Sequence[Axes], grid: Anchored | None, input_wh: Size
) -> tuple[dict[str, Positions], int] | None:
    """Which output is which, and C; ``None`` where they do not fit. All outputs have to be used.

    Of outputs that look alike, the first in the model is the first in the file.
    """
    slots = [
        (axes, level)
        for axes in declared
        for level in (range(len(grid.strides)) if axes.each_stride and grid is not None else (None,))
    ]
    if len(slots) != len(outputs):
        return None
    for chosen, count in _assignments(outputs, slots, grid, input_wh):
        at: dict[str, Positions] = {}
        for (axes, _), position in zip(slots, chosen, strict=True):
            at[axes.key] = (*at.get(axes.key, ()), position)
        return at, count
    return None


def _assignments(
    outputs: Signature,
    slots: Sequence[tuple[Axes, int | None]],
    grid: Anchored | None,
    input_wh: Size,
    *,
    chosen: Positions = (),
    count: int = 0,
) -> Iterator[tuple[Positions, int]]:
    """All assignments that go on from ``chosen``, with the C that it has (0 while none)."""
    if len(chosen) == len(slots):
        yield chosen, count
        return
    axes, level = slots[len(chosen)]
    for i, shape in enumerate(outputs.shapes):
        named = not axes.name or outputs.names[i] == axes.name
        whole = axes.whole is None or outputs.integer[i] == axes.whole
        if i in chosen or not (named and whole):
            continue
        found = axes.class_count(shape, level, grid, input_wh)
        if found is not None and (not found or not count or found == count):
            more, one = (*chosen, i), count or found
            yield from _assignments(outputs, slots, grid, input_wh, chosen=more, count=one)


@dataclass(frozen=True, slots=True)
class Field:
    """Columns of an output, or of one a stride, as a matrix.

    Attributes:
        axes: of the output.
        positions: where it is.
        columns: which of its columns.
        grid: that its rows belong to.
    """

    axes: Axes
    positions: Positions
    columns: slice
    grid: Anchored | None

    def matrix(self, outputs: Outputs, input_wh: Size, *, own: int | None = None) -> Array:
        """(R, K), a row an anchor, strides one after the other.

        Args:
            outputs: of one image.
            input_wh: input size in pixels.
            own: columns that each anchor of a cell has where a row of the output is a cell with several
                anchors; ``None`` where these have the columns in common.
        """
        levels: Sequence[int | None] = range(len(self.positions)) if self.axes.each_stride else (None,)
        parts = [
            self._level(outputs[i], level, input_wh, own)
            for i, level in zip(self.positions, levels, strict=True)
        ]
        return parts[0] if len(parts) == 1 else np.concatenate(parts)

    def _level(self, output: Array, level: int | None, input_wh: Size, own: int | None) -> Array:
        at = self.axes.columns_axis
        array = output[..., None] if at is None else np.moveaxis(output, at, -1)
        array = array[..., self.columns]
        places = [axis for axis in self.axes.shape if axis in PLACES]
        if self.grid is None or "N" in places or "rows" in places:
            return array.reshape(-1, array.shape[-1])
        if "anchors" in places:
            # (height, width) are one axis where the cells are: next to each other, height first.
            first = places.index("anchors")
            array = np.moveaxis(array, first, 0)
            if "width" in places and places.index("width") < places.index("height"):
                array = array.swapaxes(1, 2)
            array = array.reshape(array.shape[0], -1, array.shape[-1])
            array = array if self.grid.order == "anchors" else array.swapaxes(0, 1)
            return array.reshape(-1, array.shape[-1])
        if "width" in places and places.index("width") < places.index("height"):
            array = array.swapaxes(0, 1)
        return self._of_cells(array.reshape(-1, array.shape[-1]), level, input_wh, own)

    def _of_cells(self, cells: Array, level: int | None, input_wh: Size, own: int | None) -> Array:
        """(cells x anchors, K) of (cells, K) or (cells, anchors x K)."""
        assert self.grid is not None
        levels = range(len(self.grid.strides)) if level is None else (level,)
        parts, start = [], 0
        for one in levels:
            anchors, count = self.grid.counts[one], self.grid.length("cells", one, input_wh)
            part: Any = cells[start : start + count]
            start += count
            if own is not None:
                part = part.reshape(count, anchors, own)
            else:
                part = np.broadcast_to(part[:, None], (count, anchors, part.shape[-1]))
            part = part if self.grid.order == "cells" else part.swapaxes(0, 1)
            parts.append(part.reshape(count * anchors, -1))
        return np.concatenate(parts)
