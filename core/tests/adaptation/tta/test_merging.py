"""What becomes of everything that detections and images have beside boxes."""

from __future__ import annotations

from dataclasses import replace

import numpy as np
import pytest

from anydet.adaptation.tta.merging import join_results, merge_clusters, whole_rows
from anydet.geometry import masks
from anydet.geometry.rotations import matrix_to_rot6d, random_rotation
from anydet.prediction.hooks import ViewResult
from anydet.types import Classification, ImagePredictions, Intrinsics, Poses

SIZE_WH = (12, 10)


def rows(count, **columns):
    boxes = np.arange(4.0 * count).reshape(count, 4)
    scores = np.linspace(0.9, 0.5, count)
    return ImagePredictions("a.png", SIZE_WH, boxes, scores, np.zeros(count, np.int64), **columns)


def block(x1, x2):
    mask = np.zeros(SIZE_WH[::-1], np.bool_)
    mask[2:5, x1:x2] = True
    return mask


def merge(found, weights, cluster=None):
    cluster = np.zeros(len(found), np.int64) if cluster is None else np.array(cluster)
    return merge_clusters(found, cluster, np.array(weights, np.float64))


def test_clusters_of_one_stay_bit_for_bit():
    found = rows(3, states=np.array([2, -1, 0]), masks=tuple(masks.encode(block(i, 9)) for i in range(3)))
    found = replace(found, boxes_xyxy_px=found.boxes_xyxy_px / 3)
    kept = merge(found, [0.3, 0.9, 0.1], cluster=[2, 0, 1])
    again = found.take(np.array([1, 2, 0]))
    assert kept.boxes_xyxy_px.tobytes() == again.boxes_xyxy_px.tobytes()
    assert (kept.states.tolist(), kept.masks) == (again.states.tolist(), again.masks)


def test_boxes_are_weighted_means_and_score_and_class_come_from_the_heaviest():
    found = replace(rows(3), class_ids=np.array([4, 4, 5]))
    fused = merge(found, [1, 3, 1], cluster=[0, 0, 1])
    np.testing.assert_allclose(fused.boxes_xyxy_px, [[3, 4, 5, 6], [8, 9, 10, 11]])
    assert fused.scores.tolist() == [0.7, 0.5]
    assert fused.class_ids.tolist() == [4, 5]


def test_states_are_voted_on_and_unknown_ones_do_not_vote():
    found = rows(7, states=np.array([1, 2, 2, -1, 0, -1, -1]))
    fused = merge(found, [5, 3, 3, 9, 1, 1, 1], cluster=[0, 0, 0, 1, 1, 2, 2])
    assert fused.states.tolist() == [2, 0, -1]


def test_state_scores_are_means_of_what_is_known():
    scores = np.array([[0.2, 0.8], [np.nan, np.nan], [0.6, 0.4]])
    fused = merge(rows(3, state_scores=scores), [1, 7, 3])
    np.testing.assert_allclose(fused.state_scores, [[0.5, 0.5]])


def test_masks_are_the_pixels_in_which_half_of_the_weight_agrees():
    found = rows(4, masks=(*(masks.encode(block(*x)) for x in ((1, 6), (2, 7), (3, 8))), None))
    (fused,) = merge(found, [1, 1, 1, 50]).masks
    assert np.array_equal(masks.decode(fused), block(2, 7))
    (heavy,) = merge(found, [3, 1, 1, 50]).masks
    assert np.array_equal(masks.decode(heavy), block(1, 6))
    (two,) = merge(rows(2, masks=(masks.encode(block(1, 4)), masks.encode(block(3, 8)))), [1, 1]).masks
    assert np.array_equal(masks.decode(two), block(1, 8))


def test_masks_that_agree_nowhere_leave_the_heaviest():
    found = rows(3, masks=tuple(masks.encode(block(*x)) for x in ((1, 3), (4, 6), (7, 9))))
    (fused,) = merge(found, [2, 3, 2]).masks
    assert np.array_equal(masks.decode(fused), block(4, 6))


def test_keypoints_are_means_by_weight_and_score_of_what_is_known():
    first = [[1.0, 2.0, 0.5], [np.nan, np.nan, np.nan]]
    second = [[5.0, 6.0, 0.25], [7.0, 7.0, 0.1]]
    visibility = np.array([[-1, 2], [1, 0]])
    found = rows(2, keypoints=np.array([first, second]), keypoint_visibility=visibility)
    fused = merge(found, [1.0, 2.0])
    np.testing.assert_allclose(fused.keypoints[0], [[3, 4, 1 / 3], [7, 7, 0.1]])
    assert fused.keypoint_visibility.tolist() == [[1, 0]]
    assert merge(found, [3.0, 2.0]).keypoint_visibility.tolist() == [[1, 2]]


def test_rotations_are_averaged_as_rotations_in_both_forms():
    rng = np.random.default_rng(0)
    center = random_rotation(rng)
    angles = [-0.3, 0.3, 0.0]
    turned = np.stack([center @ about_z(a) for a in angles])
    poses = Poses(rotations=turned, rot6d=matrix_to_rot6d(turned))
    fused = merge(rows(3, poses=poses), [1, 1, 4]).poses
    np.testing.assert_allclose(fused.rotations[0], center, atol=1e-12)
    np.testing.assert_allclose(fused.rot6d, matrix_to_rot6d(center[None]), atol=1e-12)
    uneven = merge(rows(2, poses=Poses(rotations=turned[:2])), [1, 2]).poses.rotations[0]
    assert np.linalg.det(uneven) == pytest.approx(1)
    np.testing.assert_allclose(uneven @ uneven.T, np.eye(3), atol=1e-12)
    lean = np.arctan2(np.sin(0.3) / 3, np.cos(0.3))  # direction of exp(-0.3 i) + 2 exp(0.3 i)
    np.testing.assert_allclose(uneven, center @ about_z(lean), atol=1e-12)


def about_z(angle):
    c, s = np.cos(angle), np.sin(angle)
    return np.array([[c, -s, 0], [s, c, 0], [0, 0, 1]])


def test_other_values_of_poses_are_means_and_missing_ones_do_not_count():
    poses = Poses(
        translations_m=np.array([[0.0, 0, 1], [1, 1, 3]]),
        log_z=np.array([0.5, np.nan]),
        rotations=np.full((2, 3, 3), np.nan),
    )
    fused = merge(rows(2, poses=poses), [3, 1]).poses
    np.testing.assert_allclose(fused.translations_m, [[0.25, 0.25, 1.5]])
    np.testing.assert_allclose(fused.log_z, [0.5])
    assert np.isnan(fused.rotations).all()
    assert fused.offsets_px is None


def test_free_data_comes_from_the_heaviest_that_has_any():
    found = rows(3, detection_extra=({"id": 1}, None, {"id": 3}))
    assert merge(found, [1, 5, 2]).detection_extra == ({"id": 3},)
    assert merge(rows(2, detection_extra=(None, None)), [1, 5]).detection_extra == (None,)


def seen(weight=1.0, **values):
    return ViewResult(replace(rows(1), **values), weight, (0, 0, 12, 10))


def test_all_detections_are_joined_and_say_where_they_come_from():
    joined, origin = join_results([seen(), seen(states=np.array([3]))])
    assert len(joined) == 2
    assert origin.tolist() == [0, 1]
    assert joined.states.tolist() == [-1, 3]


def test_class_scores_of_images_are_means():
    first, second = Classification(0, 0.9, (0.9, 0.1)), Classification(1, 0.8, (0.2, 0.8))
    joined, _ = join_results([seen(classification=first), seen(3.0, classification=second)])
    assert joined.classification.class_id == 1
    assert joined.classification.scores == pytest.approx((0.375, 0.625))
    assert joined.classification.score == pytest.approx(0.625)


def test_classes_of_images_without_all_scores_are_voted_on():
    found = [Classification(2, 0.4), Classification(2, 0.5), Classification(1, 0.8), None]
    joined, _ = join_results([seen(classification=one) for one in found])
    assert joined.classification == Classification(2, pytest.approx(0.45))
    alone, _ = join_results([seen(), seen(classification=found[2])])
    assert alone.classification == found[2]


def test_semantic_masks_are_voted_on_pixel_by_pixel():
    left, wide, right = (masks.encode(block(*x)) for x in ((1, 4), (1, 8), (5, 8)))
    results = [
        seen(semantic_mask={7: left}),
        seen(2.0, semantic_mask={9: right}),
        seen(1.5, semantic_mask={7: wide}),
    ]
    joined, _ = join_results(results)
    assert {c: masks.decode(m).tolist() for c, m in joined.semantic_mask.items()} == {
        7: block(1, 5).tolist(),
        9: block(5, 8).tolist(),
    }


def test_the_camera_and_free_data_of_the_image_come_from_the_first_result():
    first = seen(intrinsics=Intrinsics(1, 2, 3, 4), preprocess={"size": 1}, extra={"a": 1})
    joined, _ = join_results([first, seen(intrinsics=None, preprocess={"size": 2}, extra={"b": 1})])
    assert joined.intrinsics == Intrinsics(1, 2, 3, 4)
    assert (joined.preprocess, joined.extra) == ({"size": 1}, {"a": 1})


def tile(boxes, window, class_ids=None):
    """A result whose window is a part of an image of 200 x 100."""
    count = len(boxes)
    ids = np.zeros(count, np.int64) if class_ids is None else np.array(class_ids)
    found = ImagePredictions(
        "a.png", (200, 100), np.array(boxes, np.float64).reshape(-1, 4), np.ones(count), ids
    )
    return ViewResult(found, 1.0, window)


WHOLE, LEFT, RIGHT = (0.0, 0.0, 200.0, 100.0), (0.0, 0.0, 100.0, 100.0), (100.0, 0.0, 200.0, 100.0)


def test_a_piece_goes_where_another_view_has_the_object_whole():
    whole, piece = tile([[60, 20, 140, 60]], WHOLE), tile([[60, 20, 99, 60], [5, 5, 20, 20]], LEFT)
    assert [kept.tolist() for kept in whole_rows([whole, piece])] == [[0], [1]]
    joined, origin = join_results([whole, piece])
    assert joined.boxes_xyxy_px.tolist() == [[60, 20, 140, 60], [5, 5, 20, 20]]
    assert origin.tolist() == [0, 1]


def test_a_piece_stays_where_nothing_whole_of_its_class_covers_it():
    pieces = [tile([[60, 20, 100, 60]], LEFT), tile([[100, 20, 140, 60]], RIGHT)]
    assert [len(kept) for kept in whole_rows(pieces)] == [1, 1]
    other_class = tile([[60, 20, 140, 60]], WHOLE, [1])
    assert [len(kept) for kept in whole_rows([other_class, pieces[0]])] == [1, 1]


def test_a_box_at_an_edge_of_the_image_is_no_piece():
    whole, corner = tile([[0, 0, 50, 100]], WHOLE), tile([[0, 0, 48, 100]], LEFT)
    assert [len(kept) for kept in whole_rows([whole, corner])] == [1, 1]


@pytest.mark.parametrize("order", [[0, 1, 2, 3], [1, 2, 3, 0], [2, 3, 0, 1], [3, 2, 1, 0], [1, 0, 3, 2]])
def test_corners_of_oriented_boxes_are_averaged_with_those_next_to_them(order):
    box = np.array([[10.0, 0], [30, 10], [20, 30], [0, 20]])
    points = np.full((2, 4, 3), np.nan)
    points[0, :, :2], points[1, :, :2] = box, (box + 2)[order]
    merged = merge(rows(2, keypoints=points), [1.0, 1.0])
    assert merged.keypoints[0, :, :2].tolist() == (box + 1).tolist()


def test_four_keypoints_with_scores_keep_their_names():
    points = np.array(
        [[[0.0, 0, 1], [9, 0, 1], [9, 9, 1], [0, 9, 1]], [[9.0, 0, 1], [9, 9, 1], [0, 9, 1], [0, 0, 1]]]
    )
    merged = merge(rows(2, keypoints=points), [1.0, 1.0])
    assert merged.keypoints[0, :, :2].tolist() == points[..., :2].mean(axis=0).tolist()
