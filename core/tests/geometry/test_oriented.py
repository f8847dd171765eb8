"""Oriented boxes against loops: corners turned one by one, overlaps by the formula of the paper."""

from __future__ import annotations

import math

import numpy as np
import pytest

from anydet.geometry import oriented


def some(count, seed=0):
    rng = np.random.default_rng(seed)
    sides = 4 + 30 * rng.random((count, 2))
    return np.concatenate([60 * rng.random((count, 2)), sides, rng.uniform(-0.8, 2.4, (count, 1))], axis=1)


def turned(cx, cy, w, h, angle):
    """Corners of a box, clockwise from the upper left one before the turn."""
    return [
        (cx + x * math.cos(angle) - y * math.sin(angle), cy + x * math.sin(angle) + y * math.cos(angle))
        for x, y in ((-w / 2, -h / 2), (w / 2, -h / 2), (w / 2, h / 2), (-w / 2, h / 2))
    ]


def covariance(w, h, angle):
    turn = np.array([[math.cos(angle), -math.sin(angle)], [math.sin(angle), math.cos(angle)]])
    return turn @ np.diag([w**2 / 12, h**2 / 12]) @ turn.T


def overlap(a, b):
    """One minus the Hellinger distance of two Gaussians, by matrices."""
    first, second = covariance(*a[2:]), covariance(*b[2:])
    mean, gap = (first + second) / 2, np.subtract(a[:2], b[:2])
    determinants = np.linalg.det(mean) / math.sqrt(np.linalg.det(first) * np.linalg.det(second))
    bhattacharyya = gap @ np.linalg.inv(mean) @ gap / 8 + math.log(determinants) / 2
    return 1 - math.sqrt(max(0.0, 1 - math.exp(-bhattacharyya)))


def test_corners_and_enclosing_boxes_are_those_of_a_loop():
    boxes = some(20)
    corners = oriented.corners_of(boxes)
    expected = [turned(*box) for box in boxes.tolist()]
    np.testing.assert_allclose(corners, expected, atol=1e-9)
    enclosing = [[min(x), min(y), max(x), max(y)] for x, y in (zip(*one, strict=True) for one in expected)]
    np.testing.assert_allclose(oriented.enclosing_xyxy(corners), enclosing, atol=1e-9)


def test_prob_iou_is_one_minus_the_hellinger_distance():
    left, right = some(15, 1), some(12, 2)
    expected = [[overlap(a, b) for b in right.tolist()] for a in left.tolist()]
    np.testing.assert_allclose(oriented.prob_iou(left, right), expected, atol=1e-4)
    assert np.ptp(expected) > 0.5


@pytest.mark.parametrize("limit", [None, 7])
def test_a_box_stays_where_no_better_one_of_its_class_overlaps_it(limit, monkeypatch):
    monkeypatch.setattr(oriented, "_BLOCK", 16)
    boxes, rng = some(120, 3), np.random.default_rng(4)
    scores, class_ids = np.round(rng.random(120), 2), rng.integers(0, 3, 120)
    order = sorted(range(120), key=lambda i: -scores[i])
    stays = [
        row
        for place, row in enumerate(order)
        if not any(
            class_ids[other] == class_ids[row] and overlap(boxes[other], boxes[row]) >= 0.5
            for other in order[:place]
        )
    ]
    assert 20 < len(stays) < 110
    kept = oriented.suppress_oriented(boxes, scores, class_ids, 0.5, limit)
    assert kept.tolist() == stays[:limit]


def test_of_no_boxes_none_stays():
    none = np.zeros(0)
    assert oriented.suppress_oriented(np.zeros((0, 5)), none, none.astype(np.int64), 0.5).tolist() == []


def plain_intersection(a, b):
    """Area of two convex polygons: corners inside the other and crossings of sides, sorted by angle."""

    def side(p, q, r):
        return (q[0] - p[0]) * (r[1] - p[1]) - (q[1] - p[1]) * (r[0] - p[0])

    def sides(polygon):
        return [(polygon[i], polygon[(i + 1) % len(polygon)]) for i in range(len(polygon))]

    points = [p for p in a if all(side(*one, p) >= 0 for one in sides(b))]
    points += [p for p in b if all(side(*one, p) >= 0 for one in sides(a))]
    for p, q in sides(a):
        for r, s in sides(b):
            along, across = side(r, s, p), side(r, s, q)
            if along * across < 0 and side(p, q, r) * side(p, q, s) < 0:
                t = along / (along - across)
                points.append((p[0] + t * (q[0] - p[0]), p[1] + t * (q[1] - p[1])))
    if len(points) < 3:
        return 0.0
    x, y = (sum(p[i] for p in points) / len(points) for i in (0, 1))
    ring = sorted(points, key=lambda p: math.atan2(p[1] - y, p[0] - x))
    return sum((p[0] - x) * (q[1] - y) - (q[0] - x) * (p[1] - y) for p, q in sides(ring)) / 2


def quadrilaterals(count, seed=0):
    """Hulls of random corners: among them triangles."""
    return oriented.convex_hulls(60 * np.random.default_rng(seed).random((count, 4, 2)))


@pytest.mark.parametrize("seed", range(3))
def test_areas_of_intersections_are_those_of_a_plain_implementation(seed):
    boxes = oriented.corners_of(some(60, seed)), oriented.corners_of(some(60, seed + 50))
    others = quadrilaterals(60, seed), quadrilaterals(60, seed + 50)
    left, right = (np.concatenate(both) for both in zip(boxes, others, strict=True))
    wanted = [plain_intersection(a, b) for a, b in zip(left.tolist(), right.tolist(), strict=True)]
    assert 20 < np.count_nonzero(wanted) < 120
    assert oriented.intersection_areas(left, right) == pytest.approx(wanted, abs=1e-9)
    assert oriented.intersection_areas(right, left) == pytest.approx(wanted, abs=1e-9)


def test_a_polygon_has_all_of_itself_and_half_of_one_moved_by_half_a_side():
    corners = oriented.corners_of(some(50) + np.array([1e5, -1e5, 0, 0, 0]))
    assert (oriented.oriented_iou(corners, corners) == 1).all()
    moved = corners + (corners[:, 1:2] - corners[:, :1]) / 2
    assert oriented.oriented_iou(corners, moved) == pytest.approx(1 / 3, abs=1e-6)
    beside = corners + (corners[:, 1:2] - corners[:, :1])
    assert oriented.oriented_iou(corners, beside) == pytest.approx(0, abs=1e-6)


def test_upright_boxes_have_the_iou_of_upright_boxes():
    boxes = np.random.default_rng(2).integers(0, 12, (200, 2, 2, 2))
    low, high = boxes.min(axis=2), boxes.max(axis=2)
    inter = np.clip(np.minimum(*np.moveaxis(high, 1, 0)) - np.maximum(*np.moveaxis(low, 1, 0)), 0, None).prod(
        1
    )
    areas = (high - low).prod(axis=2)
    wanted = np.divide(inter, areas.sum(axis=1) - inter, out=np.zeros(200), where=inter > 0)
    left, right = (
        np.stack(
            [
                low[:, i],
                np.stack([high[:, i, 0], low[:, i, 1]], 1),
                high[:, i],
                np.stack([low[:, i, 0], high[:, i, 1]], 1),
            ],
            axis=1,
        ).astype(float)
        for i in (0, 1)
    )
    assert oriented.oriented_iou(left, right).tolist() == wanted.tolist()
    inside = np.divide(inter, areas[:, 0], out=np.zeros(200), where=inter > 0)
    assert oriented.oriented_iou(left, right, np.ones(200, np.bool_)).tolist() == inside.tolist()


@pytest.mark.parametrize(
    ("corners", "area"),
    [
        ([(0, 0), (4, 0), (4, 3), (0, 3)], 12),  # clockwise on the screen
        ([(0, 3), (4, 3), (4, 0), (0, 0)], 12),  # the other way
        ([(0, 0), (4, 3), (4, 0), (0, 3)], 12),  # with sides that cross
        ([(0, 0), (4, 0), (1, 1), (0, 4)], 8),  # with a corner inside the others
        ([(0, 0), (4, 0), (4, 0), (0, 4)], 8),  # a triangle
        ([(0, 0), (1, 1), (2, 2), (3, 3)], 0),
        ([(5, 5)] * 4, 0),
    ],
)
def test_hulls_of_any_four_corners_are_convex_and_clockwise(corners, area):
    hulls = oriented.convex_hulls(np.array([corners], np.float64))
    assert oriented.is_convex(hulls).all()
    assert oriented.areas_of(hulls).tolist() == [area]
    assert {tuple(one) for one in hulls[0].tolist()} <= {tuple(map(float, one)) for one in corners}


def test_no_pairs_have_no_areas():
    none = np.zeros((0, 4, 2))
    assert oriented.oriented_iou(none, none).shape == (0,)
    assert oriented.convex_hulls(none).shape == (0, 4, 2)
