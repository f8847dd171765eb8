from __future__ import annotations

import numpy as np

from anydet.evaluation.analysis.label_errors import LabelErrorEvaluator

BOX = [10, 10, 20, 20]


def suspects_of(columns, annotations, results, **options):
    truth = {
        "images": [{"id": 7, "file_name": "a.jpg", "width": 100, "height": 100}],
        "categories": [{"id": 1, "name": "cat"}, {"id": 2, "name": "dog"}],
        "annotations": [
            {"id": i, "image_id": 7, "category_id": c, "bbox": b, "area": 1, "iscrowd": crowd}
            for i, (c, b, crowd) in enumerate(annotations, start=40)
        ],
    }
    found = [{"image_id": 7, "category_id": c, "bbox": b, "score": s} for c, b, s in results]
    detections, ground_truth = columns((truth, found))
    evaluator = LabelErrorEvaluator(ground_truth.classes, **options)
    evaluator.add(detections, ground_truth)
    result = evaluator.result()
    header = result.tables[0].header
    return result.metrics, [dict(zip(header, row, strict=True)) for row in result.tables[0].rows]


def test_a_confident_detection_on_an_annotation_of_another_class_suspects_its_label(columns):
    metrics, (row,) = suspects_of(columns, [(1, BOX, 0)], [(2, [10, 10, 20, 16], 0.9)])
    assert metrics == {"wrong_label": 1.0, "missing_annotation": 0.0}
    assert (row["kind"], row["image"], row["annotation"]) == ("wrong_label", "a.jpg", 40)
    assert (row["predicted"], row["annotated"], row["iou"]) == ("dog", "cat", 0.8)


def test_a_confident_detection_of_nothing_suspects_a_missing_annotation(columns):
    metrics, (row,) = suspects_of(columns, [(1, BOX, 0)], [(1, BOX, 0.9), (1, [60, 60, 10, 10], 0.8)])
    assert metrics == {"wrong_label": 0.0, "missing_annotation": 1.0}
    assert [row[k] for k in ("x", "y", "width", "height")] == [60, 60, 10, 10]
    assert row["annotated"] is row["annotation"] is None


def test_what_the_labels_explain_is_not_suspected(columns):
    found = [(1, BOX, 0.9), (2, BOX, 0.8), (1, [16, 10, 20, 20], 0.9), (1, [70, 70, 9, 9], 0.3)]
    assert suspects_of(columns, [(1, BOX, 0)], found)[1] == []


def test_crowds_are_never_suspected(columns):
    crowd = [(1, [0, 0, 100, 100], 1)]
    assert suspects_of(columns, crowd, [(1, BOX, 0.9), (2, BOX, 0.9)])[1] == []


def test_the_most_confident_come_first(columns, crowd):
    detections, ground_truth = columns(crowd(20, 1))
    evaluator = LabelErrorEvaluator(ground_truth.classes)
    evaluator.add(detections, ground_truth)
    result = evaluator.result()
    scores = [row[4] for row in result.tables[0].rows]
    assert scores == sorted(scores, reverse=True)
    assert len(scores) == sum(result.metrics.values()) > 5
    assert min(scores) >= 0.5
    assert np.isin([row[0] for row in result.tables[0].rows], ["wrong_label", "missing_annotation"]).all()
