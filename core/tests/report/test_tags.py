from __future__ import annotations

from itertools import combinations

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from anydet.report.room import LONGEST_LEADER
from anydet.report.tags import (
    HIDDEN_FRACTION,
    MOST_NUMBERS,
    NUMBERED_FRACTION,
    Tag,
    badge_px,
    legend_lines,
    place_tags,
)

RED, BLUE = (213, 94, 0), (0, 114, 178)


def wide(text, font_px):
    """Type that is half as wide as high."""
    return len(text) * font_px // 2


def tag(box, text="cup 0.9", name="cup", color=RED):
    return Tag(text, name, color, box)


def shared(a, b):
    across, down = (min(a[i + 2], b[i + 2]) - max(a[i], b[i]) + 1 for i in (0, 1))
    return max(0, across) * max(0, down)


def area(box):
    return shared(box, box)


def place(*boxes, size_wh=(320, 240), font_px=16):
    return place_tags([tag(box) for box in boxes], boxes, size_wh, font_px, wide)


def test_a_lone_tag_stands_on_its_box_at_the_left():
    places = place((100, 100, 200, 180))
    (placed,) = places.placed
    assert placed.place[0] == 100
    assert placed.place[3] == 99
    assert (placed.font_px, placed.text, placed.leader_px) == (16, "cup 0.9", None)
    assert not places.left_over
    assert not places.numbered


def test_a_box_as_large_as_the_picture_has_its_tag_inside():
    (placed,) = place((0, 0, 319, 239)).placed
    assert placed.place[:2] == (0, 0)


def test_a_small_box_at_the_top_is_not_covered_by_its_tag():
    (placed,) = place((0, 0, 9, 9)).placed
    assert shared(placed.place, (0, 0, 9, 9)) == 0


def test_a_badge_gets_room_of_its_own():
    plain, signed = (
        place_tags([Tag("cup", "cup", RED, (50, 50, 90, 90), badge=badge)], [], (320, 240), 16, wide).placed[
            0
        ]
        for badge in ("", "wrong")
    )
    widths = [one.place[2] - one.place[0] for one in (plain, signed)]
    assert widths[1] - widths[0] == badge_px(16, "wrong") > 16


def test_a_tag_says_less_where_there_is_no_room_for_all():
    long = Tag("cup 0.9 for bowl", "cup", RED, (0, 20, 99, 99), short="cup 0.9")
    assert place_tags([long], [long.box], (320, 240), 16, wide).placed[0].text == "cup 0.9 for bowl"
    assert place_tags([long], [long.box], (100, 100), 16, wide).placed[0].text == "cup 0.9"


def test_a_tag_does_not_stand_where_it_would_be_taken_for_that_of_another_box():
    left, right = (40, 100, 119, 180), (122, 100, 200, 180)
    places = place(left, right)
    by_box = {placed.tag.box: placed.place for placed in places.placed}
    for box, other in ((left, right), (right, left)):
        grown = (other[0] - 1, other[1] - 1, other[2] + 1, other[3] + 1)
        assert shared(by_box[box], grown) == 0


def crowd_of(side, gap, size_wh=(320, 240), top=0):
    steps = side + gap
    return [
        (x, y, x + side - 1, y + side - 1)
        for y in range(top, size_wh[1] - side, steps)
        for x in range(0, size_wh[0] - side, steps)
    ]


def test_where_a_crowd_has_no_room_tags_stand_beside_it_with_lines_that_cross_nothing():
    crowd = [(x, y, x + 17, y + 17) for y in range(90, 150, 20) for x in range(120, 180, 20)]
    places = place(*crowd)
    led = [placed for placed in places.placed if placed.leader_px]
    assert led
    assert len(places.placed) == len(crowd)
    for placed in led:
        x1, y1, x2, y2 = placed.leader_px
        left, top, right, bottom = placed.tag.box
        assert left <= x2 <= right
        assert top <= y2 <= bottom
        assert np.hypot(x2 - x1, y2 - y1) <= LONGEST_LEADER * 16 + 1
        for other in places.placed:
            if other is not placed:
                for part in np.linspace(0.05, 0.95, 19):
                    x, y = round(x1 + part * (x2 - x1)), round(y1 + part * (y2 - y1))
                    assert shared(other.place, (x, y, x, y)) == 0


def test_where_there_is_no_room_for_lines_numbers_lead_to_a_legend_until_that_is_full():
    crowd = crowd_of(18, 6)
    places = place(*crowd)
    numbers = [placed for placed in places.placed if placed.text.isdigit()]
    assert [placed.text for placed in numbers] == [str(i + 1) for i in range(len(numbers))]
    assert [line.text for line in places.numbered] == [f"{i + 1} cup 0.9" for i in range(len(numbers))]
    assert len(numbers) == MOST_NUMBERS
    assert len(places.placed) + len(places.left_over) == len(crowd)


def test_the_same_tags_go_to_the_same_places():
    crowd = crowd_of(22, 8)
    assert place(*crowd) == place(*crowd)


boxes = st.tuples(st.integers(0, 150), st.integers(0, 100), st.integers(0, 60), st.integers(0, 60)).map(
    lambda b: (b[0], b[1], min(b[0] + b[2], 159), min(b[1] + b[3], 119))
)


@pytest.mark.slow
@settings(max_examples=80, deadline=None)
@given(crowd=st.lists(boxes, max_size=25))
def test_in_any_crowd_tags_stay_inside_and_hide_neither_each_other_nor_small_boxes(crowd):
    places = place(*crowd, size_wh=(160, 120), font_px=14)
    placed = places.placed
    assert len(placed) + len(places.left_over) == len(crowd)
    for one, other in combinations(placed, 2):
        assert shared(one.place, other.place) == 0
    for one in placed:
        left, top, right, bottom = one.place
        assert 0 <= left <= right < 160
        assert 0 <= top <= bottom < 120
        for box in crowd:
            number = one.text.isdigit() and box == one.tag.box
            assert shared(one.place, box) <= (NUMBERED_FRACTION if number else HIDDEN_FRACTION) * area(box)


def test_where_there_is_no_room_type_gets_smaller_before_the_tag_goes_elsewhere():
    (tight,) = place((0, 20, 49, 49), size_wh=(50, 50), font_px=16).placed
    assert (tight.font_px, tight.text) == (12, "cup 0.9")


def test_a_legend_counts_names_the_most_frequent_first():
    tags = [tag((0, 0, 1, 1), "dog 0.3", "dog", BLUE), *[tag((0, 0, 1, 1), f"cup 0.{i}") for i in range(3)]]
    assert [(line.text, line.color) for line in legend_lines(tags)] == [("3 cup", RED), ("1 dog", BLUE)]


@pytest.mark.parametrize("size_wh", [(1, 1), (5, 400), (400, 5)])
def test_a_picture_too_small_for_any_tag_gets_none(size_wh):
    places = place((0, 0, size_wh[0] - 1, size_wh[1] - 1), size_wh=size_wh)
    assert not places.placed
    assert len(places.left_over) == 1
