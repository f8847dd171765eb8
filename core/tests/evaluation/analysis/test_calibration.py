from __future__ import annotations

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from anydet.evaluation.analysis.calibration import CalibrationEvaluator, bin_scores
from anydet.evaluation.greedy_matching import pair


def expected_error(scores, values, bins):
    """Bin by bin, as the definition reads."""
    total, error = sum(v >= 0 for v in values), 0.0
    for i in range(bins):
        low, high = i / bins, (i + 1) / bins
        mine = [(s, v) for s, v in zip(scores, values, strict=True) if v >= 0]
        mine = [(s, v) for s, v in mine if (low < s or i == 0 == s) and s <= high]
        if mine:
            error += abs(sum(s for s, _ in mine) - sum(v for _, v in mine)) / total
    return error if total else None


@given(
    rows=st.lists(st.tuples(st.floats(0, 1), st.sampled_from([-1.0, 0.0, 0.5, 1.0])), max_size=30),
    bins=st.sampled_from([1, 2, 4, 8]),
)
def test_the_error_is_the_weighted_gap_of_the_bins(rows, bins):
    scores, values = np.array([s for s, _ in rows]), np.array([v for _, v in rows])
    found = bin_scores(scores, values, bins).error
    expected = expected_error(scores.tolist(), values.tolist(), bins)
    assert (found is None and expected is None) or found == pytest.approx(expected, abs=1e-12)
    backwards = bin_scores(scores[::-1], values[::-1], bins).error
    assert found == backwards


def test_both_errors_follow_their_definitions(columns, crowd):
    detections, ground_truth = columns(crowd(20, 3))
    evaluator = CalibrationEvaluator(ground_truth.classes, bins=10)
    evaluator.add(detections, ground_truth)
    metrics = evaluator.result().metrics
    matched = pair(detections, ground_truth, iou_threshold=0.5)
    right = np.where(matched.ignored, -1.0, matched.annotations >= 0)
    assert metrics["D-ECE"] == pytest.approx(expected_error(detections.scores, right, 10), abs=1e-12)
    near = pair(detections, ground_truth, iou_threshold=0.1)
    iou = np.where(near.ignored, -1.0, near.iou)
    by_class = [
        expected_error(detections.scores[detections.class_ids == c], iou[detections.class_ids == c], 10)
        for c in range(3)
    ]
    assert metrics["LaECE"] == pytest.approx(sum(by_class) / 3, abs=1e-12)
    assert metrics["D-ECE"] <= metrics["D-MCE"]


def test_scores_that_are_precision_are_calibrated(columns, crowd):
    truth, _ = crowd()
    rows = [row for row in truth["annotations"] if not row["iscrowd"]]
    sure = [{k: row[k] for k in ("image_id", "category_id", "bbox")} | {"score": 1.0} for row in rows]
    detections, ground_truth = columns((truth, sure))
    evaluator = CalibrationEvaluator(ground_truth.classes)
    evaluator.add(detections, ground_truth)
    assert set(evaluator.result().metrics.values()) == {0.0}


def test_nothing_above_the_threshold_has_no_error(columns, crowd):
    detections, ground_truth = columns(crowd())
    evaluator = CalibrationEvaluator(ground_truth.classes, score_threshold=2.0)
    evaluator.add(detections, ground_truth)
    assert set(evaluator.result().metrics.values()) == {None}
