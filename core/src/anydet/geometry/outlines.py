"""Outlines of masks as polygons along the edges of pixels."""

from __future__ import annotations

from collections.abc import Iterator, Sequence

import numpy as np

from anydet.types import BoolArray, FloatArray, Polygons, Size

_Place = tuple[int, int]
_STEPS: tuple[_Place, ...] = ((1, 0), (0, 1), (-1, 0), (0, -1))
"""Right, down, left, up: each is a right turn after the one before it."""


def outlines(mask: BoolArray) -> tuple[Polygons, int]:
    """Polygons around the 4-connected parts of a mask, clockwise in the image, and the number of its holes.

    Filled, the polygons give the mask with its holes filled.

    Args:
        mask: (H, W).
    """
    rings = [_corners(ring) for ring in _rings(mask)]
    outer = tuple(ring for ring in rings if _signed_area(ring) > 0)
    return outer, len(rings) - len(outer)


def _rings(mask: BoolArray) -> Iterator[list[_Place]]:
    """Closed walks along edges with the mask on the right, as the vertices that they pass."""
    leaving = _edges(mask)
    while leaving:
        start = next(iter(leaving))
        first = direction = min(leaving[start])
        place, ring = start, [start]
        while True:
            leaving[place].discard(direction)
            if not leaving[place]:
                del leaving[place]
            place = place[0] + _STEPS[direction][0], place[1] + _STEPS[direction][1]
            # Where two parts touch at a corner, the right turn stays with the same part.
            turns = ((direction + 1) % 4, direction, (direction + 3) % 4)
            open_turns = leaving.get(place, set()) | ({first} if place == start else set())
            direction = next(turn for turn in turns if turn in open_turns)
            if place == start and direction == first:
                break
            ring.append(place)
        yield ring


def _edges(mask: BoolArray) -> dict[_Place, set[int]]:
    """Vertex -> directions in which an edge leaves it."""
    padded = np.pad(mask, 1)
    inside = padded[1:-1, 1:-1]
    leaving: dict[_Place, set[int]] = {}
    # Direction, the neighbor that must be outside, and where the edge starts from the corner of the pixel.
    sides = (
        (0, padded[:-2, 1:-1], (0, 0)),
        (1, padded[1:-1, 2:], (1, 0)),
        (2, padded[2:, 1:-1], (1, 1)),
        (3, padded[1:-1, :-2], (0, 1)),
    )
    for direction, neighbor, (dx, dy) in sides:
        for y, x in np.argwhere(inside & ~neighbor).tolist():
            leaving.setdefault((x + dx, y + dy), set()).add(direction)
    return leaving


def _corners(ring: Sequence[_Place]) -> tuple[float, ...]:
    """x1, y1, x2, y2, ... of the vertices at which a ring turns."""
    kept: list[float] = []
    for before, here, after in zip((ring[-1], *ring[:-1]), ring, (*ring[1:], ring[0]), strict=True):
        straight = (here[0] - before[0], here[1] - before[1]) == (after[0] - here[0], after[1] - here[1])
        if not straight:
            kept += [float(here[0]), float(here[1])]
    return tuple(kept)


def _signed_area(ring: Sequence[float]) -> float:
    """Positive for a clockwise ring, as y points down."""
    x, y = np.array(ring[0::2]), np.array(ring[1::2])
    return float(x @ np.roll(y, -1) - y @ np.roll(x, -1)) / 2


def area(ring: Sequence[float]) -> float:
    """Square pixels within x1, y1, x2, y2, ... of a ring that does not cross itself, by Gauss's formula."""
    return abs(_signed_area(ring))


def clipped(ring: FloatArray, size_wh: Size) -> FloatArray:
    """(M, 2) corners of the part of a ring of (N, 2) corners that is within an image; M may be 0.

    Source: Sutherland and Hodgman 1974, "Reentrant Polygon Clipping". Where a ring falls into several parts,
    they stay joined by edges along the border, which have no area.
    """
    for axis, side in enumerate(size_wh):
        for normal, limit in ((1.0, 0.0), (-1.0, float(-side))):
            ring = _clipped_by(ring, axis, normal, limit)
    return ring


def _clipped_by(ring: FloatArray, axis: int, normal: float, limit: float) -> FloatArray:
    """What of a ring has ``normal * coordinate >= limit``."""
    inside = normal * ring[:, axis] - limit
    kept: list[FloatArray] = []
    for at in range(len(ring)):
        before, here = inside[at - 1], inside[at]
        if (before < 0) != (here < 0):
            corner = ring[at - 1] + (ring[at] - ring[at - 1]) * (before / (before - here))
            corner[axis] = normal * limit
            kept.append(corner)
        if here >= 0:
            kept.append(ring[at])
    return np.array(kept).reshape(-1, 2)


def joined(rings: Polygons) -> tuple[float, ...]:
    """One ring that runs around all of them, joined by bridges without area between nearest points."""
    first, *others = (np.array(ring, np.float64).reshape(-1, 2) for ring in rings)
    for other in others:
        gaps = ((first[:, None, :] - other[None, :, :]) ** 2).sum(axis=2)
        i, j = np.unravel_index(int(gaps.argmin()), gaps.shape)
        around = np.concatenate([other[j:], other[: j + 1]])
        first = np.concatenate([first[: i + 1], around, first[i:]])
    return tuple(first.ravel().tolist())
