from __future__ import annotations

from dataclasses import replace

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from anydet.evaluation.coco import CocoEvaluator
from anydet.evaluation.fit import comparable
from anydet.evaluation.protocol import CocoSettings
from anydet.evaluation.pycocotools_engine import PycocotoolsEngine

SIGMAS = (0.1, 0.05, 0.2)
AP = {"bbox": 0.504581, "segm": 0.319545, "keypoints": 0.504884}


def assert_same_arrays(arrays, run):
    for name in ("precision", "recall", "scores"):
        np.testing.assert_array_equal(getattr(arrays, name), run.eval[name], err_msg=name)


def as_stats(result):
    return [-1.0 if value is None else value for value in result.metrics.values()]


@pytest.mark.parametrize("iou_type", ["bbox", "segm", "keypoints"])
@settings(max_examples=40, deadline=None)
@given(data=st.data())
def test_random_problems_give_the_bits_of_pycocotools(data, iou_type, random_problems, columns, reference):
    problem = data.draw(random_problems(iou_type))
    sigmas = SIGMAS if iou_type == "keypoints" else None
    run = reference(problem, iou_type, sigmas)
    detections, ground_truth = columns(problem)
    settings = CocoSettings(iou_type, keypoint_sigmas=sigmas)
    evaluator = CocoEvaluator(ground_truth.classes, engine=PycocotoolsEngine(), settings=settings)
    evaluator.add(detections, ground_truth)
    result = evaluator.result()
    assert_same_arrays(result.arrays, run)
    assert as_stats(result) == run.stats.tolist()


@pytest.mark.parametrize("iou_type", ["bbox", "segm", "keypoints"])
def test_real_result_files_give_the_bits_of_pycocotools(iou_type, read_problem, columns, reference):
    problem, _, _ = read_problem(iou_type)
    run = reference(problem, iou_type)
    detections, ground_truth = columns(problem)
    evaluator = CocoEvaluator(
        ground_truth.classes, engine=PycocotoolsEngine(), settings=CocoSettings(iou_type)
    )
    evaluator.add(detections, ground_truth)
    result = evaluator.result()
    assert_same_arrays(result.arrays, run)
    assert as_stats(result) == run.stats.tolist()
    assert result.metrics["AP"] == pytest.approx(AP[iou_type], abs=1e-6)


def test_nothing_is_printed(capsys, columns):
    truth = {"images": [], "categories": [], "annotations": []}
    detections, ground_truth = columns((truth, []))
    params = CocoSettings().params(0)
    compared = comparable(detections, ground_truth, CocoSettings(), params)
    PycocotoolsEngine().match(*compared, params)
    assert capsys.readouterr() == ("", "")


def one_of_each(columns):
    """Ground truth with annotation id 0 in the source, and a perfect detection of it."""
    box = {"image_id": 7, "category_id": 3, "bbox": [1, 2, 30, 40]}
    truth = {
        "images": [{"id": 7, "file_name": "a.jpg", "width": 64, "height": 64}],
        "categories": [{"id": 3, "name": "thing"}],
        "annotations": [{**box, "id": 0, "area": 1200.0, "iscrowd": 0}],
    }
    return columns((truth, [{**box, "score": 0.5}]))


def test_a_match_to_the_first_annotation_counts_whatever_its_id(columns):
    detections, ground_truth = one_of_each(columns)
    evaluator = CocoEvaluator(ground_truth.classes, engine=PycocotoolsEngine())
    evaluator.add(detections, ground_truth)
    assert evaluator.result().metrics["AP"] == pytest.approx(1.0)


def test_a_keypoint_that_was_not_predicted_matches_nothing(columns):
    detections, ground_truth = one_of_each(columns)
    points = np.array([[[5.0, 5.0, 2.0], [9.0, 9.0, 2.0], [20.0, 30.0, 2.0]]])
    truth = replace(ground_truth, labels=replace(ground_truth.labels, keypoints=points))
    missing = points.copy()
    missing[0, 1:] = np.nan

    def ap(found):
        settings = CocoSettings("keypoints", keypoint_sigmas=SIGMAS)
        evaluator = CocoEvaluator(truth.classes, engine=PycocotoolsEngine(), settings=settings)
        evaluator.add(replace(detections, keypoints=found), truth)
        return evaluator.result().metrics["AP"]

    assert ap(points) == pytest.approx(1.0)
    assert ap(missing) == 0.0
