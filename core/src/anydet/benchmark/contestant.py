"""``Contestant``: an adapter that is timed, and what was measured of it, block by block."""

from __future__ import annotations

import time
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import field

import numpy as np

from anydet.data.record.record import Record
from anydet.dataclass import dataclass
from anydet.plugins.adapter import Adapter
from anydet.plugins.manager import Plugins
from anydet.prediction.pipeline import Limits
from anydet.prediction.predictor import Predictor
from anydet.types import FloatArray, ImagePredictions


@dataclass(frozen=True, slots=True)
class Block:
    """A run over a few images.

    Attributes:
        images: how many.
        calls_s: (N,) seconds of each call of ``predict``, a batch each.
        cpu_s: seconds of the processors, all threads together.
        stages_s: stage -> seconds; without those that the adapter does not mark.
        results: of the images, in their order; of the first round alone.
    """

    images: int
    calls_s: FloatArray
    cpu_s: float
    stages_s: Mapping[str, float]
    results: tuple[ImagePredictions, ...]

    @property
    def seconds(self) -> float:
        """Of all calls."""
        return float(self.calls_s.sum())


@dataclass(slots=True, eq=False)
class Contestant:
    """An open adapter with its batch size, and its blocks so far.

    Attributes:
        label: what tables and charts call it; one adapter has the same with all batch sizes.
        adapter: predicts; its settings have the batch size.
        limits: detections that are kept, as an export keeps them.
        plugins: that the adapter comes from, for errors.
        blocks: what was measured; those of the warm-up are not kept.
    """

    label: str
    adapter: Adapter
    limits: Limits = Limits()
    plugins: Plugins | None = None
    blocks: list[Block] = field(default_factory=list)

    @property
    def batch_size(self) -> int:
        """Images of a call."""
        return max(1, self.adapter.settings.batch_size)

    def run(self, records: Sequence[Record]) -> Block:
        """Predict records batch by batch, decoding within the call, as one who waits for a result sees it.

        Raises ``AnydetError`` where an image cannot be decoded or predicted.
        """
        predictor = Predictor(self.adapter, plugins=self.plugins)
        before = {name: len(seconds) for name, seconds in self.adapter.stage_seconds.items()}
        calls: list[float] = []
        results: list[ImagePredictions] = []
        cpu = time.process_time()
        with self.adapter.keeping_best(self.limits.max_detections):
            for batch in self._batches(records):
                start = time.perf_counter()
                found = [self.limits.apply(one) for one in predictor(batch)]
                self.adapter.synchronize()
                calls.append(time.perf_counter() - start)
                results += found
        cpu = time.process_time() - cpu
        stages = {
            name: float(sum(seconds[before.get(name, 0) :]))
            for name, seconds in self.adapter.stage_seconds.items()
        }
        return Block(len(records), np.array(calls), cpu, stages, tuple(results))

    def _batches(self, records: Sequence[Record]) -> Iterator[Sequence[Record]]:
        for start in range(0, len(records), self.batch_size):
            yield records[start : start + self.batch_size]
