"""Each check of evaluators catches a bad evaluator of its own."""

from __future__ import annotations

import numpy as np
import pytest

from anydet.evaluation.results import Measured
from anydet.evaluation.tables import Table
from anydet.testing.checks.evaluators import CHECKS, EvaluatorSubject
from anydet.testing.kit import NotApplicable


class Good:
    """Detections and the best score."""

    name = "counts"

    def __init__(self, ground_truth):
        self.reset()

    def applies(self, detections, ground_truth):
        return None if len(ground_truth) else "there is no annotation"

    def reset(self):
        self.scores = []

    def add(self, detections, ground_truth):
        self.scores += detections.scores.tolist()

    def merge(self, other):
        self.scores += other.scores

    def result(self):
        best = max(self.scores, default=None)
        table = Table("all", ("what", "number"), (("best", best),))
        return Measured({"found": len(self.scores), "best": best}, (table,), {})


class NamesItself(Good):
    name = "another"


class AppliesToAll(Good):
    def applies(self, detections, ground_truth):
        return None

    def add(self, detections, ground_truth):
        if detections.masks is None:
            raise KeyError("masks")


class GivesFalse(Good):
    def applies(self, detections, ground_truth):
        return False


class MergesNothing(Good):
    def merge(self, other):
        pass


class KeepsTheLastChunk(Good):
    def add(self, detections, ground_truth):
        self.scores = detections.scores.tolist()


class KeepsTheFirstScore(Good):
    def add(self, detections, ground_truth):
        self.scores += (
            detections.scores[:1] + detections.image_index[:1] + len(ground_truth.images[0])
        ).tolist()
        self.scores += [float(ground_truth.images[0][:2])]


class GivesNaN(Good):
    def result(self):
        return Measured({"best": float("nan")}, (), {})


class GivesArrays(Good):
    def result(self):
        return Measured({"best": 1.0}, (), {"curve": np.zeros(3)})


class NeedsAFinding(Good):
    def result(self):
        return Measured({"best": max(self.scores)}, (), {})


class CountsItsResults(Good):
    def result(self):
        self.scores.append(0.0)
        return super().result()


class NeverForgets(Good):
    def reset(self):
        self.scores = getattr(self, "scores", [])


class SortsInPlace(Good):
    def add(self, detections, ground_truth):
        detections.scores.sort()
        super().add(detections, ground_truth)


BAD = [
    ("it_has_its_registered_name", NamesItself, "calls itself 'another'"),
    (
        "applies_says_what_can_be_added",
        AppliesToAll,
        "with predicted boxes alone: applies gave None, then KeyError",
    ),
    ("applies_says_what_can_be_added", GivesFalse, "applies gave False"),
    ("merged_parts_give_the_whole", MergesNothing, "merged parts: metrics found"),
    ("chunks_change_nothing", KeepsTheLastChunk, "images in chunks: metrics found"),
    ("order_of_images_changes_nothing", KeepsTheFirstScore, "in another order: metrics best"),
    ("results_can_be_written", GivesNaN, "metric best is nan"),
    ("results_can_be_written", GivesArrays, "cannot be written"),
    ("images_without_findings_are_measured", NeedsAFinding, "empty"),
    ("results_are_repeatable", CountsItsResults, r"result\(\) again"),
    ("results_are_repeatable", NeverForgets, r"after reset\(\)"),
    ("columns_are_left_alone", SortsInPlace, "copy columns"),
]


def subject(evaluator, folder):
    return EvaluatorSubject("counts", evaluator, folder=folder)


@pytest.mark.parametrize("check", CHECKS)
def test_a_good_evaluator_passes(check, tmp_path):
    CHECKS[check](subject(Good, tmp_path))


def test_every_check_has_a_bad_evaluator():
    assert {name for name, *_ in BAD} == set(CHECKS)


@pytest.mark.parametrize(("check", "bad", "message"), BAD)
def test_a_check_catches_its_bad_evaluator(check, bad, message, tmp_path):
    with pytest.raises((AssertionError, ValueError), match=message):
        CHECKS[check](subject(bad, tmp_path))


def test_an_evaluator_that_does_not_apply_is_skipped_with_its_reason(tmp_path):
    class NeedsDepth(Good):
        def applies(self, detections, ground_truth):
            return "there is no depth"

    with pytest.raises(NotApplicable, match="there is no depth"):
        CHECKS["merged_parts_give_the_whole"](subject(NeedsDepth, tmp_path))
