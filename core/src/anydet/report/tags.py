"""Where names of objects go in a picture, so that they hide neither each other nor small objects."""

from __future__ import annotations

from collections import Counter
from collections.abc import Callable, Sequence
from dataclasses import dataclass

import numpy as np

from anydet.report.palette import Color
from anydet.report.room import Corners, Room, areas, find_led_place, overlaps, touched_outlines

FONT_SCALES = (1.0, 0.75, 0.6)
"""Sizes of type that are tried, relative to the usual one; the last one is that of numbers."""
SMALLEST_FONT_PX = 10
HIDDEN_FRACTION = 0.3
"""Largest fraction of another box that a tag may hide."""
OWN_FRACTION = 0.25
"""The same of its own box."""
NUMBERED_FRACTION = 0.5
"""The same for a number, which says little and must lead to its box all the more."""
CUSTOM = 0.02
"""Fraction of a box that may be hidden for a place one nearer to the usual one."""
CONFUSED = 0.05
"""The same for a place that does not touch the outline of one more other box."""
MOST_NUMBERS = 40
"""Numbered objects that a legend has room for."""


@dataclass(frozen=True, slots=True)
class Tag:
    """A name that wants a place at its box.

    Attributes:
        text: with score and the like.
        name: shown in a legend.
        color: behind the text.
        box: what it belongs to.
        short: said instead where there is no room for ``text``; "" for nothing shorter.
        badge: drawn before the text (``badges``); "" for none.
    """

    text: str
    name: str
    color: Color
    box: Corners
    short: str = ""
    badge: str = ""


@dataclass(frozen=True, slots=True)
class PlacedTag:
    """A tag with what it says, where it goes, and how high its type is.

    Attributes:
        tag: whose box it leads to.
        place: of its background.
        font_px: height of type.
        text: what it says: the tag's text, the short one, or a number.
        leader_px: line from the tag to its box, x1, y1, x2, y2, where it does not stand at its box.
    """

    tag: Tag
    place: Corners
    font_px: int
    text: str
    leader_px: Corners | None = None


@dataclass(frozen=True, slots=True)
class LegendLine:
    """A line of a legend, behind a swatch.

    Attributes:
        text: what it says.
        color: of the swatch; ``None`` for a part of the line before, which has none.
        badge: drawn on the swatch; "" for none.
    """

    text: str
    color: Color | None = None
    badge: str = ""


@dataclass(frozen=True, slots=True)
class Placement:
    """Where tags went.

    Attributes:
        placed: tags in the picture.
        numbered: the last ones of ``placed``, that say a number, with the legend that explains it.
        left_over: tags without a place.
    """

    placed: tuple[PlacedTag, ...]
    numbered: tuple[LegendLine, ...]
    left_over: tuple[Tag, ...]


def place_tags(
    tags: Sequence[Tag],
    boxes: Sequence[Corners],
    size_wh: tuple[int, int],
    font_px: int,
    text_px: Callable[[str, int], int],
) -> Placement:
    """Places at which tags lead to their boxes and hide nothing that matters.

    A tag stays inside the picture, off all other tags, and off most of any box. It stands at its box: outside
    where that is possible, else inside a box that is large enough, else shorter, else in smaller type. Where
    there is no such place, it stands near by with a line to the box, else it is a number that a legend
    explains, else it is left over.

    Args:
        tags: the first one chooses first.
        boxes: of all objects, with or without a tag.
        size_wh: of the picture in pixels.
        font_px: usual height of type.
        text_px: width of a text in type of a height.
    """
    room = Room(boxes, size_wh, font_px)
    large, small, tiny = (max(min(font_px, SMALLEST_FONT_PX), round(s * font_px)) for s in FONT_SCALES)
    placed: list[PlacedTag] = []
    waiting = []
    for tag in tags:
        short = tag.short or tag.text
        forms = dict.fromkeys([(tag.text, large), (short, large), (short, small)])
        for text, height in forms:
            place = _place(tag.box, _tag_wh(text, height, tag.badge, text_px), room)
            if place is not None:
                room.take(place)
                placed.append(PlacedTag(tag, place, height, text))
                break
        else:
            waiting.append(tag)
    # After all that stand at their boxes, so that none of them covers a line.
    unled = []
    for tag in waiting:
        text = tag.short or tag.text
        found = find_led_place(tag.box, _tag_wh(text, small, tag.badge, text_px), room)
        if found is None:
            unled.append(tag)
            continue
        placed.append(PlacedTag(tag, found[0], small, text, found[1]))
    numbered: list[LegendLine] = []
    left_over = []
    for tag in unled:
        text = str(len(numbered) + 1)
        place = None
        # A sign without text says as much as a number would.
        if tag.text and len(numbered) < MOST_NUMBERS:
            place = _place(tag.box, _tag_wh(text, tiny, "", text_px), room, NUMBERED_FRACTION)
        if place is None:
            left_over.append(tag)
            continue
        room.take(place)
        placed.append(PlacedTag(tag, place, tiny, text))
        numbered.append(LegendLine(f"{text} {tag.text}", tag.color, tag.badge))
    return Placement(tuple(placed), tuple(numbered), tuple(left_over))


def badge_px(font_px: int, badge: str) -> int:
    """Width of a badge at the left of a tag: a square as high as the tag."""
    return font_px + 2 * padding_px(font_px) if badge else 0


def padding_px(font_px: int) -> int:
    """Pixels around the text of a tag."""
    return max(1, font_px // 6)


def legend_lines(tags: Sequence[Tag]) -> list[LegendLine]:
    """``9 wine glass``, one line a name, most frequent first."""
    counts = Counter((tag.name, tag.color) for tag in tags)
    return [LegendLine(f"{count} {name}", color) for (name, color), count in counts.most_common()]


def _tag_wh(text: str, font_px: int, badge: str, text_px: Callable[[str, int], int]) -> tuple[int, int]:
    pad = padding_px(font_px)
    return badge_px(font_px, badge) + text_px(text, font_px) + 2 * pad, font_px + 2 * pad


def _place(
    box: Corners, tag_wh: tuple[int, int], room: Room, own_fraction: float = OWN_FRACTION
) -> Corners | None:
    """A usual place that hides little; ``None`` where all places hide too much."""
    if tag_wh[0] > room.size_wh[0] or tag_wh[1] > room.size_wh[1]:
        return None
    corners = np.clip(_corners_around(box, tag_wh), 0, np.subtract(room.size_wh, tag_wh))
    places = np.concatenate([corners, corners + tag_wh - 1], axis=1)
    others = room.boxes_near(places)
    own = (others == np.array(box)).all(axis=1)
    others, own_area = others[~own], max(float(areas(np.array([box]))[0]), 1.0)
    hidden = overlaps(places, others) / np.maximum(areas(others), 1)
    own_hidden = overlaps(places, np.array([box], np.float64))[:, 0] / own_area
    # Both limits as one number: up to 1 a place is allowed.
    worst = np.maximum(hidden.max(axis=1, initial=0) / HIDDEN_FRACTION, own_hidden / own_fraction)
    free = room.is_free(places) & (worst <= 1)
    if not free.any():
        return None
    confused = touched_outlines(places, others).sum(axis=1)
    costs = hidden.sum(axis=1) + own_hidden + CONFUSED * confused + CUSTOM * np.arange(len(places))
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
