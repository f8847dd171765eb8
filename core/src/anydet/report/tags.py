"""Where names of objects go in a picture, so that they hide neither each other nor small objects."""

from __future__ import annotations

from collections import Counter
from collections.abc import Callable, Sequence
from dataclasses import dataclass

import numpy as np

from anydet.report.palette import Color
from anydet.types import FloatArray

Corners = tuple[int, int, int, int]
"""left, top, right, bottom in pixels, right and bottom inclusive as Pillow draws them."""

FONT_SCALES = (1.0, 0.75)
"""Sizes of type that are tried, relative to the usual one."""
SMALLEST_FONT_PX = 10
HIDDEN_FRACTION = 0.3
"""Largest fraction of another box that a tag may hide."""
OWN_FRACTION = 0.25
"""The same of its own box."""
CUSTOM = 0.02
"""Fraction of a box that may be hidden for a place one nearer to the usual one."""


@dataclass(frozen=True, slots=True)
class Tag:
    """A name that wants a place at its box.

    Attributes:
        text: with score and the like.
        name: shown in a legend.
        color: behind the text.
        box: what it belongs to.
    """

    text: str
    name: str
    color: Color
    box: Corners


@dataclass(frozen=True, slots=True)
class PlacedTag:
    """A tag, where it goes, and how high its type is."""

    tag: Tag
    place: Corners
    font_px: int


@dataclass(frozen=True, slots=True)
class LegendLine:
    """What all untagged objects of one name and color have in a legend."""

    text: str
    color: Color


def place_tags(
    tags: Sequence[Tag],
    boxes: Sequence[Corners],
    size_wh: tuple[int, int],
    font_px: int,
    text_px: Callable[[str, int], int],
) -> tuple[list[PlacedTag], list[Tag]]:
    """Places at which tags hide nothing that matters, and the tags that have none.

    A tag stays inside the picture, off all other tags, and off most of any box. It goes outside its box
    where that is possible, else inside a box that is large enough, else in smaller type.

    Args:
        tags: the first one chooses first.
        boxes: of all objects, with or without a tag.
        size_wh: of the picture in pixels.
        font_px: usual height of type.
        text_px: width of a text in type of a height.
    """
    shown = np.array(boxes, np.float64).reshape(-1, 4)
    taken, placed, left_over = np.zeros((0, 4)), list[PlacedTag](), list[Tag]()
    sizes = list(dict.fromkeys(max(min(font_px, SMALLEST_FONT_PX), round(s * font_px)) for s in FONT_SCALES))
    for tag in tags:
        for height in sizes:
            pad = padding_px(height)
            tag_wh = text_px(tag.text, height) + 2 * pad, height + 2 * pad
            place = _place(tag.box, tag_wh, size_wh, taken, shown)
            if place is not None:
                taken = np.concatenate([taken, np.array([place], np.float64)])
                placed.append(PlacedTag(tag, place, height))
                break
        else:
            left_over.append(tag)
    return placed, left_over


def padding_px(font_px: int) -> int:
    """Pixels around the text of a tag."""
    return max(1, font_px // 6)


def legend_lines(tags: Sequence[Tag]) -> list[LegendLine]:
    """``9 wine glass``, one line a name, most frequent first."""
    counts = Counter((tag.name, tag.color) for tag in tags)
    return [LegendLine(f"{count} {name}", color) for (name, color), count in counts.most_common()]


def _place(
    box: Corners,
    tag_wh: tuple[int, int],
    size_wh: tuple[int, int],
    taken: FloatArray,
    shown: FloatArray,
) -> Corners | None:
    """A usual place that hides little; ``None`` where all places hide too much."""
    if tag_wh[0] > size_wh[0] or tag_wh[1] > size_wh[1]:
        return None
    places = np.array([_keep_inside(x, y, tag_wh, size_wh) for x, y in _corners_around(box, tag_wh)])
    own = (shown == np.array(box)).all(axis=1)
    hidden = _overlaps(places, shown) / np.maximum(_areas(shown), 1)
    # Both limits as one number: up to 1 a place is allowed.
    worst = np.maximum(
        hidden[:, ~own].max(axis=1, initial=0) / HIDDEN_FRACTION,
        _overlaps(places, np.array([box], np.float64))[:, 0]
        / max(_areas(np.array([box]))[0], 1)
        / OWN_FRACTION,
    )
    free = (_overlaps(places, taken) == 0).all(axis=1) & (worst <= 1)
    if not free.any():
        return None
    costs = hidden.sum(axis=1) + CUSTOM * np.arange(len(places))
    best = int(np.argmin(np.where(free, costs, np.inf)))
    left, top, right, bottom = places[best].tolist()
    return left, top, right, bottom


def _corners_around(box: Corners, tag_wh: tuple[int, int]) -> list[tuple[int, int]]:
    """Left upper corners of tags, the usual first: above the box, in its top, below it, beside it, in it."""
    (left, top, right, bottom), (width, height) = box, tag_wh
    columns = left, right + 1 - width
    rows = top - height, top, bottom + 1
    beside = [(x, y) for x in (right + 1, left - width) for y in (top, bottom + 1 - height)]
    return [*((x, y) for y in rows for x in columns), *beside, *((x, bottom + 1 - height) for x in columns)]


def _keep_inside(x: int, y: int, tag_wh: tuple[int, int], size_wh: tuple[int, int]) -> Corners:
    left, top = (max(0, min(at, size - tag)) for at, size, tag in zip((x, y), size_wh, tag_wh, strict=True))
    return left, top, left + tag_wh[0] - 1, top + tag_wh[1] - 1


def _areas(boxes: FloatArray) -> FloatArray:
    areas: FloatArray = (boxes[:, 2] - boxes[:, 0] + 1.0) * (boxes[:, 3] - boxes[:, 1] + 1.0)
    return areas


def _overlaps(a: FloatArray, b: FloatArray) -> FloatArray:
    """(A, B) shared pixels."""
    low, high = np.maximum(a[:, None, :2], b[None, :, :2]), np.minimum(a[:, None, 2:], b[None, :, 2:])
    shared: FloatArray = np.clip(high - low + 1.0, 0, None).prod(axis=2)
    return shared
