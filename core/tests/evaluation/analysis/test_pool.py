from __future__ import annotations

import json
from dataclasses import replace

import numpy as np
import pytest

from anydet.data.dataset.image_subset import take_images
from anydet.errors import EvaluationError
from anydet.evaluation.analysis.calibration import CalibrationEvaluator
from anydet.evaluation.analysis.confusion import ConfusionEvaluator
from anydet.evaluation.analysis.label_errors import LabelErrorEvaluator
from anydet.evaluation.analysis.thresholds import ThresholdEvaluator
from anydet.evaluation.analysis.tide import TideEvaluator
from anydet.plugins.manager import Plugins
from anydet.types import ClassTable

KINDS = [TideEvaluator, ConfusionEvaluator, ThresholdEvaluator, CalibrationEvaluator, LabelErrorEvaluator]


def written(evaluator):
    return json.dumps(evaluator.result().as_dict())


@pytest.mark.parametrize("kind", KINDS)
@pytest.mark.parametrize("with_ids", [True, False])
def test_image_by_image_in_any_order_gives_the_same_bits(columns, crowd, kind, with_ids):
    detections, ground_truth = columns(crowd(12, 5))
    if not with_ids:
        ground_truth = replace(ground_truth, image_ids=None)
    order = np.random.default_rng(0).permutation(12)
    workers = kind(ground_truth.classes), kind(ground_truth.classes)
    for i, image in enumerate(order.tolist()):
        workers[i % 2].add(*take_images(detections, ground_truth, np.array([image])))
    workers[0].merge(workers[1])
    whole = kind(ground_truth.classes)
    whole.add(*take_images(detections, ground_truth, np.sort(order)))
    assert written(workers[0]) == written(whole) == written(whole)


def test_an_image_may_be_added_once(columns, crowd):
    detections, ground_truth = columns(crowd())
    evaluator = TideEvaluator(ground_truth.classes)
    evaluator.add(detections, ground_truth)
    evaluator.add(detections, ground_truth)
    with pytest.raises(EvaluationError, match=r"'1.jpg' was added 2 times"):
        evaluator.result()


def test_after_a_reset_there_is_nothing_to_evaluate(columns, crowd):
    detections, ground_truth = columns(crowd())
    evaluator = TideEvaluator(ground_truth.classes)
    evaluator.add(detections, ground_truth)
    evaluator.reset()
    with pytest.raises(EvaluationError, match="no image was added"):
        evaluator.result()


def test_other_classes_do_not_mix(columns, crowd):
    detections, ground_truth = columns(crowd())
    other = TideEvaluator(ClassTable(("cat",)))
    with pytest.raises(EvaluationError, match="3 classes added to an evaluator of 1 others"):
        other.add(detections, ground_truth)
    with pytest.raises(EvaluationError, match="of different classes or settings cannot be merged"):
        other.merge(TideEvaluator(ground_truth.classes))


@pytest.mark.parametrize("kind", KINDS)
def test_each_is_registered_under_its_name(columns, crowd, kind):
    _, ground_truth = columns(crowd())
    assert type(Plugins(()).load("evaluators", kind.name)(ground_truth)) is kind
