"""``anydet.benchmark``: in turn, the same images, numbers that follow from the blocks."""

from __future__ import annotations

import json
from collections.abc import Iterator, Sequence
from itertools import cycle

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from anydet.benchmark.contestant import Block, Contestant
from anydet.benchmark.report import report
from anydet.benchmark.run import BenchmarkSettings, measure, whole_calls
from anydet.benchmark.timing import Timing, ratio
from anydet.data.record.pixels import ImageArray
from anydet.data.record.record import Record
from anydet.errors import AnydetError
from anydet.plugins.adapter import Adapter
from anydet.types import AdapterSettings, ImagePredictions


class Logged(Adapter):
    """Writes down what it was called with; has one stage if it is told so."""

    def __init__(self, settings: AdapterSettings, log: list, name: str, *, marks: bool = True) -> None:
        super().__init__(settings)
        self.log, self.called, self.marks, self.most = log, name, marks, []

    def keeping_best(self, most):
        self.most.append(most)
        return super().keeping_best(most)

    def predict(self, records: Sequence[Record]) -> Iterator[ImagePredictions]:
        self.log.append((self.called, [r.key for r in records]))
        for record in records:
            if self.marks:
                with self.stage("model"):
                    pass
            yield ImagePredictions.empty(record.key, record.size_wh)


def records(count: int) -> list[Record]:
    return [Record(f"{i}", ImageArray(np.zeros((2, 2, 3), np.uint8))) for i in range(count)]


def contestants(log: list, *sizes: int, **options) -> list[Contestant]:
    return [
        Contestant(name, Logged(AdapterSettings(batch_size=size), log, name, **options))
        for name, size in zip("ABC", sizes, strict=False)
    ]


def test_blocks_go_to_all_in_turn_and_another_one_begins_each_time():
    log: list = []
    both = contestants(log, 1, 2)
    advanced: list[int] = []
    twice = BenchmarkSettings(rounds=2, block=2, warm_up=1)
    found = measure(both, records(3), twice, progress=advanced.append)
    assert log == [
        *[("A", ["0"]), ("B", ["0", "1"])],  # warm-up
        *[("A", ["0"]), ("A", ["1"]), ("B", ["0", "1"])],
        *[("B", ["2"]), ("A", ["2"])],
        *[("A", ["0"]), ("A", ["1"]), ("B", ["0", "1"])],
        *[("B", ["2"]), ("A", ["2"])],
    ]
    assert advanced == [2, 1, 2, 1]
    assert (found.images, found.blocks_a_round, found.rounds, found.interrupted) == (3, 2, 2, False)
    assert [[len(block.results) for block in one.blocks] for one in both] == [[2, 1, 0, 0]] * 2
    assert set(both[0].adapter.most) == {100}


def test_an_interrupted_run_has_as_many_blocks_of_each():
    both = contestants([], 1, 1)

    class Interrupted(Record):
        def image(self):
            raise KeyboardInterrupt

    last = Interrupted("x", ImageArray(np.zeros((2, 2, 3), np.uint8)))
    once = BenchmarkSettings(rounds=1, block=1, warm_up=0)
    found = measure(both, [*records(2), last], once)
    assert found.interrupted
    assert [len(one.blocks) for one in both] == [2, 2]
    with pytest.raises(KeyboardInterrupt):
        measure(contestants([], 1), [last], once)


@pytest.mark.parametrize(
    ("images", "sizes", "block", "wanted"),
    [
        (10, (1,), 8, (10, 8)),
        (10, (4,), 8, (8, 8)),
        (10, (1, 4), 3, (8, 4)),
        (13, (2, 3), 8, (12, 12)),
        (4, (4,), 1, (4, 4)),
    ],
)
def test_rounds_and_blocks_are_of_full_calls(images, sizes, block, wanted):
    found = whole_calls(images, sizes, block)
    assert found == wanted
    assert all(number % size == 0 for number in found for size in sizes)


def test_no_image_is_an_error():
    with pytest.raises(AnydetError, match="no image"):
        measure(contestants([], 1), [])


def block(calls: Sequence[float], images: int | None = None, **stages: float) -> Block:
    return Block(len(calls) if images is None else images, np.array(calls), sum(calls), stages, ())


def test_numbers_of_blocks():
    blocks = [block([0.010, 0.020], model=0.016), block([0.030, 0.040], 4, model=0.056)]
    timing = Timing.of(blocks, 1)
    assert timing.images == 6
    assert timing.calls == 4
    assert timing.latency_ms[50] == pytest.approx(25)
    assert timing.latency_ms[99] == pytest.approx(39.7)
    assert (timing.round_p50_ms.low, timing.round_p50_ms.high) == pytest.approx((15, 35))
    assert timing.images_per_s == pytest.approx(60)
    assert timing.stages_ms == pytest.approx({"model": (8 + 14) / 2})
    assert timing.cpu_ms == pytest.approx((15 + 17.5) / 2)


@settings(max_examples=30)
@given(
    st.lists(st.floats(1e-4, 1), min_size=1, max_size=20),
    st.floats(0.1, 10),
    st.lists(st.floats(1, 50), min_size=1, max_size=5),
)
def test_a_machine_that_is_busy_for_a_while_changes_no_ratio(seconds, times, busy):
    pairs = list(zip(seconds, cycle(busy), strict=False))
    base = [block([one * slow]) for one, slow in pairs]
    other = [block([one * slow * times]) for one, slow in pairs]
    found = ratio(other, base)
    assert (found.median, found.low, found.high) == pytest.approx((times,) * 3)


def test_an_adapter_without_stages_has_whole_latency_only(truth):
    marked, plain = contestants([], 1), contestants([], 1, marks=False)
    measured = measure([*marked, *plain], records(2), BenchmarkSettings(1, 2, 0))
    result = report(measured, BenchmarkSettings(1, 2, 0), truth)
    latency, stages = result.tables
    assert [row[0] for row in latency.rows] == ["A", "A"]
    assert [row[:2] for row in stages.rows] == [("A", 1)]
    assert "no stages: A" in result.notes
    written = json.loads(json.dumps(result.as_dict(), allow_nan=False))
    assert [sorted(one["stages_ms_per_image"]) for one in written["contestants"]] == [["model"], []]


@pytest.fixture
def truth():
    class Unlabeled:
        root, split = "somewhere", "val"

        def fingerprint(self):
            return "sha256:0"

    return Unlabeled()
