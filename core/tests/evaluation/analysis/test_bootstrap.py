from __future__ import annotations

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from anydet.data.dataset.image_subset import take_images
from anydet.errors import EvaluationError
from anydet.evaluation.analysis.bootstrap import draw_images, find_intervals, resample
from anydet.evaluation.coco import CocoEvaluator
from anydet.evaluation.protocol import CocoSettings
from anydet.evaluation.pycocotools_engine import PycocotoolsEngine


def evaluator_of(columns, problem, engine=None, **options):
    detections, ground_truth = columns(problem)
    evaluator = CocoEvaluator(
        ground_truth.classes, engine=engine or PycocotoolsEngine(), settings=CocoSettings(**options)
    )
    evaluator.add(detections, ground_truth)
    return evaluator


def with_copies(problem, counts):
    """Each image as often as it is drawn; no two detections have equal scores."""
    truth, results = problem
    copies = {"images": [], "categories": truth["categories"], "annotations": []}
    found = []
    for image, count in zip(truth["images"], counts.tolist(), strict=True):
        for _ in range(count):
            number = len(copies["images"]) + 1
            copies["images"].append({**image, "id": number, "file_name": f"{number}.jpg"})
            for row in truth["annotations"]:
                if row["image_id"] == image["id"]:
                    copies["annotations"].append(
                        {**row, "image_id": number, "id": len(copies["annotations"]) + 1}
                    )
            found += [{**row, "image_id": number} for row in results if row["image_id"] == image["id"]]
    return copies, found


def numbers_of(result, names):
    return [np.nan if result.metrics[name] is None else result.metrics[name] for name in names]


MANY_AREAS = {"all": (0.0, 1e10), **{f"from {n}": (float(n), n + 250.0) for n in range(0, 1200, 200)}}
"""Seven ranges of ten thresholds: more bits than a word has."""


@pytest.mark.slow
@pytest.mark.parametrize(
    "options",
    [{}, {"class_agnostic": True}, {"max_detections": (2, 4)}, {"area_ranges_px": MANY_AREAS}],
    ids=["coco", "class agnostic", "few detections", "many areas"],
)
def test_a_resample_is_an_evaluation_of_the_drawn_images(columns, crowd, engine, options):
    truth, results = crowd(6, 1)
    results = [{**row, "score": 1 - i / len(results)} for i, row in enumerate(results)]  # all different
    weights = draw_images(6, 20, seed=3)
    found = resample(evaluator_of(columns, (truth, results), engine, **options), weights)
    for counts, overall in zip(weights, found.overall, strict=True):
        drawn = evaluator_of(columns, with_copies((truth, results), counts), **options).result()
        np.testing.assert_allclose(overall, numbers_of(drawn, found.names), rtol=0, atol=1e-12)


@pytest.mark.slow
@pytest.mark.parametrize("iou_type", ["bbox", "segm"])
def test_every_image_once_gives_the_numbers_of_the_result(columns, read_problem, engine, iou_type):
    evaluator = evaluator_of(columns, read_problem(iou_type)[0], engine, iou_type=iou_type)
    result = evaluator.result()
    found = resample(evaluator, np.ones((1, len(evaluator.joint().images)), np.int32))
    np.testing.assert_allclose(found.overall[0], numbers_of(result, found.names), rtol=0, atol=1e-12)
    for row, values in zip(result.per_class, found.by_class[0], strict=True):
        expected = [np.nan if row[name] is None else row[name] for name in found.names]
        np.testing.assert_allclose(values, expected, rtol=0, atol=1e-12)


@pytest.mark.slow
@settings(deadline=None, max_examples=30)
@given(data=st.data())
def test_engines_agree_in_every_bit(columns, random_problems, engine, data):
    problem = data.draw(random_problems("bbox"))
    images = len(problem[0]["images"])
    if not images:
        return
    weights = draw_images(images, 7, seed=data.draw(st.integers(0, 99)))
    ours = resample(evaluator_of(columns, problem, engine), weights)
    reference = resample(evaluator_of(columns, problem), weights)
    assert ours.overall.tobytes() == reference.overall.tobytes()
    assert ours.by_class.tobytes() == reference.by_class.tobytes()


@pytest.mark.slow
def test_the_error_of_a_recall_is_that_of_a_proportion(columns):
    """400 images with one object each, 300 of them found: sqrt(p (1 - p) / n) = 0.0217."""
    box = {"category_id": 1, "bbox": [10, 10, 20, 20]}
    truth = {
        "images": [{"id": i, "file_name": f"{i:03}.jpg", "width": 64, "height": 64} for i in range(1, 401)],
        "categories": [{"id": 1, "name": "cat"}],
        "annotations": [{**box, "id": i, "image_id": i, "area": 400, "iscrowd": 0} for i in range(1, 401)],
    }
    results = [{**box, "image_id": i, "score": i / 400} for i in range(1, 301)]
    interval = find_intervals(evaluator_of(columns, (truth, results)), resamples=2000).overall["AR100"]
    error = (0.75 * 0.25 / 400) ** 0.5
    assert interval.value == 0.75
    assert interval.error == pytest.approx(error, rel=0.05)
    assert interval.low == pytest.approx(0.75 - 1.96 * error, abs=0.005)
    assert interval.high == pytest.approx(0.75 + 1.96 * error, abs=0.005)


def test_equal_seeds_give_equal_bits_however_images_came(columns, crowd):
    detections, ground_truth = columns(crowd(10, 2))
    whole, streamed = (CocoEvaluator(ground_truth.classes, engine=PycocotoolsEngine()) for _ in range(2))
    whole.add(detections, ground_truth)
    for image in np.random.default_rng(1).permutation(10).tolist():
        streamed.add(*take_images(detections, ground_truth, np.array([image])))
    first, again, streamed = (find_intervals(e, resamples=20) for e in (whole, whole, streamed))
    assert first.as_dict() == again.as_dict() == streamed.as_dict()
    assert first.as_dict() != find_intervals(whole, resamples=20, seed=1).as_dict()


def test_what_is_not_there_has_no_interval(columns, crowd):
    truth, results = crowd()
    truth = {**truth, "categories": [*truth["categories"], {"id": 9, "name": "unseen"}]}
    intervals = find_intervals(evaluator_of(columns, (truth, results)), resamples=5)
    unseen = intervals.by_class["unseen"]["AP"]
    assert (unseen.value, unseen.low, unseen.high, unseen.error) == (None,) * 4
    assert intervals.tables[1].rows[3] == ("unseen", None, None, None, None)
    value = intervals.overall["AP"]
    assert value.low <= value.value <= value.high


def test_few_images_give_no_interval(columns, crowd):
    found = find_intervals(evaluator_of(columns, crowd(4, 1)), resamples=5).overall["AP"]
    assert found.value is not None
    assert found.low is found.high is found.error is None


def test_no_resamples_or_a_level_of_one_make_no_interval(columns, crowd):
    evaluator = evaluator_of(columns, crowd())
    for wrong in ({"resamples": 0}, {"level": 1.0}):
        with pytest.raises(EvaluationError, match="make no interval"):
            find_intervals(evaluator, **wrong)


def test_lvis_groups_and_what_nobody_looked_for_are_resampled_too(columns, crowd):
    truth, results = crowd(6, 1)
    for category, frequency in zip(truth["categories"], "rcf", strict=True):
        category["frequency"] = frequency
    for image in truth["images"]:
        image.update(neg_category_ids=[1, 2], not_exhaustive_category_ids=[2])
    evaluator = evaluator_of(columns, (truth, results), protocol="lvis")
    found = resample(evaluator, np.ones((1, 6), np.int32))
    assert "APr" in found.names
    np.testing.assert_allclose(
        found.overall[0], numbers_of(evaluator.result(), found.names), rtol=0, atol=1e-12
    )


def test_draws_have_as_many_images_as_there_are():
    weights = draw_images(50, 30, seed=0)
    assert (weights.sum(axis=1) == 50).all()
    assert weights.dtype == np.int32
    assert (weights == draw_images(50, 30, seed=0)).all()
    assert weights.mean(axis=0) == pytest.approx(1, abs=0.8)


def test_a_dry_evaluator_has_nothing_to_resample(columns, crowd):
    detections, ground_truth = columns(crowd())
    dry = CocoEvaluator(ground_truth.classes, engine=PycocotoolsEngine(), dry=True)
    dry.add(detections, ground_truth)
    with pytest.raises(EvaluationError, match="dry-run evaluator has no result"):
        find_intervals(dry)
