from __future__ import annotations

import json
from dataclasses import replace

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from pycocotools.cocoeval import Params

from anydet.data.dataset.image_subset import take_images
from anydet.errors import EvaluationError
from anydet.evaluation.coco import CocoEvaluator
from anydet.evaluation.protocol import CocoSettings, metrics
from anydet.evaluation.pycocotools_engine import PycocotoolsEngine
from anydet.geometry.masks import encode
from anydet.plugins.manager import Plugins
from anydet.types import ClassTable

BOX_NAMES = ["AP", "AP50", "AP75", "APs", "APm", "APl", "AR1", "AR10", "AR100", "ARs", "ARm", "ARl"]
POINT_NAMES = ["AP", "AP50", "AP75", "APm", "APl", "AR", "AR50", "AR75", "ARm", "ARl"]


def evaluator_of(ground_truth, **settings):
    return CocoEvaluator(ground_truth.classes, engine=PycocotoolsEngine(), settings=CocoSettings(**settings))


def result_of(detections, ground_truth, **options):
    evaluator = evaluator_of(ground_truth, **options)
    evaluator.add(detections, ground_truth)
    return evaluator.result()


def two_images(columns, *, image_ids=(5, 3)):
    """Cats on both images, one of them found; the class in the middle of the table is never annotated."""
    names = ["cat", "dog", "emu"]
    first, second = image_ids
    truth = {
        "images": [{"id": i, "file_name": f"{i}.jpg", "width": 64, "height": 64} for i in image_ids],
        "categories": [{"id": 10 * i + 1, "name": name} for i, name in enumerate(names)],
        "annotations": [
            {
                "id": 1,
                "image_id": first,
                "category_id": 1,
                "bbox": [0, 0, 40, 40],
                "area": 1600,
                "iscrowd": 0,
            },
            {"id": 2, "image_id": second, "category_id": 1, "bbox": [0, 0, 9, 9], "area": 81, "iscrowd": 0},
            {"id": 3, "image_id": second, "category_id": 21, "bbox": [5, 5, 9, 9], "area": 81, "iscrowd": 1},
        ],
    }
    found = [
        {"image_id": first, "category_id": 1, "bbox": [0, 0, 40, 40], "score": 0.9},
        {"image_id": second, "category_id": 11, "bbox": [0, 0, 9, 9], "score": 0.8},
    ]
    return columns((truth, found))


@pytest.mark.parametrize("iou_type", ["bbox", "segm", "keypoints"])
def test_the_parameters_are_those_of_pycocotools(iou_type):
    settings = CocoSettings(iou_type)
    ours, theirs = settings.params(1), Params(iou_type)
    np.testing.assert_array_equal(ours.iou_thresholds, theirs.iouThrs)
    np.testing.assert_array_equal(ours.recall_thresholds, theirs.recThrs)
    np.testing.assert_array_equal(ours.area_ranges_px, theirs.areaRng)
    assert list(ours.max_detections) == theirs.maxDets
    if iou_type == "keypoints":
        np.testing.assert_array_equal(ours.keypoint_sigmas, theirs.kpt_oks_sigmas)
    assert [m.name for m in metrics(ours, settings)] == (
        POINT_NAMES if iou_type == "keypoints" else BOX_NAMES
    )


def test_each_class_has_its_numbers_and_its_counts(columns):
    result = result_of(*two_images(columns))
    cat, dog, emu = result.per_class
    assert (cat["class_id"], cat["name"], cat["source_id"]) == (0, "cat", 1)
    assert (cat["images"], cat["annotations"], cat["detections"]) == (2, 2, 1)
    assert cat["AR100"] == 0.5
    assert cat["APs"] == 0.0
    assert cat["APm"] == pytest.approx(1.0)
    assert cat["APl"] is None
    assert (dog["AP"], dog["annotations"], dog["detections"]) == (None, 0, 1)
    assert (emu["AP"], emu["annotations"]) == (None, 1), "crowds alone give no number"
    assert result.metrics["AP"] == cat["AP"], "classes without ground truth are not in the mean"


def test_the_result_is_json_with_null_where_coco_says_minus_one(columns):
    written = json.loads(json.dumps(result_of(*two_images(columns)).as_dict(), allow_nan=False))
    assert list(written) == ["metrics", "per_class", "protocol"]
    assert list(written["metrics"]) == BOX_NAMES
    assert written["metrics"]["APl"] is None
    assert written["per_class"][1]["AP"] is None


def test_the_protocol_says_what_was_counted(columns):
    protocol = result_of(*two_images(columns)).protocol
    assert protocol["iou_thresholds"] == np.linspace(0.5, 0.95, 10).tolist()
    assert protocol["area_ranges_px"]["small"] == [0, 1024]
    assert protocol["max_detections"] == [1, 10, 100]
    assert (protocol["images"], protocol["annotations"], protocol["crowd_annotations"]) == (2, 3, 1)
    assert protocol["engine"]["name"] == "pycocotools"
    assert set(protocol["versions"]) == {"anydet", "numpy"}
    assert protocol["ground_truth"] == "test"


def test_other_limits_of_detections_are_computed_and_name_their_recalls(columns):
    result = result_of(*two_images(columns), max_detections=(300, 5))
    assert list(result.metrics)[6:8] == ["AR5", "AR300"]
    assert result.metrics["AR300"] == 0.5
    assert result.metrics["AP"] is not None


@pytest.mark.slow
@settings(max_examples=40, deadline=None)
@given(data=st.data())
def test_partial_results_in_any_order_give_the_bits_of_the_whole(data, random_problems, columns):
    detections, ground_truth = columns(data.draw(random_problems("bbox")))
    if data.draw(st.booleans()):
        ground_truth = replace(ground_truth, image_ids=None)
    count = len(ground_truth.images)
    whole = result_of(detections, ground_truth)
    owner = np.array(data.draw(st.lists(st.integers(0, 2), min_size=count, max_size=count)), np.int64)
    workers = [evaluator_of(ground_truth) for _ in range(3)]
    for worker, evaluator in enumerate(workers):
        evaluator.add(*take_images(detections, ground_truth, np.flatnonzero(owner == worker)))
    last, *others = data.draw(st.permutations(workers))
    for evaluator in others:
        last.merge(evaluator)
    merged = last.result()
    np.testing.assert_array_equal(merged.arrays.precision, whole.arrays.precision)
    np.testing.assert_array_equal(merged.arrays.recall, whole.arrays.recall)
    np.testing.assert_array_equal(merged.arrays.scores, whole.arrays.scores)
    assert merged.as_dict() == whole.as_dict()
    assert last.result().as_dict() == whole.as_dict(), "asking twice gives the same"


def test_an_image_in_two_partial_results_is_an_error_that_names_it(columns):
    detections, ground_truth = two_images(columns)
    evaluator = evaluator_of(ground_truth)
    evaluator.add(detections, ground_truth)
    evaluator.add(*take_images(detections, ground_truth, np.array([1])))
    with pytest.raises(EvaluationError, match=r"'3\.jpg' was added 2 times"):
        evaluator.result()


def test_reset_forgets_everything(columns):
    detections, ground_truth = two_images(columns)
    evaluator = evaluator_of(ground_truth)
    evaluator.add(detections, ground_truth)
    evaluator.reset()
    with pytest.raises(EvaluationError, match="no image was added"):
        evaluator.result()


def test_evaluators_of_different_kinds_do_not_merge(columns):
    _, ground_truth = two_images(columns)
    with pytest.raises(EvaluationError, match="cannot be merged"):
        evaluator_of(ground_truth).merge(evaluator_of(ground_truth, iou_type="segm"))


def test_class_ids_beyond_the_table_are_errors_that_name_them(columns):
    detections, ground_truth = two_images(columns)
    off = replace(detections, class_ids=detections.class_ids + 2)
    with pytest.raises(EvaluationError, match=r"class ids that the data set does not have: 3 .*image 3.jpg"):
        result_of(off, ground_truth)


def test_the_registered_evaluator_is_built_from_ground_truth(columns):
    detections, ground_truth = two_images(columns)
    evaluator = Plugins(()).load("evaluators", "coco")(ground_truth)
    assert evaluator.name == "coco"
    assert evaluator.applies(detections, ground_truth) is None
    evaluator.add(detections, ground_truth)
    assert evaluator.result().metrics == result_of(detections, ground_truth).metrics


def test_an_evaluator_says_why_it_does_not_apply(columns):
    detections, ground_truth = two_images(columns)
    masks, points = (
        Plugins(()).load("evaluators", f"coco-{name}")(ground_truth) for name in ("segm", "keypoints")
    )
    assert "annotations have no segmentation" in masks.applies(detections, ground_truth)
    assert "annotations have no keypoints" in points.applies(detections, ground_truth)


def test_the_table_of_a_result_has_a_row_a_class(columns):
    (table,) = result_of(*two_images(columns)).tables
    assert table.header[:2] == ("class", "AP")
    assert len(table.rows) == len(two_images(columns)[1].classes)


def test_ground_truth_of_other_classes_is_an_error(columns):
    detections, ground_truth = two_images(columns)
    other = replace(ground_truth, classes=ClassTable(("cat",)))
    with pytest.raises(EvaluationError, match="of 1 classes added to an evaluator of 3 others"):
        evaluator_of(ground_truth).add(detections, other)


def test_masks_of_another_size_than_their_image_are_named(columns):
    detections, ground_truth = two_images(columns)
    ring = ((0.0, 0.0, 9.0, 0.0, 9.0, 9.0),)
    truth = replace(ground_truth, labels=replace(ground_truth.labels, segmentations=(ring,) * 3))
    small = encode(np.ones((32, 64), np.bool_))
    with pytest.raises(EvaluationError, match=r"2 of 2 detections have a mask of another size .*5.jpg"):
        result_of(replace(detections, masks=(small, small)), truth, iou_type="segm")


def test_tables_that_differ_are_errors(columns):
    detections, ground_truth = two_images(columns)
    with pytest.raises(EvaluationError, match="must have the same table"):
        result_of(replace(detections, images=("a.jpg", "b.jpg")), ground_truth)


@pytest.mark.parametrize(
    ("iou_type", "message"),
    [
        ("segm", "3 of 3 annotations have no segmentation"),
        ("keypoints", "3 of 3 annotations have no keypoints"),
    ],
)
def test_what_an_iou_type_needs_and_lacks_is_named(iou_type, message, columns):
    with pytest.raises(EvaluationError, match=message):
        result_of(*two_images(columns), iou_type=iou_type)


def test_detections_without_masks_are_named(columns):
    detections, ground_truth = two_images(columns)
    ring = ((0.0, 0.0, 9.0, 0.0, 9.0, 9.0),)
    truth = replace(ground_truth, labels=replace(ground_truth.labels, segmentations=(ring,) * 3))
    with pytest.raises(EvaluationError, match=r"2 of 2 detections have no mask .*5.jpg"):
        result_of(detections, truth, iou_type="segm")


def test_a_wrong_number_of_sigmas_is_an_error_that_says_both_numbers(columns):
    detections, ground_truth = two_images(columns)
    truth = replace(ground_truth, labels=replace(ground_truth.labels, keypoints=np.ones((3, 4, 3))))
    with pytest.raises(EvaluationError, match="4 keypoints each, but there are 17 sigmas"):
        result_of(detections, truth, iou_type="keypoints")
