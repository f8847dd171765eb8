from __future__ import annotations

import numpy as np
import pytest
import supervision as sv

from anydet.evaluation.analysis.confusion import ConfusionEvaluator, confusion_evaluator


def result_of(columns, problem, **options):
    detections, ground_truth = columns(problem)
    evaluator = ConfusionEvaluator(ground_truth.classes, **options)
    evaluator.add(detections, ground_truth)
    return evaluator.result()


def matrix_of(result):
    return [list(row[1:]) for row in result.tables[1].rows]


def without_crowds(problem):
    truth, results = problem
    return {**truth, "annotations": [row for row in truth["annotations"] if not row["iscrowd"]]}, results


def boxes_of(rows, image):
    mine = [row for row in rows if row["image_id"] == image]
    boxes = np.array([row["bbox"] for row in mine], np.float64).reshape(-1, 4)
    boxes[:, 2:] += boxes[:, :2]
    scores = np.array([row.get("score", 1.0) for row in mine])
    ids = np.array([row["category_id"] - 1 for row in mine], np.int64)
    return sv.Detections(xyxy=boxes, class_id=ids, confidence=scores)


@pytest.mark.parametrize("seed", [0, 1, 2])
@pytest.mark.parametrize("score_threshold", [0.0, 0.3, 0.6])
def test_the_matrix_is_that_of_supervision(columns, crowd, seed, score_threshold):
    truth, results = problem = without_crowds(crowd(6, seed))
    images = [image["id"] for image in truth["images"]]
    expected = sv.ConfusionMatrix.from_detections(
        predictions=[boxes_of(results, image) for image in images],
        targets=[boxes_of(truth["annotations"], image) for image in images],
        classes=["a", "b", "c"],
        conf_threshold=score_threshold,
    )
    result = result_of(columns, problem, score_threshold=score_threshold)
    assert matrix_of(result) == expected.matrix.tolist()


def test_numbers_come_from_the_matrix(columns, crowd):
    result = result_of(columns, crowd())
    matrix = np.array(matrix_of(result))
    right = np.trace(matrix)
    assert result.metrics["precision"] == right / matrix[:, :-1].sum()
    assert result.metrics["recall"] == right / matrix[:-1].sum()
    counts = [row[2] for row in result.tables[0].rows]
    assert sum(counts) == matrix.sum() - right
    assert counts == sorted(counts, reverse=True)
    assert result.tables[1].header[-1] == "background"


def test_a_detection_in_a_crowd_of_its_class_is_left_out(columns, crowd):
    truth, _ = crowd()
    crowds = [{**row, "iscrowd": 1} for row in truth["annotations"]]
    inside = [{k: row[k] for k in ("image_id", "category_id", "bbox")} | {"score": 1.0} for row in crowds]
    assert not np.any(matrix_of(result_of(columns, ({**truth, "annotations": crowds}, inside))))


def test_without_detections_there_is_recall_but_no_precision(columns, crowd):
    truth, _ = crowd()
    assert result_of(columns, (truth, [])).metrics == {"precision": None, "recall": 0.0, "F1": 0.0}


def test_it_is_built_from_ground_truth(columns, crowd):
    detections, ground_truth = columns(crowd())
    assert confusion_evaluator(ground_truth).applies(detections, ground_truth) is None
