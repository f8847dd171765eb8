"""Masks of many rows as bytes and offsets; an object is made only for the row that is taken."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import replace
from typing import TYPE_CHECKING, TypeVar

import numpy as np
from numpy.typing import NDArray

from anydet.columns import LazyColumn
from anydet.dataclass import dataclass
from anydet.types import RLE, BoolArray, ByteImage, FloatArray, IntArray, Polygons, Segmentation

if TYPE_CHECKING:
    from typing_extensions import Self

_UNREADABLE = -2
_T = TypeVar("_T", bound=np.generic)


@dataclass(frozen=True, slots=True, eq=False)
class MaskColumn(LazyColumn[RLE | None]):
    """One RLE or ``None`` a row.

    Attributes:
        sizes_hw: (N, 2) int64 height and width of each mask, -1 where the row has none, -2 where what it has
            for one is none.
        starts: (N,) int64 where a row's compressed counts begin in ``text``.
        ends: (N,) int64 where they end.
        text: (B,) uint8, ASCII counts of all rows.
    """

    sizes_hw: IntArray
    starts: IntArray
    ends: IntArray
    text: ByteImage

    def __len__(self) -> int:
        return len(self.starts)

    def row(self, index: int) -> RLE | None:
        """The object of one row."""
        height, width = self.sizes_hw[index].tolist()
        if height < 0:
            return None
        return RLE(
            (height, width), self.text[self.starts[index] : self.ends[index]].tobytes().decode("ascii")
        )

    @property
    def missing(self) -> BoolArray:
        """(N,) which rows have no mask."""
        missing: BoolArray = self.sizes_hw[:, 0] < 0
        return missing

    @property
    def unreadable(self) -> BoolArray:
        """(N,) which of those without a mask have something else in its place."""
        unreadable: BoolArray = self.sizes_hw[:, 0] == _UNREADABLE
        return unreadable

    def without(self, rows: BoolArray) -> Self:
        """The same, in which rows without a mask are ``unreadable``."""
        sizes = np.where((rows & self.missing)[:, None], _UNREADABLE, self.sizes_hw)
        return replace(self, sizes_hw=sizes)

    def packed(self) -> Self:
        """The same rows; ``text`` holds theirs, in their order."""
        text, starts, ends = _pack(self.text, self.starts, self.ends)
        return replace(self, starts=starts, ends=ends, text=text)

    def take(self, rows: IntArray) -> Self:
        """Rows at these positions; the text is shared."""
        return replace(self, sizes_hw=self.sizes_hw[rows], starts=self.starts[rows], ends=self.ends[rows])

    @classmethod
    def join(cls, columns: Sequence[Self]) -> Self:
        """All rows, one column after the other."""
        shifts = np.cumsum([0, *(len(column.text) for column in columns[:-1])])
        return cls(
            np.concatenate([column.sizes_hw for column in columns]),
            np.concatenate([column.starts + shift for column, shift in zip(columns, shifts, strict=True)]),
            np.concatenate([column.ends + shift for column, shift in zip(columns, shifts, strict=True)]),
            np.concatenate([column.text for column in columns]),
        )

    @classmethod
    def empty(cls, count: int) -> Self:
        """The column of so many rows without a mask."""
        starts, ends = np.zeros((2, count), np.int64)
        return cls(np.full((count, 2), -1, np.int64), starts, ends, np.zeros(0, np.uint8))

    @classmethod
    def of(cls, masks: Sequence[RLE | None]) -> MaskColumn:
        """The column of these masks; one that is a column already is given back."""
        if isinstance(masks, MaskColumn):
            return masks
        texts = [b"" if mask is None else mask.counts.encode("ascii") for mask in masks]
        ends = np.cumsum([len(text) for text in texts], dtype=np.int64)
        sizes = [(-1, -1) if mask is None else mask.size_hw for mask in masks]
        return cls(
            np.array(sizes, np.int64).reshape(-1, 2),
            # Each text starts where the one before it ends; no text starts at the last end.
            np.concatenate([np.zeros(1, np.int64), ends])[: len(texts)],
            ends,
            np.frombuffer(b"".join(texts), np.uint8),
        )


@dataclass(frozen=True, slots=True, eq=False)
class SegmentationColumn(LazyColumn[Segmentation]):
    """RLE, polygons or ``None`` a row.

    Attributes:
        masks: N rows, empty where a row has polygons or nothing.
        ring_starts: (N,) int64 a row's first ring; equal to ``ring_ends`` where it has no polygons.
        ring_ends: (N,) int64 behind its last ring.
        offsets: (R + 1,) int64 ring r is ``points[offsets[r]:offsets[r + 1]]``.
        points: float64 x1, y1, x2, y2, ... of all rings, pixels.
    """

    masks: MaskColumn
    ring_starts: IntArray
    ring_ends: IntArray
    offsets: IntArray
    points: FloatArray

    def __len__(self) -> int:
        return len(self.masks)

    def row(self, index: int) -> Segmentation:
        """The object of one row."""
        rings = range(int(self.ring_starts[index]), int(self.ring_ends[index]))
        polygons: Polygons = tuple(
            tuple(self.points[self.offsets[r] : self.offsets[r + 1]].tolist()) for r in rings
        )
        return polygons or self.masks[index]

    @property
    def missing(self) -> BoolArray:
        """(N,) which rows have neither mask nor polygons."""
        missing: BoolArray = self.masks.missing & (self.ring_starts == self.ring_ends)
        return missing

    @property
    def quadrilaterals(self) -> FloatArray:
        """(N, 4, 2) corners of rows that are one polygon of four, which may repeat the first; else NaN."""
        corners = np.full((len(self), 4, 2), np.nan)
        single = np.flatnonzero(self.ring_ends - self.ring_starts == 1)
        starts = self.offsets[self.ring_starts[single]]
        lengths = self.offsets[self.ring_starts[single] + 1] - starts
        closed = lengths == 10
        closed[closed] = (
            self.points[starts[closed, None] + [0, 1]] == self.points[starts[closed, None] + [8, 9]]
        ).all(axis=1)
        four = closed | (lengths == 8)
        corners[single[four]] = self.points[starts[four, None] + np.arange(8)].reshape(-1, 4, 2)
        return corners

    def packed(self) -> Self:
        """The same rows; text and points are theirs, in their order."""
        rings, ring_ends = _positions(self.ring_starts, self.ring_ends)
        points, _, ends = _pack(self.points, self.offsets[rings], self.offsets[rings + 1])
        return replace(
            self,
            masks=self.masks.packed(),
            ring_starts=ring_ends - (self.ring_ends - self.ring_starts),
            ring_ends=ring_ends,
            offsets=np.concatenate([np.zeros(1, np.int64), ends]),
            points=points,
        )

    def take(self, rows: IntArray) -> Self:
        """Rows at these positions; text and points are shared."""
        return replace(
            self,
            masks=self.masks.take(rows),
            ring_starts=self.ring_starts[rows],
            ring_ends=self.ring_ends[rows],
        )

    @classmethod
    def join(cls, columns: Sequence[Self]) -> Self:
        """All rows, one column after the other."""
        rings = np.cumsum([0, *(len(column.offsets) - 1 for column in columns[:-1])])
        points = np.cumsum([0, *(len(column.points) for column in columns[:-1])])
        shifted = [column.offsets[:-1] + shift for column, shift in zip(columns, points, strict=True)]
        return cls(
            MaskColumn.join([column.masks for column in columns]),
            np.concatenate(
                [column.ring_starts + shift for column, shift in zip(columns, rings, strict=True)]
            ),
            np.concatenate([column.ring_ends + shift for column, shift in zip(columns, rings, strict=True)]),
            np.concatenate([*shifted, [sum(len(column.points) for column in columns)]]).astype(np.int64),
            np.concatenate([column.points for column in columns]),
        )

    @classmethod
    def of(cls, segmentations: Sequence[Segmentation]) -> SegmentationColumn:
        """The column of these segmentations; one that is a column already is given back."""
        if isinstance(segmentations, SegmentationColumn):
            return segmentations
        codes = [one if isinstance(one, RLE) else None for one in segmentations]
        polygons = [one if one and not isinstance(one, RLE) else () for one in segmentations]
        ends = np.cumsum([len(rings) for rings in polygons], dtype=np.int64)
        flat = [np.asarray(ring, np.float64) for rings in polygons for ring in rings]
        return cls(
            MaskColumn.of(codes),
            np.concatenate([np.zeros(1, np.int64), ends])[: len(polygons)],
            ends,
            np.cumsum([0, *map(len, flat)], dtype=np.int64),
            np.concatenate(flat) if flat else np.zeros(0),
        )


def _pack(values: NDArray[_T], starts: IntArray, ends: IntArray) -> tuple[NDArray[_T], IntArray, IntArray]:
    """Values of ranges, one after the other, and where each range starts and ends among them."""
    # Objects of one image are neighbors in the file: one slice instead of an index for each byte.
    if len(starts) and (starts[1:] == ends[:-1]).all():
        return values[starts[0] : ends[-1]], starts - starts[0], ends - starts[0]
    positions, packed_ends = _positions(starts, ends)
    return values[positions], packed_ends - (ends - starts), packed_ends


def _positions(starts: IntArray, ends: IntArray) -> tuple[IntArray, IntArray]:
    """Positions in ranges, one range after the other, and where each range ends among them."""
    lengths = ends - starts
    packed_ends = np.cumsum(lengths)
    # Within a range, a position is as far from its place in the result as the range's start is.
    shifts = np.repeat(starts - (packed_ends - lengths), lengths)
    return shifts + np.arange(len(shifts)), packed_ends
