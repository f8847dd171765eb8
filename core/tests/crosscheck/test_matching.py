import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from anydet.crosscheck.matching import Pairs, Side, assign, iou_of_rows, match_equal, match_similar, sides
from anydet.geometry.boxes import iou_xyxy
from anydet.types import DetectionColumns

optimize = pytest.importorskip("scipy.optimize")


def random_side(rng, count, groups=3, spread=40):
    boxes = rng.integers(0, spread, (count, 4)).astype(np.float64)
    boxes[:, 2:] += boxes[:, :2] + 1
    return Side(rng.integers(0, groups, count), boxes, rng.integers(0, 5, count) / 5)


def is_one_to_one(pairs):
    return len(set(pairs.a.tolist())) == len(set(pairs.b.tolist())) == len(pairs)


@settings(max_examples=150, deadline=None)
@given(st.integers(0, 10**6), st.integers(0, 12), st.integers(0, 12), st.floats(0.05, 1.0))
def test_there_is_no_larger_assignment(seed, rows, columns, density):
    rng = np.random.default_rng(seed)
    allowed = rng.random((rows, columns)) < density
    a, b = np.nonzero(allowed)
    found = assign(Pairs(a, b, rng.integers(0, 4, len(a)).astype(float)), rows, columns)
    best = optimize.linear_sum_assignment(allowed, maximize=True)
    assert is_one_to_one(found)
    assert allowed[found.a, found.b].all()
    assert len(found) == allowed[best].sum()


def test_the_cheapest_pairs_are_taken_where_that_costs_no_pair():
    pairs = Pairs(np.array([0, 0, 1, 1]), np.array([0, 1, 0, 1]), np.array([0.1, 0.0, 0.0, 0.3]))
    found = assign(pairs, 2, 2)
    assert list(zip(found.a, found.b, strict=True)) == [(0, 1), (1, 0)]


def test_a_cheap_pair_gives_way_where_it_would_leave_two_rows_alone():
    # Row 0 of A is closest to row 0 of B, which is the only one that row 1 of A can have.
    pairs = Pairs(np.array([0, 0, 1]), np.array([0, 1, 0]), np.array([0.0, 0.9, 0.9]))
    found = assign(pairs, 2, 2)
    assert list(zip(found.a, found.b, strict=True)) == [(0, 1), (1, 0)]


@settings(max_examples=80, deadline=None)
@given(st.integers(0, 10**6), st.sampled_from([0.0, 1.0, 3.0]), st.sampled_from([0.0, 0.2, 1.0]))
def test_equal_pairs_are_those_of_a_search_through_all(seed, box_px, score):
    rng = np.random.default_rng(seed)
    a, b = random_side(rng, 40, spread=6), random_side(rng, 35, spread=6)
    boxes = np.abs(a.boxes_xyxy_px[:, None] - b.boxes_xyxy_px[None]).max(axis=2) <= box_px
    scores = np.abs(a.scores[:, None] - b.scores[None]) <= score + 1e-12
    allowed = boxes & scores & (a.groups[:, None] == b.groups[None])
    found = match_equal(a, b, box_px, score)
    best = optimize.linear_sum_assignment(allowed, maximize=True)
    assert is_one_to_one(found)
    assert allowed[found.a, found.b].all()
    assert len(found) == allowed[best].sum()


@settings(max_examples=60, deadline=None)
@given(st.integers(0, 10**6), st.sampled_from([0.1, 0.5, 1.0]))
def test_similar_pairs_miss_no_overlap(seed, iou):
    rng = np.random.default_rng(seed)
    a, b = random_side(rng, 30), random_side(rng, 30)
    overlap = iou_xyxy(a.boxes_xyxy_px, b.boxes_xyxy_px)
    allowed = (overlap >= iou) & (a.groups[:, None] == b.groups[None])
    found = match_similar(a, b, iou)
    assert is_one_to_one(found)
    assert allowed[found.a, found.b].all()
    # What is left on both sides could not be paired any more.
    left = np.setdiff1d(np.arange(30), found.a), np.setdiff1d(np.arange(30), found.b)
    assert not allowed[np.ix_(*left)].any()


def test_iou_of_rows_is_that_of_all_pairs():
    rng = np.random.default_rng(3)
    a, b = random_side(rng, 20).boxes_xyxy_px, random_side(rng, 20).boxes_xyxy_px
    np.testing.assert_allclose(iou_of_rows(a, b), np.diagonal(iou_xyxy(a, b)))
    point = np.array([[1.0, 1, 1, 1]])
    assert iou_of_rows(point, point) == 1


def test_boxes_of_other_images_and_classes_are_no_partners():
    def table(image, class_id):
        one = np.array([[1.0, 2, 3, 4]])
        return DetectionColumns(
            ("a", "b"),
            np.full((2, 2), 9),
            np.array([image]),
            np.array([class_id]),
            one,
            np.ones(1),
            one[:, 2],
        )

    here = table(0, 0)
    assert len(match_equal(*sides(here, table(0, 0)), 0.1, 0.1)) == 1
    assert not len(match_equal(*sides(here, table(0, 1)), 0.1, 0.1))
    assert not len(match_equal(*sides(here, table(1, 0)), 0.1, 0.1))
    assert len(match_equal(*sides(here, table(0, 1), class_agnostic=True), 0.1, 0.1)) == 1
