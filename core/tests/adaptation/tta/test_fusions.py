"""The fusions against the package ``ensemble-boxes``, and what they do with results."""

from __future__ import annotations

import importlib.util
import sys
from dataclasses import replace
from functools import cache, partial
from types import SimpleNamespace

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

import anydet
from anydet.adaptation.tta import fusions
from anydet.adaptation.tta.fusions import (
    NonMaximumSuppression,
    NonMaximumWeighted,
    SoftNonMaximumSuppression,
    WeightedBoxesFusion,
    cluster_boxes,
)
from anydet.contract.encode import encode_entry
from anydet.contract.write import write_predictions
from anydet.data.opening import open_dataset
from anydet.geometry.boxes import iou_xyxy, nms_by_class, xywh_to_xyxy
from anydet.prediction.hooks import FusionSettings, ViewResult
from anydet.testing import FusionConformance
from anydet.types import ImagePredictions, Poses

SIZE_WH = (640, 480)
SCALE = np.array([640.0, 480.0, 640.0, 480.0])


def nms(iou_threshold=0.6):
    return NonMaximumSuppression(FusionSettings({"iou_threshold": iou_threshold}))


def wbf(iou_threshold=0.55, score_threshold=0.0):
    options = {"iou_threshold": iou_threshold, "score_threshold": score_threshold}
    return WeightedBoxesFusion(FusionSettings(options))


def nmw(iou_threshold=0.55, score_threshold=0.0):
    options = {"iou_threshold": iou_threshold, "score_threshold": score_threshold}
    return NonMaximumWeighted(FusionSettings(options))


def soft_nms(decay="gaussian", iou_threshold=0.5, sigma=0.5, score_threshold=0.001):
    options = {"iou_threshold": iou_threshold, "score_threshold": score_threshold, "sigma": sigma}
    return SoftNonMaximumSuppression(FusionSettings({**options, "decay": decay}))


FUSIONS = [nms(), wbf(), nmw(), soft_nms(), soft_nms("linear")]


def result(boxes, scores, class_ids, weight=1.0, window=(0.0, 0.0, 640.0, 480.0)):
    boxes = np.asarray(boxes, np.float64).reshape(-1, 4)
    class_ids = np.asarray(class_ids, np.int64)
    found = ImagePredictions("a.png", SIZE_WH, boxes, np.asarray(scores, np.float64), class_ids)
    return ViewResult(found, weight, window)


@pytest.fixture(scope="module")
def oracle():
    """Gives a module of the package ``ensemble-boxes``, whose ``__init__`` imports numba without need."""
    package = importlib.util.find_spec("ensemble_boxes")
    if package is None:
        pytest.skip("needs the package ensemble-boxes, installed without its dependencies")

    def load(name):
        path = f"{package.submodule_search_locations[0]}/{name}.py"
        spec = importlib.util.spec_from_file_location(name, path)
        module = importlib.util.module_from_spec(spec)
        with pytest.MonkeyPatch.context() as patch:
            # Only makes it faster.
            patch.setitem(sys.modules, "numba", SimpleNamespace(jit=lambda **_: lambda function: function))
            spec.loader.exec_module(module)
        # It sums boxes in single precision: an IoU within that of the threshold may fall on its other side.
        module.np = SimpleNamespace(**{**vars(np), "float32": np.float64})
        return module

    return cache(load)


def random_results(rng, views, boxes, classes):
    """Views that find the same objects, each a little elsewhere, and some alone."""
    corners = rng.uniform(0, 0.8, (boxes, 2))
    objects = np.concatenate([corners, corners + rng.uniform(0.02, 0.2, (boxes, 2))], axis=1)
    class_ids = rng.integers(0, classes, boxes)
    found = []
    for _ in range(views):
        seen = rng.random(boxes) < 0.8
        moved = np.clip(objects[seen] + rng.normal(0, 0.008, (seen.sum(), 4)), 0, 1)
        moved = np.concatenate([np.minimum(moved[:, :2], moved[:, 2:] - 1e-3), moved[:, 2:]], axis=1)
        found.append((np.clip(moved, 0, 1), rng.uniform(0.01, 1, seen.sum()), class_ids[seen]))
    return found


@pytest.mark.slow
@settings(max_examples=60, deadline=None)
@given(
    st.integers(0, 2**32 - 1),
    st.integers(1, 4),
    st.integers(0, 120),
    st.sampled_from([1, 2, 7, 80]),
    st.sampled_from([0.3, 0.55, 0.7]),
    st.sampled_from([0.0, 0.2]),
    st.booleans(),
)
def test_weighted_boxes_fusion_equals_ensemble_boxes(
    oracle, seed, views, boxes, classes, threshold, floor, weighted
):
    rng = np.random.default_rng(seed)
    found = random_results(rng, views, boxes, classes)
    weights = rng.uniform(0.5, 3, views) if weighted else np.ones(views)
    theirs = oracle("ensemble_boxes_wbf").weighted_boxes_fusion(
        [b for b, _, _ in found],
        [s for _, s, _ in found],
        [c for _, _, c in found],
        weights=weights.tolist(),
        iou_thr=threshold,
        skip_box_thr=floor,
    )
    given_results = [result(b * SCALE, s, c, w) for (b, s, c), w in zip(found, weights, strict=True)]
    ours = wbf(threshold, floor).fuse(given_results)
    assert len(ours) == len(theirs[0])
    if not len(ours):
        return
    # Theirs may be above 1 where one heavy view finds an object twice; ours is a score.
    assert_same(ours, theirs[0], np.minimum(theirs[1], 1), theirs[2])


def assert_same(ours, boxes, scores, class_ids):
    """The same detections in any order; boxes are normalized."""
    expected = np.column_stack([boxes, scores, class_ids])
    columns = np.column_stack([ours.boxes_xyxy_px / SCALE, ours.scores, ours.class_ids])
    assert len(columns) == len(expected)
    nearest = np.abs(columns[:, None] - expected).max(axis=2).argmin(axis=1)
    assert sorted(nearest.tolist()) == list(range(len(ours)))
    np.testing.assert_allclose(columns, expected[nearest], atol=1e-9)


problems = given(
    st.integers(0, 2**32 - 1),
    st.integers(1, 4),
    st.integers(1, 120),
    st.sampled_from([1, 2, 7, 80]),
    st.sampled_from([0.3, 0.55, 0.7]),
)


@pytest.mark.slow
@settings(max_examples=40, deadline=None)
@problems
def test_non_maximum_weighted_equals_ensemble_boxes(oracle, seed, views, boxes, classes, threshold):
    rng = np.random.default_rng(seed)
    found = random_results(rng, views, boxes, classes)
    weights = rng.uniform(0.5, 3, views)
    boxes, scores, class_ids = zip(*found, strict=True)
    theirs = oracle("ensemble_boxes_nmw").non_maximum_weighted(
        boxes, scores, class_ids, weights=weights.tolist(), iou_thr=threshold, skip_box_thr=0.1
    )
    given_results = [result(b * SCALE, s, c, w) for (b, s, c), w in zip(found, weights, strict=True)]
    ours = nmw(threshold, 0.1).fuse(given_results)
    if len(ours) or len(theirs[0]):
        assert_same(ours, *theirs)


@pytest.mark.parametrize(("decay", "method"), [("linear", 1), ("gaussian", 2)])
@settings(max_examples=40, deadline=None)
@problems
def test_soft_nms_equals_ensemble_boxes(oracle, decay, method, seed, views, boxes, classes, threshold):
    """Their function gives scores as they were; what they decay to is left in the array that it is given."""
    found = random_results(np.random.default_rng(seed), views, boxes, classes)
    boxes, scores, class_ids = map(np.concatenate, zip(*found, strict=True))
    theirs = []
    for class_id in np.unique(class_ids):
        rows = class_ids == class_id
        left = scores[rows].copy()
        keep = oracle("ensemble_boxes_nms").cpu_soft_nms_float(
            boxes[rows].copy(), left, threshold, 0.4, 0.05, method
        )
        theirs += [(box, s, class_id) for box, s in zip(boxes[rows][keep], left[left > 0.05], strict=True)]
    ours = soft_nms(decay, threshold, 0.4, 0.05).fuse([result(b * SCALE, s, c) for b, s, c in found])
    if theirs or len(ours):
        assert_same(ours, *zip(*theirs, strict=True))


def test_the_best_score_comes_first():
    fused = wbf().fuse([result([[0, 0, 9, 9], [50, 50, 60, 60]], [0.2, 0.9], [0, 0]), result([], [], [])])
    assert fused.scores.tolist() == pytest.approx([0.45, 0.1])


def test_an_object_that_every_view_finds_alike_keeps_its_box_and_score():
    one = result([[10, 20, 110, 220]], [0.75], [3])
    fused = wbf().fuse([one, one, one])
    assert fused.boxes_xyxy_px.tolist() == [[10, 20, 110, 220]]
    assert fused.scores.tolist() == pytest.approx([0.75])
    assert fused.class_ids.tolist() == [3]


def test_a_tile_that_cannot_see_an_object_does_not_lower_its_score():
    left = result([[10, 10, 30, 30]], [0.8], [0], window=(0, 0, 320, 480))
    right = result([[500, 10, 530, 30]], [0.6], [0], window=(320, 0, 640, 480))
    assert wbf().fuse([left, right]).scores.tolist() == pytest.approx([0.8, 0.6])
    whole = result([[10, 10, 30, 30]], [0.8], [0])
    assert wbf().fuse([whole, left, right]).scores.tolist() == pytest.approx([0.8, 0.3])


def test_a_tile_that_shows_a_part_of_an_object_does_not_lower_its_score():
    whole = result([[100, 10, 600, 300]], [0.8], [0])
    tile = result([], [], [], window=(0, 0, 400, 480))
    assert wbf().fuse([whole, tile]).scores.tolist() == pytest.approx([0.8])


@pytest.mark.parametrize("fusion", FUSIONS)
def test_nothing_found_is_nothing_fused(fusion):
    fused = fusion.fuse([result([], [], []), result([], [], [])])
    assert (len(fused), fused.size_wh, fused.image) == (0, SIZE_WH, "a.png")


@pytest.mark.parametrize("fusion", FUSIONS)
def test_scores_of_zero_and_boxes_without_area_are_no_error(fusion):
    twice = result([[5, 5, 5, 9], [10, 10, 20, 20]], [0.0, 0.0], [0, 0])
    fused = fusion.fuse([twice, twice])
    assert np.isfinite(fused.boxes_xyxy_px).all()
    assert (fused.scores == 0).all()


def test_nmw_scores_count_relative_to_the_heaviest_view():
    light, heavy = result([[0, 0, 10, 10]], [0.9], [0]), result([[50, 50, 60, 60]], [0.5], [0], weight=2)
    fused = nmw().fuse([light, heavy])
    assert fused.scores.tolist() == pytest.approx([0.5, 0.45])


def test_soft_nms_lowers_a_score_by_each_better_box_that_it_overlaps():
    three = result([[0, 0, 10, 10], [0, 0, 10, 8], [0, 0, 10, 5]], [0.9, 0.8, 0.7], [0, 0, 0])
    fused = soft_nms("linear", 0.4).fuse([three, result([], [], [])])
    # The second falls to 0.8 x 0.2, below the third, 0.7 x 0.5, which then lowers it by their IoU of 5/8.
    assert fused.scores.tolist() == pytest.approx([0.9, 0.35, 0.16 * 0.375])
    assert fused.boxes_xyxy_px[:, 3].tolist() == [10, 5, 8]


def test_nms_takes_the_rotation_that_a_mirror_lacks_from_what_it_suppresses():
    turned = np.array([[[0.0, -1, 0], [1, 0, 0], [0, 0, 1]]])
    straight, mirrored = result([[0, 0, 10, 10]], [0.5], [0]), result([[0, 0, 10, 11]], [0.9], [0])
    with_rotation = Poses(rotations=turned, translations_m=np.array([[0.0, 0, 1]]))
    without = Poses(translations_m=np.array([[0.0, 0, 2]]))
    fused = nms().fuse(
        [
            replace(straight, predictions=replace(straight.predictions, poses=with_rotation)),
            replace(mirrored, predictions=replace(mirrored.predictions, poses=without)),
        ]
    )
    assert fused.scores.tolist() == [0.9]
    assert np.array_equal(fused.poses.rotations, turned)
    assert fused.poses.translations_m.tolist() == [[0, 0, 2]]


def test_nms_keeps_the_detections_that_torchvision_would_keep():
    rng = np.random.default_rng(5)
    found = random_results(rng, 3, 90, 5)
    results = [result(boxes * SCALE, scores, class_ids) for boxes, scores, class_ids in found]
    fused = nms(0.5).fuse(results)
    boxes = np.concatenate([r.predictions.boxes_xyxy_px for r in results])
    scores = np.concatenate([r.predictions.scores for r in results])
    class_ids = np.concatenate([r.predictions.class_ids for r in results])
    kept = nms_by_class(boxes, scores, class_ids, 0.5)
    assert np.array_equal(fused.boxes_xyxy_px, boxes[kept])
    assert np.array_equal(fused.scores, scores[kept])


def test_nms_prefers_the_view_of_more_weight_and_leaves_scores_alone():
    better, heavier = result([[0, 0, 10, 10]], [0.9], [0]), result([[0, 0, 10, 11]], [0.5], [0], weight=2)
    fused = nms().fuse([better, heavier])
    assert fused.boxes_xyxy_px.tolist() == [[0, 0, 10, 11]]
    assert fused.scores.tolist() == [0.5]


@settings(max_examples=40, deadline=None)
@given(
    st.integers(0, 2**32 - 1),
    st.sampled_from([partial(nms, 0.5), partial(wbf, 0.5), partial(nmw, 0.5), soft_nms]),
)
def test_fused_detections_do_not_depend_on_the_order_of_the_views(seed, fusion):
    results = [
        result(boxes * SCALE, scores, class_ids)
        for boxes, scores, class_ids in random_results(np.random.default_rng(seed), 3, 30, 4)
    ]
    forth, back = fusion().fuse(results), fusion().fuse(results[::-1])
    assert len(forth) == len(back)
    np.testing.assert_allclose(forth.scores, back.scores, atol=1e-12)
    np.testing.assert_allclose(forth.boxes_xyxy_px, back.boxes_xyxy_px, atol=1e-9)


def test_boxes_that_stay_apart_in_nms_overlap_less_than_the_threshold():
    rng = np.random.default_rng(8)
    results = [result(b * SCALE, s, c) for b, s, c in random_results(rng, 4, 60, 1)]
    fused = nms(0.4).fuse(results)
    overlap = iou_xyxy(fused.boxes_xyxy_px, fused.boxes_xyxy_px)
    assert overlap[~np.eye(len(fused), dtype=bool)].max() <= 0.4


def crowd(seed, count, classes):
    """Boxes, scores and class ids around a few objects."""
    rng = np.random.default_rng(seed)
    centers = rng.uniform(50, 400, (max(1, count // 8), 2))
    middles = centers[rng.integers(0, len(centers), count)] + rng.normal(0, 6, (count, 2))
    sides = rng.uniform(20, 60, (count, 2))
    found = np.concatenate([middles - sides / 2, middles + sides / 2], axis=1)
    return found, np.round(rng.random(count), 2), rng.integers(0, classes, count)


@pytest.mark.slow
@given(st.integers(0, 10_000), st.integers(0, 60), st.integers(1, 4), st.sampled_from([0.2, 0.55, 0.9]))
def test_clusters_are_the_same_class_by_class_and_all_classes_at_once(seed, count, classes, threshold):
    boxes, scores, class_ids = crowd(seed, count, classes)
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(fusions, "_STEP_ALONE", 1e9)
        at_once = cluster_boxes(boxes, scores, class_ids, threshold)
        patch.setattr(fusions, "_STEP_ALONE", 0.0)
        in_turn = cluster_boxes(boxes, scores, class_ids, threshold)
    same = at_once[:, None] == at_once
    np.testing.assert_array_equal(same, in_turn[:, None] == in_turn)
    assert set(in_turn.tolist()) == set(range(len(set(in_turn.tolist()))))


@pytest.mark.slow
@given(st.integers(0, 10_000), st.integers(1, 80), st.integers(1, 4), st.sampled_from(["linear", "gaussian"]))
def test_scores_decay_the_same_in_turn_and_at_once(seed, count, classes, decay):
    boxes, scores, class_ids = crowd(seed, count, classes)
    given_results = [result(boxes, scores, class_ids)]
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(fusions, "_FEW", 0)
        in_turn = soft_nms(decay, 0.3).fuse(given_results)
        patch.setattr(fusions, "_FEW", 1000)
        at_once = soft_nms(decay, 0.3).fuse(given_results)
    np.testing.assert_allclose(in_turn.scores, at_once.scores, atol=1e-12)
    rows, columns = (np.lexsort((*one.boxes_xyxy_px.T, one.class_ids)) for one in (in_turn, at_once))
    np.testing.assert_array_equal(in_turn.boxes_xyxy_px[rows], at_once.boxes_xyxy_px[columns])
    np.testing.assert_allclose(in_turn.scores[rows], at_once.scores[columns], atol=1e-12)


@pytest.fixture(scope="module")
def labels_as_results(coco128):
    """The objects of each of 128 photographs, crowds aside, as a perfect detector would find them."""
    found = []
    for record in open_dataset(coco128):
        labels = record.labels.take(~record.labels.iscrowd)
        boxes = xywh_to_xyxy(labels.boxes_xywh_px)
        found.append(
            ImagePredictions(record.key, record.size_wh, boxes, np.ones(len(labels)), labels.class_ids)
        )
    return found


def fused_with_itself(fusion, found):
    window = (0.0, 0.0, *map(float, found.size_wh))
    return fusion.fuse([ViewResult(found, 1.0, window)] * 2)


def most_overlap(found):
    """The largest IoU of two boxes of one class."""
    same = found.class_ids[:, None] == found.class_ids
    iou = iou_xyxy(found.boxes_xyxy_px, found.boxes_xyxy_px)
    return np.where(same & ~np.eye(len(found), dtype=bool), iou, 0.0).max(initial=0.0)


@pytest.mark.parametrize(
    ("fusion", "threshold", "fewest"),
    [(nms(0.6), 0.6, 120), (wbf(0.55), 0.55, 120), (wbf(0.65), 0.65, 120), (nmw(0.65), 0.65, 120)],
    ids=["nms", "wbf-0.55", "wbf-0.65", "nmw"],
)
def test_perfect_results_stay_perfect_where_no_two_objects_of_a_class_overlap_beyond_the_threshold(
    labels_as_results, fusion, threshold, fewest
):
    apart = [found for found in labels_as_results if most_overlap(found) <= threshold]
    assert len(apart) >= fewest
    for found in apart:
        fused = fused_with_itself(fusion, found)
        assert len(fused) == len(found)
        rows, columns = (np.lexsort((*one.boxes_xyxy_px.T, one.class_ids)) for one in (found, fused))
        np.testing.assert_allclose(fused.boxes_xyxy_px[columns], found.boxes_xyxy_px[rows], atol=1e-9)
        np.testing.assert_array_equal(fused.class_ids[columns], found.class_ids[rows])
        np.testing.assert_array_equal(fused.scores, np.ones(len(found)))


@pytest.mark.parametrize(("decay", "threshold"), [("gaussian", 0.0), ("linear", 0.5)])
def test_soft_nms_keeps_perfect_results_first_and_their_doubles_after_them(
    labels_as_results, decay, threshold
):
    fusion = soft_nms(decay)
    apart = [found for found in labels_as_results if len(found) and most_overlap(found) <= threshold]
    assert len(apart) > 60
    for found in apart:
        fused = fused_with_itself(fusion, found)
        first = fused.take(np.arange(len(found)))
        rows, columns = (np.lexsort((*one.boxes_xyxy_px.T, one.class_ids)) for one in (found, first))
        np.testing.assert_array_equal(first.boxes_xyxy_px[columns], found.boxes_xyxy_px[rows])
        np.testing.assert_array_equal(first.scores, np.ones(len(found)))
        assert (fused.scores[len(found) :] < 0.2).all()


@pytest.mark.parametrize(("threshold", "objects", "ap"), [(0.55, 924, 0.9878), (0.65, 927, 0.9915)])
def test_what_wbf_costs_perfect_results_is_what_the_docs_say(
    labels_as_results, coco128, tmp_path, threshold, objects, ap
):
    fused = [fused_with_itself(wbf(threshold), found) for found in labels_as_results]
    assert sum(map(len, labels_as_results)) == 929
    assert sum(map(len, fused)) == objects
    write_predictions(map(encode_entry, fused), tmp_path / "twice.json")
    assert anydet.evaluate(coco128, tmp_path / "twice.json").metrics["AP"] == pytest.approx(ap, abs=5e-5)


class TestNonMaximumSuppression(FusionConformance):
    fusion = "nms"


class TestWeightedBoxesFusion(FusionConformance):
    fusion = "wbf"


class TestNonMaximumWeighted(FusionConformance):
    fusion = "nmw"


class TestSoftNonMaximumSuppression(FusionConformance):
    fusion = "soft-nms"
