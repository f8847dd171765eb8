from __future__ import annotations

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st
from pycocotools import mask as coco_mask

from anydet.geometry import boxes

SIZE = (200, 100)
seeds = st.integers(0, 2**32 - 1)


def random_xyxy(seed, count=7):
    rng = np.random.default_rng(seed)
    corner = rng.uniform(0, 80, (count, 2))
    return np.concatenate([corner, corner + rng.uniform(0.1, 60, (count, 2))], axis=1)


@given(seeds)
def test_formats_are_inverses(seed):
    xyxy = random_xyxy(seed)
    np.testing.assert_allclose(boxes.xywh_to_xyxy(boxes.xyxy_to_xywh(xyxy)), xyxy)
    norm = boxes.xyxy_to_cxcywh_norm(xyxy, SIZE)
    back = boxes.to_xywh_px(norm, "cxcywh_norm", np.array(SIZE))
    np.testing.assert_allclose(boxes.xywh_to_xyxy(back), xyxy, atol=1e-9)


@pytest.mark.parametrize(
    ("box_format", "box"),
    [
        ("cxcywh_norm", [0.15, 0.4, 0.1, 0.4]),
        ("cxcywh_abs", [30, 40, 20, 40]),
        ("xywh_abs", [20, 20, 20, 40]),
        ("xyxy_abs", [20, 20, 40, 60]),
    ],
)
def test_every_format_becomes_the_same_pixels(box_format, box):
    assert box_format in boxes.BOX_FORMATS
    found = boxes.to_xywh_px(np.array([box, box], np.float64), box_format, np.array([SIZE, SIZE]))
    np.testing.assert_allclose(found, [[20, 20, 20, 40]] * 2)


def test_each_box_has_the_size_of_its_own_image():
    sizes = np.array([[100, 100], [10, 20]])
    found = boxes.to_xywh_px(np.full((2, 4), 0.5), "cxcywh_norm", sizes)
    assert found.tolist() == [[25, 25, 50, 50], [2.5, 5, 5, 10]]


def test_an_unknown_format_is_refused():
    with pytest.raises(ValueError, match="unknown box format 'yxyx'"):
        boxes.to_xywh_px(np.zeros((1, 4)), "yxyx", np.array(SIZE))


@given(seeds, seeds)
def test_iou_is_that_of_pycocotools(left_seed, right_seed):
    left, right = random_xyxy(left_seed), random_xyxy(right_seed, 5)
    expected = coco_mask.iou(boxes.xyxy_to_xywh(left), boxes.xyxy_to_xywh(right), [0] * 5)
    np.testing.assert_allclose(boxes.iou_xyxy(left, right), expected, rtol=1e-9, atol=1e-12)


def test_iou_of_empty_and_inverted_boxes_is_zero():
    strange = np.array([[5, 5, 5, 5], [9, 9, 3, 3.0]])
    assert boxes.iou_xyxy(strange, strange).tolist() == [[0, 0], [0, 0]]
    assert boxes.iou_xyxy(np.zeros((0, 4)), strange).shape == (0, 2)


@given(seeds)
def test_clipping_is_the_overlap_with_the_image(seed):
    xyxy = random_xyxy(seed) * 3 - 60
    clipped = boxes.clip_xyxy(xyxy, SIZE)
    image = np.array([[0.0, 0, *SIZE]])
    union = boxes.area_xyxy(xyxy) + boxes.area_xyxy(image)
    iou = boxes.iou_xyxy(xyxy, image)[:, 0]
    np.testing.assert_allclose(boxes.area_xyxy(clipped), iou * union / (1 + iou), atol=1e-6)
    assert (clipped >= 0).all()
    assert (clipped[:, [0, 2]] <= SIZE[0]).all()
    assert (clipped[:, [1, 3]] <= SIZE[1]).all()


@pytest.mark.parametrize("cells", [1, 7, 1 << 21])
@given(st.integers(0, 2**32 - 1), st.integers(0, 2**32 - 1), st.sampled_from([0.0, 0.2, 0.6]))
def test_what_covers_a_box_is_what_pycocotools_finds_of_crowds(cells, left_seed, right_seed, fraction):
    left, right = random_xyxy(left_seed), random_xyxy(right_seed, 5)
    left_ids = np.random.default_rng(left_seed).integers(0, 3, len(left))
    right_ids = np.random.default_rng(right_seed).integers(1, 4, len(right))
    of_crowds = coco_mask.iou(
        boxes.xyxy_to_xywh(left).tolist(), boxes.xyxy_to_xywh(right).tolist(), [True] * len(right)
    )
    expected = ((of_crowds > fraction) & (left_ids[:, None] == right_ids)).any(axis=1)
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(boxes, "_CELLS", cells)
        found = boxes.covered_by_class(left, left_ids, right, right_ids, fraction)
    assert found.tolist() == expected.tolist()


def test_nothing_covers_a_box_where_there_is_none():
    none, ids = np.zeros((0, 4)), np.zeros(0, np.int64)
    one = np.array([[0.0, 0, 4, 4]])
    assert boxes.covered_by_class(one, np.array([1]), none, ids, 0.5).tolist() == [False]
    assert boxes.covered_by_class(none, ids, one, np.array([1]), 0.5).tolist() == []
    flat = np.array([[1.0, 1, 1, 3]])
    assert boxes.covered_by_class(flat, np.array([1]), one, np.array([1]), 0.5).tolist() == [False]


@pytest.mark.slow
@pytest.mark.parametrize("threshold", [0.0, 0.3])
@given(st.integers(0, 2**32 - 1), st.integers(0, 200))
def test_overlapping_pairs_are_those_of_the_matrix_of_ious(threshold, seed, count):
    found = random_xyxy(seed, count)
    class_ids = np.random.default_rng(seed).integers(0, 3, count)
    first, second, iou = boxes.overlapping_pairs(found, class_ids, threshold)
    matrix = np.triu(boxes.iou_xyxy(found, found), 1)
    matrix[class_ids[:, None] != class_ids] = 0
    pairs = {tuple(sorted(pair)) for pair in zip(first.tolist(), second.tolist(), strict=True)}
    assert len(pairs) == len(first)
    assert pairs == set(map(tuple, np.argwhere(matrix > threshold).tolist()))
    low, high = np.minimum(first, second), np.maximum(first, second)
    np.testing.assert_allclose(iou, matrix[low, high], atol=1e-12)


@given(st.integers(0, 10_000), st.sampled_from([0.0, 0.3, 0.5, 0.999]), st.sampled_from([0, -7, 10**6]))
def test_pairs_are_found_where_edges_are_equal_and_coordinates_far(seed, threshold, shift):
    """Edges on a coarse grid, so that many are equal, and boxes without width among them."""
    rng = np.random.default_rng(seed)
    corners, sides = rng.integers(0, 6, (40, 2)), rng.integers(0, 4, (40, 2))
    found = np.concatenate([corners, corners + sides], axis=1) + float(shift)
    class_ids = rng.integers(0, 4, 40)
    first, second, _ = boxes.overlapping_pairs(found, class_ids, threshold)
    matrix = np.triu(boxes.iou_xyxy(found, found), 1)
    matrix[class_ids[:, None] != class_ids] = 0
    pairs = sorted(tuple(sorted(pair)) for pair in zip(first.tolist(), second.tolist(), strict=True))
    assert pairs == sorted(map(tuple, np.argwhere(matrix > threshold).tolist()))


def test_pairs_are_the_same_however_many_are_in_work_at_once(monkeypatch):
    found, class_ids = random_xyxy(3, 200), np.zeros(200, np.int64)
    once = set(
        zip(*(column.tolist() for column in boxes.overlapping_pairs(found, class_ids, 0.1)), strict=True)
    )
    monkeypatch.setattr(boxes, "_CELLS", 50)
    several = set(
        zip(*(column.tolist() for column in boxes.overlapping_pairs(found, class_ids, 0.1)), strict=True)
    )
    assert once == several
    assert len(once) > 100


@pytest.mark.slow
@given(st.integers(0, 10_000), st.sampled_from([0.1, 0.5, 0.7]))
def test_classes_of_few_and_of_many_boxes_keep_what_each_keeps_alone(seed, threshold):
    rng = np.random.default_rng(seed)
    class_ids = np.concatenate([np.zeros(300, np.int64), rng.integers(1, 20, 100)])[rng.permutation(400)]
    found, scores = random_xyxy(seed, 400), np.round(rng.random(400), 2)  # with equal scores
    kept = boxes.nms_by_class(found, scores, class_ids, threshold)
    alone = []
    for class_id in range(20):
        rows = np.flatnonzero(class_ids == class_id)
        alone += rows[boxes.nms(found[rows], scores[rows], threshold)].tolist()
    assert sorted(kept.tolist()) == sorted(alone)
    assert kept.tolist() == sorted(alone, key=lambda row: (-scores[row], row))
