"""Runs that have so many minutes."""

from __future__ import annotations

import pytest

torch = pytest.importorskip("torch")

from core.tests.training.grid import GridAdapter, tiny_run

from anydet.training import loop as loops
from anydet.training.checkpoints.checkpoint import load_checkpoint
from anydet.training.launch.pace import measure_pace
from anydet.types import AdapterSettings

pytestmark = pytest.mark.slow


@pytest.fixture
def clock(monkeypatch):
    """Time goes on by ten seconds each time that the loop looks at it."""
    now = [0.0]

    def look() -> float:
        now[0] += 10.0
        return now[0]

    monkeypatch.setattr(loops.time, "perf_counter", look)
    return now


def test_a_run_whose_minutes_are_over_ends_validated_and_saved(tmp_path, clock, capsys):
    adapter = GridAdapter(AdapterSettings())
    run = tiny_run(tmp_path, epochs=50, max_minutes=2.0)
    result = adapter.train(run)
    last = load_checkpoint(run.paths.last)
    assert 0 < last.step < 12
    assert "avg_val_loss" in result.metrics
    assert f"2 minutes are over, after {last.step} of 150 steps" in capsys.readouterr().err


def test_it_goes_on_where_it_ended(tmp_path, clock):
    run = tiny_run(tmp_path, epochs=50, max_minutes=2.0)
    GridAdapter(AdapterSettings()).train(run)
    steps = load_checkpoint(run.paths.last).step
    again = tiny_run(tmp_path, epochs=50, max_minutes=2.0, resume=True)
    GridAdapter(AdapterSettings()).train(again)
    assert load_checkpoint(run.paths.last).step > steps


def test_minutes_that_are_enough_change_nothing(tmp_path):
    run = tiny_run(tmp_path, epochs=1, max_minutes=60.0)
    GridAdapter(AdapterSettings()).train(run)
    assert load_checkpoint(run.paths.last).step == 3


def test_the_pace_is_that_of_steps_and_leaves_nothing_behind(tmp_path):
    run = tiny_run(tmp_path / "run", epochs=50)
    pace = measure_pace(GridAdapter(AdapterSettings()).training_task, run, steps=3)
    assert 0 < pace < 5
    assert not (tmp_path / "run").exists()
