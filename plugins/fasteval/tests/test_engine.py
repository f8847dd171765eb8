"""What only the compiled engine has: its own rasterizer, threads, and checks of what it is given."""

from __future__ import annotations

from dataclasses import fields, replace

import numpy as np
import pycocotools.mask as coco_mask
import pytest

from anydet.errors import EvaluationError
from anydet.evaluation.matches import Matches
from anydet.evaluation.protocol import CocoSettings
from anydet.evaluation.pycocotools_engine import PycocotoolsEngine
from anydet.geometry import masks
from anydet.types import RLE, ClassTable, DetectionColumns, GroundTruthColumns, Labels
from anydet_fasteval import _engine
from anydet_fasteval.engine import FastEngine

SIZE_WH = (37, 31)


def random_ring(rng):
    """Corners on pixels, between them, twice at one place, far outside, or all within one pixel."""
    count, kind = rng.integers(3, 9), rng.integers(0, 6)
    corners = rng.uniform(-5, 45, (count, 2)) if kind < 2 else rng.integers(-3, 40, (count, 2)) * 1.0
    if kind == 5:
        corners = np.repeat(corners, 2, axis=0) / 2.5
    if rng.random() < 0.2:
        corners = corners * rng.choice([1e-3, 10.0])
    return tuple(corners.ravel().tolist())


def problem_of_polygons(polygons):
    """Polygons as ground truth, and what pycocotools makes of them as detections, an image each."""
    width, height = SIZE_WH
    codes = [
        coco_mask.merge(coco_mask.frPyObjects([list(r) for r in rings], height, width)) for rings in polygons
    ]
    count = len(polygons)
    index, one, box = np.arange(count), np.ones(count), np.zeros((count, 4))
    images = tuple(map(str, range(count)))
    sizes = np.tile(SIZE_WH, (count, 1))
    none = np.zeros(count, np.int64)
    found = tuple(RLE((height, width), code["counts"].decode()) for code in codes)
    labels = Labels(none, box, one, none.astype(np.bool_), segmentations=polygons)
    truth = GroundTruthColumns(images, sizes, index, labels, ClassTable(("thing",)), "test")
    return DetectionColumns(images, sizes, index, none, box, one, one, masks=found), truth, codes


def test_polygons_become_the_pixels_that_pycocotools_makes_of_them():
    rng = np.random.default_rng(0)
    polygons = tuple(tuple(random_ring(rng) for _ in range(rng.integers(1, 4))) for _ in range(3000))
    found, truth, codes = problem_of_polygons(polygons)
    params = CocoSettings("segm", iou_thresholds=(1.0,)).params(1)
    matches = FastEngine(1).match(found, truth, params)
    empty = [not coco_mask.area(code) for code in codes]
    assert sum(empty) < len(empty) / 2
    unmatched = np.setdiff1d(np.arange(len(found)), matches.rows[matches.matched])
    np.testing.assert_array_equal(unmatched, np.flatnonzero(empty))


def test_masks_of_any_shape_overlap_as_in_pycocotools():
    rng = np.random.default_rng(0)
    height, width, count = 23, 190, 400
    columns, lines = np.arange(width), np.arange(height)[:, None]
    codes = []
    for _ in range(2 * count):
        # Bars and single pixels, with gaps of many columns between them.
        pixels = (columns % rng.integers(1, 60) < rng.integers(1, 4)) & (lines % rng.integers(1, 24) < 12)
        pixels &= (columns >= rng.integers(0, width)) | (rng.random() < 0.5)
        code = coco_mask.encode(np.asfortranarray(pixels.astype(np.uint8)))
        codes.append(RLE((height, width), code["counts"].decode()))
    image = np.repeat(np.arange(20), count // 20)
    one, none = np.ones(count), np.zeros(count, np.int64)
    keys, sizes = tuple(map(str, range(20))), np.tile([width, height], (20, 1))
    areas = np.array([float(masks.area(code)) for code in codes])
    box = np.zeros((count, 4))
    labels = Labels(none, box, areas[count:], rng.random(count) < 0.2, segmentations=tuple(codes[count:]))
    truth = GroundTruthColumns(keys, sizes, image, labels, ClassTable(("thing",)), "test")
    found = DetectionColumns(
        keys, sizes, image, none, box, rng.random(count), one, masks=tuple(codes[:count])
    )
    settings = CocoSettings("segm", iou_thresholds=(0.1, 0.3, 0.5))
    assert_same_as_pycocotools((found, truth), settings.params(1))


def test_a_polygon_far_out_of_its_image_is_an_error():
    found, truth, _ = problem_of_polygons((((0.0, 0.0, 9.0, 0.0, 9.0, 9.0),),))
    far = (((0.0, 0.0, 1e9, 0.0, 1.0, 1.0),),)
    truth = replace(truth, labels=replace(truth.labels, segmentations=far))
    with pytest.raises(EvaluationError, match="far out of its image"):
        FastEngine(1).match(found, truth, CocoSettings("segm").params(1))


def large_problem(seed=0, images=700, detections=20_000, truths=5_000):
    rng = np.random.default_rng(seed)
    keys, sizes = tuple(map(str, range(images))), np.tile([640, 480], (images, 1))

    def things(count):
        boxes = rng.integers(0, 60, (count, 4)) * 1.0 + [0, 0, 1, 1]
        return rng.integers(0, images, count), rng.integers(0, 7, count), boxes

    image, classes, boxes = things(truths)
    labels = Labels(classes, boxes, boxes[:, 2] * boxes[:, 3], rng.random(truths) < 0.1)
    truth = GroundTruthColumns(keys, sizes, image, labels, ClassTable(tuple("abcdefg")), "test")
    image, classes, boxes = things(detections)
    scores = rng.choice([0.1, 0.2, 0.3, 0.4], detections)
    areas = boxes[:, 2] * boxes[:, 3]
    return DetectionColumns(keys, sizes, image, classes, boxes, scores, areas), truth


@pytest.mark.parametrize("threads", [2, 3, 8])
def test_the_number_of_threads_changes_nothing(threads, monkeypatch):
    monkeypatch.setattr("anydet_fasteval.engine._ROWS_PER_THREAD", 100)
    problem, params = large_problem(), CocoSettings(max_detections=(1, 3, 5)).params(7)
    one, many = (FastEngine(n).match(*problem, params) for n in (1, threads))
    for column in fields(Matches):
        np.testing.assert_array_equal(getattr(one, column.name), getattr(many, column.name), column.name)
    first, second = FastEngine(1).accumulate(one, params), FastEngine(threads).accumulate(one, params)
    np.testing.assert_array_equal(first.precision, second.precision)
    np.testing.assert_array_equal(first.recall, second.recall)
    np.testing.assert_array_equal(first.scores, second.scores)


def assert_same_as_pycocotools(problem, params):
    engines = FastEngine(2), PycocotoolsEngine()
    found, wanted = (engine.accumulate(engine.match(*problem, params), params) for engine in engines)
    for name in ("precision", "recall", "scores"):
        np.testing.assert_array_equal(getattr(found, name), getattr(wanted, name), name)
    assert (wanted.precision > 0).any()


@pytest.mark.slow
def test_scores_that_agree_in_their_upper_bits_rank_by_the_lower_ones():
    detections, truth = large_problem(images=60)
    rng = np.random.default_rng(0)
    scores = rng.choice([0.25, 0.5, 1.0], len(detections)) + rng.integers(0, 50, len(detections)) * 2.0**-48
    problem = replace(detections, scores=scores), truth
    assert_same_as_pycocotools(problem, CocoSettings().params(7))


@pytest.mark.slow
@pytest.mark.parametrize("recalls", [(0.0, 0.5, 0.5, 1.0), (0.0, 0.9, 0.1), (0.3, 1.5, 3.0)])
def test_any_recall_thresholds_are_read_as_pycocotools_does(recalls):
    params = replace(CocoSettings().params(7), recall_thresholds=np.array(recalls))
    assert_same_as_pycocotools(large_problem(images=60), params)


@pytest.mark.slow
@pytest.mark.parametrize("thresholds", [(0.5, 0.75), (0.05, 0.95), (0.0,)])
def test_pairs_of_keypoints_are_left_out_only_below_the_lowest_threshold(thresholds):
    """Distances and areas from far below to far above those at which a pair may match."""
    detections, truth = large_problem(images=300, detections=4_000, truths=900)
    rng = np.random.default_rng(0)
    points = rng.integers(0, 90, (len(truth), 5, 3)) * 1.0
    points[..., 2] = rng.choice([0, 0, 1, 2], points.shape[:2])
    near = points[rng.integers(0, len(truth), len(detections))]
    for image in range(300):
        own = np.flatnonzero(truth.image_index == image)
        rows = np.flatnonzero(detections.image_index == image)
        near[rows] = points[rng.choice(own, len(rows))] if len(own) else near[rows]
    distances = rng.choice([0.0, 0.3, 3.0, 30.0], (len(detections), 1, 1))
    found = near + rng.normal(0, 1, near.shape) * distances
    found[rng.random(found.shape[:2]) < 0.05] = np.nan
    areas = rng.choice([0.0, 1.0, 30.0, 3000.0], len(truth))
    truth = replace(truth, labels=replace(truth.labels, keypoints=points, areas=areas))
    settings = CocoSettings(
        "keypoints", iou_thresholds=thresholds, keypoint_sigmas=(0.02, 0.1, 0.3, 0.5, 0.05)
    )
    assert_same_as_pycocotools((replace(detections, keypoints=found), truth), settings.params(7))


def test_keypoints_that_are_compared_piece_by_piece_give_the_same(monkeypatch):
    detections, truth = large_problem(images=20, detections=400, truths=90)
    rng = np.random.default_rng(0)
    found, points = (rng.integers(0, 90, (len(side), 5, 3)) * 1.0 for side in (detections, truth))
    detections = replace(detections, keypoints=found)
    truth = replace(truth, labels=replace(truth.labels, keypoints=points))
    params = CocoSettings("keypoints", iou_thresholds=(0.0, 0.5), keypoint_sigmas=(0.5,) * 5).params(7)
    whole = FastEngine(2).match(detections, truth, params)
    for most in (1, 30, 200):
        monkeypatch.setattr("anydet_fasteval.engine._KEYPOINTS_AT_ONCE", most)
        parts = FastEngine(2).match(detections, truth, params)
        for name in ("matched", "hits", "ignored"):
            np.testing.assert_array_equal(getattr(parts, name), getattr(whole, name))


@pytest.mark.slow
@pytest.mark.parametrize("workers", [1, 4])
def test_more_keypoints_of_pairs_than_fit_into_memory_are_refused(workers):
    count, keypoints = 600, 200  # 600 x 600 x 200 > 2^26
    ids, numbers, flags = np.zeros(count, np.int64), np.ones(count), np.zeros(count, np.uint8)
    limits = _engine.Limits(1, 1, [0.0], np.array([[0.0, 1e10]]), 100)
    detections = _engine.Detections(ids, ids, numbers, numbers)
    truth = _engine.Truth(ids, ids, numbers, flags, flags)
    points, boxes = np.ones((count, keypoints, 3)), np.ones((count, 4))
    with pytest.raises(ValueError, match=r"2\^26 keypoints of pairs at once"):
        _engine.keypoint_exponents(
            detections, points, truth, points, boxes, np.ones((1, keypoints)), limits, workers
        )


def test_columns_that_do_not_fit_are_refused_before_anything_is_read():
    ids, numbers, flags = np.zeros(2, np.int64), np.zeros(2), np.zeros(2, np.uint8)
    limits = _engine.Limits(1, 1, [0.5], np.array([[0.0, 1e10]]), 100)
    truth = _engine.Truth(ids, ids, numbers, flags, flags)
    boxes = np.zeros((2, 4))
    short = _engine.Detections(ids, ids, numbers, numbers[:1])
    beyond = _engine.Detections(ids + 1, ids, numbers, numbers)
    good = _engine.Detections(ids, ids, numbers, numbers)
    with pytest.raises(ValueError, match="different length"):
        _engine.match_boxes(short, boxes, truth, boxes, limits, 1)
    with pytest.raises(ValueError, match="outside its table"):
        _engine.match_boxes(beyond, boxes, truth, boxes, limits, 1)
    with pytest.raises(ValueError, match="different length"):
        _engine.match_boxes(good, boxes[:1], truth, boxes, limits, 1)
    with pytest.raises(ValueError, match="area ranges"):
        _engine.Limits(1, 1, [], np.array([[0.0, 1e10]]), 100)


@pytest.mark.parametrize(
    ("change", "message"),
    [
        ({"scores": np.array([0.5, np.nan])}, "a score that is not a number"),
        ({"scores": np.zeros(1)}, "different length"),
        ({"class_ids": np.array([0, 1])}, "outside its table"),
        ({"class_ids": np.array([0.0, 0.5])}, "a column of float64"),
        ({"boxes_xywh_px": np.zeros((2, 5))}, r"shape \(2, 5\), expected float64 and shape \('N', 4\)"),
    ],
)
def test_columns_that_cannot_be_scored_are_an_error_with_the_source(change, message):
    found, truth, _ = problem_of_polygons((((0.0, 0.0, 9.0, 0.0, 9.0, 9.0),),) * 2)
    with pytest.raises(EvaluationError, match=f"^test: .*{message}"):
        FastEngine(1).match(replace(found, **change), truth, CocoSettings().params(1))


@pytest.mark.parametrize("ring", [(1.0,), (1.0, 2.0, 3.0, 4.0), (0.0,) * 7])
def test_a_ring_that_is_no_polygon_is_an_error(ring):
    found, truth, _ = problem_of_polygons((((0.0, 0.0, 9.0, 0.0, 9.0, 9.0),),))
    truth = replace(truth, labels=replace(truth.labels, segmentations=((ring,),)))
    with pytest.raises(EvaluationError, match="at least 3 points"):
        FastEngine(1).match(found, truth, CocoSettings("segm").params(1))


def test_a_mask_whose_boundary_would_fill_the_memory_is_refused():
    side = 65535
    huge = (masks.from_uncompressed([0, side * side], (side, side)),)
    found, truth, _ = problem_of_polygons((((0.0, 0.0, 9.0, 0.0, 9.0, 9.0),),))
    truth = replace(truth, labels=replace(truth.labels, segmentations=huge))
    params = CocoSettings("boundary").params(1)
    with pytest.raises(EvaluationError, match="more than 2\\^30 pixels"):
        FastEngine(1).match(replace(found, masks=huge), truth, params)


def test_a_polygon_with_many_crossings_of_a_column_has_the_pixels_of_pycocotools():
    x, y = np.tile([2.0, 30.0], 300), np.linspace(1, 29, 600)
    found, truth, _ = problem_of_polygons(((tuple(np.stack([x, y], axis=1).ravel().tolist()),),))
    assert_same_as_pycocotools((found, truth), CocoSettings("segm", iou_thresholds=(1.0,)).params(1))
