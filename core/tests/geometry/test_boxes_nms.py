from __future__ import annotations

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from anydet.geometry.boxes import nms, nms_by_class

torch = pytest.importorskip("torch", reason="torchvision's NMS is the oracle")
ops = pytest.importorskip("torchvision.ops", reason="torchvision's NMS is the oracle")


def torchvision_nms(boxes, scores, iou_threshold):
    return ops.nms(torch.from_numpy(boxes), torch.from_numpy(scores), iou_threshold).numpy()


def random_boxes(seed: int, count: int, grid: bool):
    """Boxes and scores; on a grid many boxes, overlaps and scores are exactly equal, and some are empty."""
    rng = np.random.default_rng(seed)
    corner, side = rng.random((count, 2)) * 20, rng.random((count, 2)) * 12
    scores = rng.random(count)
    if grid:
        corner, side, scores = np.round(corner / 4), np.round(side / 4), np.round(scores, 1)
    return np.concatenate([corner, corner + side], axis=1), scores


CASES = {
    "seed": st.integers(0, 2**32 - 1),
    "count": st.integers(0, 400),
    "grid": st.booleans(),
    "iou_threshold": st.sampled_from([0.0, 0.3, 1 / 3, 0.5, 0.65, 1.0]),
}
cases = given(**CASES)


@settings(max_examples=60, deadline=None)
@cases
def test_nms_is_torchvisions_with_ties_and_empty_boxes(seed, count, grid, iou_threshold):
    boxes, scores = random_boxes(seed, count, grid)
    expected = torchvision_nms(boxes, scores, iou_threshold)
    np.testing.assert_array_equal(nms(boxes, scores, iou_threshold), expected)


@settings(max_examples=60, deadline=None)
@cases
def test_nms_by_class_is_torchvisions_in_each_class_alone(seed, count, grid, iou_threshold):
    boxes, scores = random_boxes(seed, count, grid)
    class_ids = np.random.default_rng(seed).integers(0, 6, count)
    kept = [np.zeros(0, np.int64)]
    for class_id in np.unique(class_ids):
        rows = np.flatnonzero(class_ids == class_id)
        kept.append(rows[torchvision_nms(boxes[rows], scores[rows], iou_threshold)])
    rows = np.sort(np.concatenate(kept))
    expected = rows[np.argsort(-scores[rows], kind="stable")]
    np.testing.assert_array_equal(nms_by_class(boxes, scores, class_ids, iou_threshold), expected)


@settings(max_examples=60, deadline=None)
@given(**CASES, limit=st.integers(1, 250), classes=st.integers(1, 6))
def test_the_best_of_nms_are_the_first_of_all_that_it_keeps(seed, count, grid, iou_threshold, limit, classes):
    boxes, scores = random_boxes(seed, count, grid)
    class_ids = np.random.default_rng(seed).integers(0, classes, count)
    everything = nms_by_class(boxes, scores, class_ids, iou_threshold)
    best = nms_by_class(boxes, scores, class_ids, iou_threshold, limit)
    np.testing.assert_array_equal(best, everything[:limit])


def test_the_best_of_nms_are_found_far_down_where_few_stay():
    boxes, scores = random_boxes(4, 3000, grid=False)
    boxes[:2500] = boxes[0]
    scores[:2500] += 1
    class_ids = np.zeros(3000, np.int64)
    everything = nms_by_class(boxes, scores, class_ids, 0.2)
    for limit in (2, 20, 200, 2000):
        best = nms_by_class(boxes, scores, class_ids, 0.2, limit)
        np.testing.assert_array_equal(best, everything[:limit])


def test_nms_by_class_is_torchvisions_batched_nms_on_real_sized_boxes():
    boxes, scores = random_boxes(1, 3000, grid=False)
    boxes *= 20
    class_ids = np.random.default_rng(2).integers(0, 80, 3000)
    expected = ops.batched_nms(
        torch.from_numpy(boxes), torch.from_numpy(scores), torch.from_numpy(class_ids), 0.6
    )
    np.testing.assert_array_equal(nms_by_class(boxes, scores, class_ids, 0.6), expected.numpy())


def test_blocks_of_any_size_keep_the_same_boxes(monkeypatch):
    boxes, scores = random_boxes(3, 3000, grid=False)
    whole = nms(boxes, scores, 0.5)
    monkeypatch.setattr("anydet.geometry.boxes._CELLS", 5000)
    np.testing.assert_array_equal(nms(boxes, scores, 0.5), whole)
