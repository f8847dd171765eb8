from __future__ import annotations

import numpy as np
import pytest

torch = pytest.importorskip("torch")

from anydet.adaptation.ttt.guards import Collapse, Limits, norm_of, relative_norm
from anydet.types import ImagePredictions

LIMITS = Limits(
    max_step_norm=0.1,
    max_total_norm=1.0,
    max_statistics_norm=20.0,
    max_loss_ratio=4.0,
    max_loss_increase=0.5,
    max_rollbacks=3,
)


@pytest.mark.parametrize(
    ("numbers", "broken"),
    [
        ({"loss": 0.2, "step_norm": 0.1}, None),
        ({"loss": float("nan")}, "non_finite"),
        ({"step_norm": float("inf")}, "non_finite"),
        ({"step_norm": 0.11}, "step_norm"),
        ({"total_norm": 1.1}, "total_norm"),
        ({"statistics_norm": 20.1}, "statistics_norm"),
        ({"loss_ratio": 4.1}, "loss_ratio"),
        ({"loss_increase": 0.6}, "loss_increase"),
    ],
)
def test_a_number_beyond_its_limit_is_named(numbers, broken):
    assert LIMITS.broken(numbers) == broken


def test_norms_are_of_all_tensors_together():
    before = {"a": torch.tensor([3.0]), "b": torch.tensor([0.0, 0.0])}
    after = {"a": torch.tensor([3.0]), "b": torch.tensor([0.0, 4.0]), "c": torch.tensor([9.0])}
    assert norm_of(after[name] for name in before) == 5
    assert relative_norm(before, after, base=2.0) == 2
    assert relative_norm(before, before, base=0.0) == 0


def found(*class_ids, score=0.9):
    rows = np.array(class_ids, np.int64)
    boxes = np.tile([0.0, 0.0, 4.0, 4.0], (len(rows), 1))
    return [ImagePredictions("a.png", (8, 8), boxes, np.full(len(rows), score), rows)]


def test_the_same_detections_are_no_collapse():
    verdict, numbers = Collapse(3).check(found(0, 1, 2) * 5, found(0, 1, 2) * 5)
    assert verdict is None
    assert numbers == {"detection_ratio": 1.0, "class_drift": 0.0}


def test_one_class_for_everything_is_a_collapse():
    verdict, numbers = Collapse(3).check(found(*[1] * 60), found(*[0, 1, 2] * 20))
    assert verdict == "class_drift"
    assert numbers["class_drift"] == pytest.approx(2 / 3)


@pytest.mark.parametrize(("adapted", "unadapted"), [(2, 60), (0, 12), (700, 60), (150, 0)])
def test_detections_that_vanish_or_flood_are_a_collapse(adapted, unadapted):
    assert Collapse(1).check(found(*[0] * adapted), found(*[0] * unadapted))[0] == "detection_ratio"


@pytest.mark.parametrize(("adapted", "unadapted"), [(0, 9), (90, 9), (60, 20), (8, 20)])
def test_few_detections_and_moderate_changes_are_none(adapted, unadapted):
    assert Collapse(1).check(found(*[0] * adapted), found(*[0] * unadapted))[0] is None


def test_detections_that_are_not_confident_do_not_count():
    flood = found(*[0] * 500, score=0.1)
    assert Collapse(1).check(flood + found(*[0] * 20), found(*[0] * 20))[1]["detection_ratio"] == 1


def test_checks_add_up_until_they_are_reset():
    collapse = Collapse(1)
    assert collapse.check([], found(*[0] * 5))[0] is None
    assert collapse.check([], found(*[0] * 5))[0] == "detection_ratio"
    collapse.reset()
    assert collapse.check([], found(*[0] * 5))[0] is None
