from __future__ import annotations

import json

import pytest
from hypothesis import given
from hypothesis import strategies as st

from anydet.training.optim.early_stopping import BestTracker, lower_is_better

NAN, INF = float("nan"), float("inf")
values = st.lists(st.floats(-10, 10), min_size=1, max_size=20)


@pytest.mark.parametrize("name", ["val_loss", "avg_val_loss", "val_loss_state", "rotation_error_deg"])
def test_losses_and_errors_are_better_when_lower(name):
    assert lower_is_better(name)
    assert BestTracker(name).mode == "min"


@pytest.mark.parametrize("name", ["AP", "AP50", "macro_f1", "mIoU"])
def test_everything_else_is_better_when_higher(name):
    assert BestTracker(name).mode == "max"


@given(values)
def test_the_best_is_the_first_extreme(seen):
    for mode, extreme in (("min", min), ("max", max)):
        tracker = BestTracker("AP", mode, min_delta=1.0)
        for step, value in enumerate(seen):
            assert tracker.update(value, step) == (value == extreme(seen[: step + 1]) not in seen[:step])
        assert (tracker.best, tracker.best_step) == (extreme(seen), seen.index(extreme(seen)))


def test_nan_and_infinity_are_never_best_and_cost_patience():
    tracker = BestTracker("AP", patience=3)
    assert [tracker.update(v, i) for i, v in enumerate([NAN, 0.1, NAN, INF])] == [False, True, False, False]
    assert not tracker.should_stop
    tracker.update(-INF, 5)
    assert tracker.should_stop
    assert (tracker.best, tracker.best_step) == (0.1, 1)


def test_patience_counts_validations_without_progress_and_0_never_stops():
    patient, tracker = BestTracker("val_loss"), BestTracker("val_loss", patience=2)
    stops = []
    for step, value in enumerate([5, 4, 4, 3, 3, 3.5]):
        patient.update(value, step)
        tracker.update(value, step)
        stops.append(tracker.should_stop)
    assert stops == [False, False, False, False, False, True]
    assert not patient.should_stop


def test_small_progress_makes_a_new_best_but_does_not_restart_patience():
    tracker = BestTracker("AP", patience=2, min_delta=0.1)
    assert [tracker.update(v, i) for i, v in enumerate([0.5, 0.55, 0.59])] == [True, True, True]
    assert tracker.should_stop
    assert tracker.best == 0.59


@given(values, st.integers(0, 20))
def test_a_resumed_tracker_goes_on_as_if_nothing_had_been(seen, at):
    whole, first = (BestTracker("AP", patience=2, min_delta=0.5) for _ in range(2))
    for step, value in enumerate(seen):
        whole.update(value, step)
        if step == at:
            second = BestTracker("AP", patience=2, min_delta=0.5)
            second.load_state_dict(json.loads(json.dumps(first.state_dict())))
            first = second
        first.update(value, step)
        assert first.should_stop == whole.should_stop
    assert first.state_dict() == whole.state_dict()
