"""Results are the same but for order and tolerance."""

from __future__ import annotations

from dataclasses import replace

import numpy as np
from hypothesis import given, settings
from hypothesis import strategies as st

from anydet.testing.comparison import Tolerance, first_difference
from anydet.types import ImagePredictions, Poses


def predictions(rng, rows):
    corners = rng.uniform(0, 50, (rows, 2))
    return ImagePredictions(
        "a.png",
        (64, 48),
        np.concatenate([corners, corners + rng.uniform(1, 9, (rows, 2))], axis=1),
        rng.uniform(0.1, 1.0, rows),
        rng.integers(0, 3, rows),
        keypoints=rng.uniform(0, 50, (rows, 2, 3)),
        poses=Poses(log_z=rng.normal(size=rows)),
    )


@settings(deadline=None, max_examples=50)
@given(st.integers(0, 2**32 - 1), st.integers(0, 12))
def test_the_order_of_detections_and_differences_below_the_tolerance_do_not_count(seed, rows):
    rng = np.random.default_rng(seed)
    a = predictions(rng, rows)
    b = a.take(rng.permutation(rows))
    b = replace(b, boxes_xyxy_px=b.boxes_xyxy_px + 5e-5, scores=b.scores - 5e-6)
    assert first_difference([a], [b], Tolerance()) == ""


@settings(deadline=None, max_examples=50)
@given(st.integers(0, 2**32 - 1), st.integers(1, 12), st.sampled_from(["box", "score", "class", "row", "z"]))
def test_any_real_change_is_found_in_both_directions(seed, rows, what):
    rng = np.random.default_rng(seed)
    a = predictions(rng, rows)
    row = rng.integers(rows)
    bump = np.zeros(rows)
    bump[row] = 1.0
    b = {
        "box": replace(a, boxes_xyxy_px=a.boxes_xyxy_px + bump[:, None] * 1e-3),
        "score": replace(a, scores=a.scores - bump * 1e-4),
        "class": replace(a, class_ids=a.class_ids + bump.astype(np.int64)),
        "row": a.take(np.delete(np.arange(rows), row)),
        "z": replace(a, poses=Poses(log_z=a.poses.log_z + bump * 0.1)),
    }[what]
    assert first_difference([a], [b], Tolerance()).startswith("a.png: ")
    assert first_difference([b], [a], Tolerance()).startswith("a.png: ")


def test_a_detection_at_the_score_floor_may_be_there_or_not():
    a = predictions(np.random.default_rng(0), 3)
    a = replace(a, scores=np.array([0.5, 0.4, 0.001]))
    assert first_difference([a], [a.take(np.arange(2))], Tolerance(), floor=0.001) == ""
    assert first_difference([a], [a.take(np.arange(2))], Tolerance(), floor=0.0)


def test_keypoints_that_one_side_lost_are_a_difference():
    a = predictions(np.random.default_rng(1), 3)
    lost = replace(a, keypoints=None)
    assert first_difference([a], [lost], Tolerance()) == "a.png: keypoints differ"
    assert first_difference([lost], [a], Tolerance()) == "a.png: keypoints differ"
    assert first_difference([lost], [lost], Tolerance()) == ""
