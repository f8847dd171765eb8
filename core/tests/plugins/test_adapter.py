from __future__ import annotations

import tracemalloc

import pytest

from anydet.plugins import adapter as adapter_module
from anydet.plugins.adapter import Adapter
from anydet.types import AdapterSettings

KEPT = 100_000
FEW_BYTES = 4096


class Clock:
    """Seconds that pass when ``work`` is done or waited for, and never by themselves."""

    def __init__(self):
        self.now = 0.0
        self.queued = 0.0

    def perf_counter(self):
        return self.now


class Queued(Adapter):
    """Its device gets work at once and does it while somebody waits."""

    def __init__(self, clock):
        super().__init__(AdapterSettings())
        self.clock = clock

    def predict(self, records):
        return iter(())

    def synchronize(self):
        self.clock.now += self.clock.queued
        self.clock.queued = 0.0


@pytest.fixture
def clock(monkeypatch):
    clock = Clock()
    monkeypatch.setattr(adapter_module, "time", clock)
    return clock


def test_a_stage_keeps_every_duration(clock):
    adapter = Queued(clock)
    for seconds in (0.25, 2.0, 0.5):
        with adapter.stage("decode"):
            clock.now += seconds
        clock.now += 100.0
        with adapter.stage("model"):
            clock.now += 2 * seconds
    assert {name: list(found) for name, found in adapter.stage_seconds.items()} == {
        "decode": [0.25, 2.0, 0.5],
        "model": [0.5, 4.0, 1.0],
    }


def test_work_of_the_device_belongs_to_the_stage_that_gave_it(clock):
    adapter = Queued(clock)
    clock.queued = 8.0  # before the first stage
    with adapter.stage("model"):
        clock.queued += 2.0
    with adapter.stage("postprocess"):
        clock.now += 1.0
    assert list(adapter.stage_seconds["model"]) == [2.0]
    assert list(adapter.stage_seconds["postprocess"]) == [1.0]


def test_a_stage_that_fails_has_no_duration(clock):
    adapter = Queued(clock)
    with pytest.raises(RuntimeError, match="out of memory"), adapter.stage("model"):
        raise RuntimeError("out of memory")
    assert not adapter.stage_seconds.get("model")


@pytest.mark.slow
def test_a_duration_takes_eight_bytes(clock):
    adapter = Queued(clock)
    with adapter.stage("model"):
        clock.now += 1.0
    tracemalloc.start()
    before, _ = tracemalloc.get_traced_memory()
    for _ in range(KEPT):
        with adapter.stage("model"):
            clock.now += 1.0
    after, _ = tracemalloc.get_traced_memory()
    tracemalloc.stop()
    # An array grows by an eighth ahead of need.
    assert after - before < 9 * KEPT + FEW_BYTES
