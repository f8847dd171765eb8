from __future__ import annotations

from dataclasses import dataclass, replace

import numpy as np
import pytest

from anydet.data.dataset.image_subset import take_images
from anydet.errors import EvaluationError
from anydet.evaluation.partial import MergeableEvaluator, PartialResult


@dataclass(frozen=True, slots=True, eq=False)
class Count(PartialResult):
    detections: int


class CountEvaluator(MergeableEvaluator[Count]):
    """Counts detections, and how often partial results are joined."""

    most_partials = 3
    joins = 0

    def measure(self, detections, ground_truth):
        return Count(ground_truth.images, ground_truth.image_ids, len(detections))

    def join(self, partials, images):
        self.joins += 1
        return Count(images.keys, images.ids, sum(partial.detections for partial in partials))


class ThresholdEvaluator(CountEvaluator):
    """Another kind of the same base."""


def one(columns, i):
    return take_images(*columns, np.array([i]))


def test_partial_results_are_joined_when_there_are_many_and_once_for_the_numbers(columns, crowd):
    both = columns(crowd(8))
    evaluator = CountEvaluator(both[1].classes)
    for i in (5, 3, 1, 2, 0):
        evaluator.add(*one(both, i))
    assert evaluator.joins == 2  # of three, and of what they made with two more
    joint = evaluator.joint()
    assert joint is evaluator.joint()
    assert evaluator.joins == 2
    assert joint.images == tuple(both[1].images[i] for i in (0, 1, 2, 3, 5))
    assert joint.detections == np.isin(both[0].image_index, (0, 1, 2, 3, 5)).sum()


def test_images_are_ordered_by_id_where_all_have_one_and_else_by_key(columns, crowd):
    detections, truth = columns(crowd(4))
    turned = replace(truth, image_ids=truth.image_ids[::-1].copy())
    evaluator = CountEvaluator(truth.classes)
    for i in range(4):
        evaluator.add(*one((detections, turned), i))
    assert evaluator.joint().images == truth.images[::-1]
    assert evaluator.joint().image_ids.tolist() == sorted(truth.image_ids.tolist())
    evaluator.reset()
    evaluator.add(*one((detections, turned), 3))
    evaluator.add(*one((detections, replace(turned, image_ids=None)), 0))
    assert evaluator.joint().images == (truth.images[0], truth.images[3])
    assert evaluator.joint().image_ids is None


def test_an_image_added_twice_is_refused_at_the_latest_with_the_numbers(columns, crowd):
    both = columns(crowd(4))
    left, right = CountEvaluator(both[1].classes), CountEvaluator(both[1].classes)
    left.add(*one(both, 0))
    right.add(*one(both, 0))
    left.merge(right)
    with pytest.raises(EvaluationError, match=r"'1.jpg' was added 2 times \(1 such images\)"):
        left.joint()


def test_another_kind_is_not_merged(columns, crowd):
    _, truth = columns(crowd(2))
    with pytest.raises(EvaluationError, match="different classes or settings"):
        CountEvaluator(truth.classes).merge(ThresholdEvaluator(truth.classes))
