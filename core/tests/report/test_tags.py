from __future__ import annotations

from itertools import combinations

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from anydet.report.tags import HIDDEN_FRACTION, Tag, legend_lines, place_tags

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
    (placed,), left_over = place((100, 100, 200, 180))
    assert placed.place[0] == 100
    assert placed.place[3] == 99
    assert placed.font_px == 16
    assert not left_over


def test_a_box_as_large_as_the_picture_has_its_tag_inside():
    (placed,), _ = place((0, 0, 319, 239))
    assert placed.place[:2] == (0, 0)


def test_a_small_box_at_the_top_is_not_covered_by_its_tag():
    (placed,), _ = place((0, 0, 9, 9))
    assert shared(placed.place, (0, 0, 9, 9)) == 0


boxes = st.tuples(st.integers(0, 150), st.integers(0, 100), st.integers(0, 60), st.integers(0, 60)).map(
    lambda b: (b[0], b[1], min(b[0] + b[2], 159), min(b[1] + b[3], 119))
)


@pytest.mark.slow
@settings(max_examples=150, deadline=None)
@given(crowd=st.lists(boxes, max_size=25))
def test_in_any_crowd_tags_stay_inside_and_hide_neither_each_other_nor_small_boxes(crowd):
    placed, left_over = place(*crowd, size_wh=(160, 120), font_px=14)
    assert len(placed) + len(left_over) == len(crowd)
    for one, other in combinations(placed, 2):
        assert shared(one.place, other.place) == 0
    for one in placed:
        left, top, right, bottom = one.place
        assert 0 <= left <= right < 160
        assert 0 <= top <= bottom < 120
        for box in crowd:
            assert shared(one.place, box) <= HIDDEN_FRACTION * area(box)


def test_where_there_is_no_room_type_gets_smaller_before_the_tag_goes():
    crowd = [(x, y, x + 11, y + 11) for x in range(0, 160, 20) for y in range(0, 120, 20)]
    _, left_over = place(*crowd, size_wh=(160, 120), font_px=16)
    assert left_over
    (line,) = legend_lines(left_over)
    assert line.text == f"{len(left_over)} cup"
    (tight,), _ = place((0, 20, 49, 49), size_wh=(50, 50), font_px=16)
    assert tight.font_px == 12


def test_a_legend_counts_names_the_most_frequent_first():
    tags = [tag((0, 0, 1, 1), "dog 0.3", "dog", BLUE), *[tag((0, 0, 1, 1), f"cup 0.{i}") for i in range(3)]]
    assert [(line.text, line.color) for line in legend_lines(tags)] == [("3 cup", RED), ("1 dog", BLUE)]


@pytest.mark.parametrize("size_wh", [(1, 1), (5, 400), (400, 5)])
def test_a_picture_too_small_for_any_tag_gets_none(size_wh):
    placed, left_over = place((0, 0, size_wh[0] - 1, size_wh[1] - 1), size_wh=size_wh)
    assert not placed
    assert len(left_over) == 1
