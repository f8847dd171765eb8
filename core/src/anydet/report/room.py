"""What of a picture is taken, and by what: where there is room for tags, and for lines to their boxes."""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np

from anydet.types import BoolArray, FloatArray, IntArray

Corners = tuple[int, int, int, int]
"""left, top, right, bottom in pixels, right and bottom inclusive as Pillow draws them."""

LONGEST_LEADER = 9
"""Longest line from a tag to its box, in heights of type."""
HIDDEN_TOGETHER = 0.3
"""Largest sum of the fractions of boxes that a tag away from its box may hide."""
_TRIED = 40
"""Nearest places whose lines are looked at."""
_SAMPLES = 24
"""Points of a line at which it is looked whether something is there."""
_OUTLINE_PX = 1
"""Pixels around a box that its line may take."""
_AROUND = np.array([-1, -1, 1, 1])


class Room:
    """The boxes of a picture, the tags on it, and the lines between them.

    Places of tags are held to each other in pixels. Lines, and the many places that a tag may have away from
    its box, are looked up on a grid of cells: sums over a place are four numbers of a table of sums.

    Args:
        boxes: of all objects.
        size_wh: of the picture in pixels.
        font_px: usual height of type.
    """

    def __init__(self, boxes: Sequence[Corners], size_wh: tuple[int, int], font_px: int) -> None:
        self.boxes = np.array(boxes, np.float64).reshape(-1, 4)
        self.size_wh, self.font_px = size_wh, font_px
        self.cell_px, self.gap_px = max(1, font_px // 4), max(1, font_px // 10)
        self._edges = tuple(np.ascontiguousarray(edge) for edge in self.boxes.T)
        self._tags = np.zeros((max(16, len(self.boxes)), 4))
        self._count = 0
        self._taken = np.zeros((size_wh[1] // self.cell_px + 2, size_wh[0] // self.cell_px + 2), np.bool_)
        self._lines = np.zeros_like(self._taken)
        self._lines_table: FloatArray | None = None
        self._taken_table: FloatArray | None = None
        self._hidden: FloatArray | None = None

    @property
    def tags(self) -> FloatArray:
        """(T, 4) places of the tags so far."""
        return self._tags[: self._count]

    def take(self, place: Corners) -> None:
        """Put a tag at a place."""
        if self._count == len(self._tags):
            self._tags = np.concatenate([self._tags, np.zeros_like(self._tags)])
        self._tags[self._count] = place
        self._count += 1
        x1, y1, x2, y2 = (edge // self.cell_px for edge in place)
        self._taken[y1 : y2 + 1, x1 : x2 + 1] = True
        self._taken_table = None

    def take_line(self, line: Corners) -> None:
        """Draw a line."""
        rows, columns = self._cells(np.array([line[:2]]), np.array([line[2:]]))
        self._taken[rows, columns] = self._lines[rows, columns] = True
        self._lines_table = _table(self._lines)

    def boxes_near(self, places: IntArray) -> FloatArray:
        """(B, 4) the boxes that reach into the rectangle around some places."""
        (left, top), (right, bottom) = places[:, :2].min(axis=0) - 1, places[:, 2:].max(axis=0) + 1
        # Columns one by one: of a thousand boxes a reduction over rows of two takes longer than all of this.
        x1, y1, x2, y2 = self._edges
        near: FloatArray = self.boxes[(x1 <= right) & (y1 <= bottom) & (x2 >= left) & (y2 >= top)]
        return near

    def is_free(self, places: IntArray) -> BoolArray:
        """(P,) whether no tag and no line is at a place; tags that touch would look like one."""
        taken = overlaps(places, self.tags + self.gap_px * _AROUND).max(axis=1, initial=0)
        if self._lines_table is not None:
            taken += self._sum(self._lines_table, places)
        free: BoolArray = taken == 0
        return free

    def lines_are_free(self, starts: FloatArray, ends: FloatArray) -> BoolArray:
        """(P,) whether no tag and no line is on the way between (P, 2) points, without the first one."""
        rows, columns = self._cells(starts, ends)
        taken: BoolArray = self._taken[rows, columns]
        return np.logical_not(taken.any(axis=1), out=np.empty(len(taken), np.bool_))

    def open_places(self, places: IntArray) -> tuple[IntArray, FloatArray]:
        """The places that are free and hide little, and the sums of the fractions of boxes that they hide."""
        if self._taken_table is None:
            self._taken_table = _table(self._taken)
        # One after the other, as in a crowd few are free.
        places = places[self._sum(self._taken_table, places) == 0]
        # Fractions leave rounding errors of the size of the picture's sum.
        hidden = np.round(self._sum(self._hidden_table(), places), 9)
        little = hidden <= HIDDEN_TOGETHER
        return places[little], hidden[little]

    def _sum(self, table: FloatArray, places: IntArray) -> FloatArray:
        """(P,) of the cells at places: end, left, above, and above to the left of each in a table of sums."""
        cells = places // self.cell_px
        x1, y1, x2, y2 = cells[:, 0], cells[:, 1], cells[:, 2] + 1, cells[:, 3] + 1
        total: FloatArray = table[y2, x2] - table[y2, x1] - table[y1, x2] + table[y1, x1]
        return total

    def _cells(self, starts: FloatArray, ends: FloatArray) -> tuple[IntArray, IntArray]:
        part = np.linspace(0, 1, _SAMPLES + 1)[1:]
        points = starts[:, None] + (ends - starts)[:, None] * part[None, :, None]
        cells = np.clip(points, 0, np.array(self.size_wh) - 1).astype(np.int64) // self.cell_px
        return cells[..., 1], cells[..., 0]

    def _hidden_table(self) -> FloatArray:
        """Sums of the fraction of boxes that each cell covers; the boxes stay, so once is enough."""
        if self._hidden is None:
            steps = np.zeros(np.add(self._taken.shape, 1))
            weights = self.cell_px**2 / np.maximum(areas(self.boxes), self.cell_px**2)
            cells = self.boxes.astype(np.int64) // self.cell_px
            x1, y1, x2, y2 = cells[:, 0], cells[:, 1], cells[:, 2] + 1, cells[:, 3] + 1
            for rows, columns, sign in ((y1, x1, 1), (y1, x2, -1), (y2, x1, -1), (y2, x2, 1)):
                np.add.at(steps, (rows, columns), sign * weights)
            self._hidden = _table(steps.cumsum(axis=0).cumsum(axis=1)[:-1, :-1])
        return self._hidden


def find_led_place(box: Corners, tag_wh: tuple[int, int], room: Room) -> tuple[Corners, Corners] | None:
    """A place for a tag away from its box, and the line to it; both are taken then.

    The nearest place is chosen at which the tag is off all tags and lines and hides next to nothing, and
    whose line crosses no tag and no other line. ``None`` where there is none within ``LONGEST_LEADER``.
    """
    places = _places_around(box, tag_wh, room)
    places, hidden = room.open_places(places)
    if not len(places):
        return None
    starts, ends = _leaders(places, np.array(box, np.float64))
    lengths = np.linalg.norm(ends - starts, axis=1)
    # What is hidden costs as much as a longer line; lines too short to be seen are none.
    costs = lengths + hidden * LONGEST_LEADER * room.font_px
    fits = (lengths <= LONGEST_LEADER * room.font_px) & (lengths >= 2)
    order = np.flatnonzero(fits)[np.argsort(costs[fits], kind="stable")][:_TRIED]
    order = order[room.lines_are_free(starts[order], ends[order])]
    for best in order.tolist()[:1]:
        left, top, right, bottom = places[best].tolist()
        x1, y1, x2, y2 = np.concatenate([starts[best], ends[best]]).round().astype(int).tolist()
        room.take_line((x1, y1, x2, y2))
        room.take((left, top, right, bottom))
        return (left, top, right, bottom), (x1, y1, x2, y2)
    return None


def areas(boxes: FloatArray) -> FloatArray:
    """(B,) pixels of boxes."""
    areas_px: FloatArray = (boxes[:, 2] - boxes[:, 0] + 1.0) * (boxes[:, 3] - boxes[:, 1] + 1.0)
    return areas_px


def overlaps(a: FloatArray | IntArray, b: FloatArray) -> FloatArray:
    """(A, B) shared pixels."""
    low, high = np.maximum(a[:, None, :2], b[None, :, :2]), np.minimum(a[:, None, 2:], b[None, :, 2:])
    shared: FloatArray = np.clip(high - low + 1.0, 0, None).prod(axis=2)
    return shared


def touched_outlines(places: IntArray, boxes: FloatArray) -> BoolArray:
    """(P, B) whether the outline of a box touches a place, so that a tag there might be taken for its own."""
    reaches = overlaps(places, boxes + _OUTLINE_PX * _AROUND) > 0
    inside = (places[:, None, :2] > boxes[None, :, :2] + _OUTLINE_PX).all(axis=2) & (
        places[:, None, 2:] < boxes[None, :, 2:] - _OUTLINE_PX
    ).all(axis=2)
    return reaches & ~inside


def _places_around(box: Corners, tag_wh: tuple[int, int], room: Room) -> IntArray:
    """(P, 4) places of a tag on the grid within reach of a box, inside the picture."""
    reach, axes = LONGEST_LEADER * room.font_px, []
    for axis in (0, 1):
        last = room.size_wh[axis] - tag_wh[axis]
        low = max(0, box[axis] - tag_wh[axis] - reach)
        axes.append(np.arange(low, min(last, box[axis + 2] + reach) + 1, 2 * room.cell_px))
    x, y = (part.ravel() for part in np.meshgrid(*axes))
    return np.stack([x, y, x + tag_wh[0] - 1, y + tag_wh[1] - 1], axis=1)


def _leaders(places: IntArray, box: FloatArray) -> tuple[FloatArray, FloatArray]:
    """(P, 2) ends of short lines from places to a box; of places beside it, level with their middles."""
    middles = (places[:, :2] + places[:, 2:]) / 2
    ends = np.clip(middles, box[:2], box[2:])
    starts: FloatArray = np.clip(ends, places[:, :2], places[:, 2:])
    return starts, np.clip(starts, box[:2], box[2:])


def _table(cells: FloatArray | BoolArray) -> FloatArray:
    """(H + 1, W + 1) sums over all cells above and to the left."""
    table = np.zeros(np.add(cells.shape, 1))
    cells.cumsum(axis=0, dtype=np.float64).cumsum(axis=1, out=table[1:, 1:])
    return table
