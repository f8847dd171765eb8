from __future__ import annotations

import numpy as np
from hypothesis import given
from hypothesis import strategies as st

from anydet.evaluation.analysis.thresholds import find_operating_point, threshold_evaluator


def f1_at(threshold, detections, positives):
    kept = [right for score, right in detections if score >= threshold]
    return 2 * sum(kept) / (len(kept) + positives)


@given(
    detections=st.lists(st.tuples(st.sampled_from([0.1, 0.25, 0.5, 0.75, 1.0]), st.booleans()), max_size=12),
    missed=st.integers(0, 4),
)
def test_no_threshold_has_a_higher_f1(detections, missed):
    positives = missed + sum(right for _, right in detections)
    scores = np.array([score for score, _ in detections])
    point = find_operating_point(scores, np.array([right for _, right in detections], np.bool_), positives)
    tried = {score: f1_at(score, detections, positives) for score in scores.tolist()} if positives else {}
    best = max(tried.values(), default=0.0)
    if point is None:
        assert best == 0
    else:
        assert point.f1 == best == tried[point.threshold]
        assert point.threshold == max(score for score, f1 in tried.items() if f1 == best)
        assert 2 * point.precision * point.recall / (point.precision + point.recall) - best < 1e-12


def test_each_class_gets_its_own_threshold_and_the_mean_of_the_best(columns, crowd):
    detections, ground_truth = columns(crowd(20, 1))
    evaluator = threshold_evaluator(ground_truth)
    evaluator.add(detections, ground_truth)
    result = evaluator.result()
    (table,) = result.tables
    assert [row[0] for row in table.rows] == list(ground_truth.classes.names)
    assert result.metrics["F1"] == sum(row[2] for row in table.rows) / 3
    assert result.metrics["F1_all"] <= max(row[2] for row in table.rows)


def test_a_class_without_annotations_has_no_f1_and_one_without_hits_has_none_right(columns, crowd):
    truth, results = crowd()
    detections, ground_truth = columns(
        (
            {**truth, "annotations": [row for row in truth["annotations"] if row["category_id"] != 1]},
            [row for row in results if row["category_id"] != 2],
        )
    )
    evaluator = threshold_evaluator(ground_truth)
    evaluator.add(detections, ground_truth)
    rows = evaluator.result().tables[0].rows
    assert rows[0][1:] == (None,) * 4
    assert rows[1][1:] == (None, 0.0, None, 0.0)
