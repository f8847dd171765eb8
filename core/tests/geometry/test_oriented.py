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
