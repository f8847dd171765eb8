from __future__ import annotations

import math

import pytest

from anydet.errors import EvaluationError
from anydet.evaluation.analysis.comparison import compare
from anydet.evaluation.coco import CocoEvaluator
from anydet.evaluation.protocol import CocoSettings
from anydet.evaluation.pycocotools_engine import PycocotoolsEngine

BOX = {"category_id": 1, "bbox": [10, 10, 20, 20]}
IMAGES = 200


def one_object_each(found):
    """A problem of images with one object, of which those numbered in ``found`` are detected."""
    numbers = range(1, IMAGES + 1)
    truth = {
        "images": [{"id": i, "file_name": f"{i:03}.jpg", "width": 64, "height": 64} for i in numbers],
        "categories": [{"id": 1, "name": "cat"}],
        "annotations": [{**BOX, "id": i, "image_id": i, "area": 400, "iscrowd": 0} for i in numbers],
    }
    return truth, [{**BOX, "image_id": i, "score": i / IMAGES} for i in found]


def evaluator_of(columns, problem, engine=None, **options):
    detections, ground_truth = columns(problem)
    evaluator = CocoEvaluator(
        ground_truth.classes, engine=engine or PycocotoolsEngine(), settings=CocoSettings(**options)
    )
    evaluator.add(detections, ground_truth)
    return evaluator


@pytest.mark.slow
@pytest.mark.parametrize(("only_a", "only_b"), [(20, 30), (10, 30), (25, 25)])
def test_the_difference_of_two_proportions_has_the_error_and_p_value_of_its_normal_limit(
    columns, only_a, only_b
):
    both = range(1, 101)
    a = evaluator_of(columns, one_object_each([*both, *range(101, 101 + only_a)]))
    b = evaluator_of(columns, one_object_each([*both, *range(150, 150 + only_b)]))
    found = compare(a, b, resamples=2000).overall["AR100"]
    difference = (only_b - only_a) / IMAGES
    error = math.sqrt(((only_a + only_b) / IMAGES - difference**2) / IMAGES)
    assert found.difference == pytest.approx(difference, abs=1e-12)
    assert found.high - found.low == pytest.approx(2 * 1.96 * error, rel=0.1)
    assert found.low < difference < found.high
    assert found.p == pytest.approx(math.erfc(abs(difference) / error / math.sqrt(2)), abs=0.05)


def test_a_model_does_not_differ_from_itself(columns, crowd):
    same = compare(*(evaluator_of(columns, crowd(12, 1)) for _ in range(2)), resamples=20)
    known = {name: one for name, one in same.overall.items() if one.a is not None}
    assert "AP" in known
    assert {(one.difference, one.low, one.high, one.p) for one in known.values()} == {(0.0, 0.0, 0.0, 1.0)}
    assert same.overall["APl"].difference is same.overall["APl"].p is None  # no such annotation


def test_exchanged_models_differ_the_other_way(columns, crowd, engine):
    truth, results = crowd(12, 1)
    models = [evaluator_of(columns, (truth, r), engine) for r in (results, results[::2])]
    forth, back = compare(*models, resamples=50), compare(*models[::-1], resamples=50)
    for name in ("AP", "AP50", "APs", "AR100"):
        one, other = forth.overall[name], back.overall[name]
        assert (one.difference, one.p) == (-other.difference, other.p)
        assert one.low == pytest.approx(-other.high, abs=1e-12)
    assert forth.tables[1].rows[0][0] == back.tables[1].rows[0][0]


def test_a_class_on_few_images_has_a_difference_but_no_p_value(columns, crowd):
    truth, results = crowd(4, 1)
    found = compare(*(evaluator_of(columns, (truth, r)) for r in (results, results[::2])), resamples=10)
    for row in found.by_class.values():
        assert row["AP"].difference is not None
        assert row["AP"].p is row["AP"].low is row["AP"].high is None


def test_few_images_have_differences_and_nothing_else(columns, crowd):
    truth, results = crowd(3, 1)
    same = compare(*(evaluator_of(columns, (truth, r)) for r in (results, results[::2])), resamples=10)
    assert same.overall["AP"].difference is not None
    assert same.overall["AP"].p is None


def test_other_images_or_settings_are_not_compared(columns, crowd):
    a = evaluator_of(columns, crowd(4, 1))
    for other in (
        evaluator_of(columns, crowd(5, 1)),
        evaluator_of(columns, crowd(4, 1), class_agnostic=True),
    ):
        with pytest.raises(EvaluationError, match="cannot be compared"):
            compare(a, other, resamples=2)
