"""Numbers of blocks: latency, throughput, stages, and ratios to another contestant."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

import numpy as np

from anydet.benchmark.contestant import Block
from anydet.dataclass import dataclass
from anydet.types import FloatArray

PERCENTILES = (50, 90, 99)


@dataclass(frozen=True, slots=True)
class Spread:
    """A number with how far it varies.

    Attributes:
        median: of the blocks, or the number itself.
        low: its lower quartile, or the least.
        high: its upper quartile, or the greatest.
    """

    median: float
    low: float
    high: float

    @classmethod
    def of(cls, values: FloatArray, low: float = 25, high: float = 75) -> Spread:
        """Median and percentiles of numbers."""
        found = np.percentile(values, [50, low, high]).tolist()
        return cls(found[0], found[1], found[2])

    def as_dict(self) -> dict[str, float]:
        """The same for JSON."""
        return {"median": self.median, "low": self.low, "high": self.high}


@dataclass(frozen=True, slots=True)
class Timing:
    """What was measured of one contestant.

    Attributes:
        images: predicted, those of all rounds together.
        calls: of ``predict``.
        latency_ms: percentile -> milliseconds of a call.
        round_p50_ms: median latency of the rounds: the middle one, the least and the greatest.
        images_per_s: images by the seconds of all calls.
        cpu_ms: milliseconds of the processors an image, all threads together, the median of the blocks.
        stages_ms: stage -> milliseconds an image, the median of the blocks.
    """

    images: int
    calls: int
    latency_ms: dict[int, float]
    round_p50_ms: Spread
    images_per_s: float
    cpu_ms: float
    stages_ms: dict[str, float]

    @classmethod
    def of(cls, blocks: Sequence[Block], blocks_a_round: int | None = None) -> Timing:
        """Of blocks in the order in which they ran.

        Args:
            blocks: at least one.
            blocks_a_round: how many go once through all images; all of them by default.
        """
        calls_ms = 1000 * np.concatenate([block.calls_s for block in blocks])
        step = blocks_a_round or len(blocks)
        medians = np.array(
            [
                1000 * np.median(np.concatenate([one.calls_s for one in blocks[i : i + step]]))
                for i in range(0, len(blocks), step)
            ]
        )
        images = sum(block.images for block in blocks)
        stages = list(dict.fromkeys(name for block in blocks for name in block.stages_s))
        return cls(
            images,
            len(calls_ms),
            {q: float(np.percentile(calls_ms, q)) for q in PERCENTILES},
            Spread.of(medians, 0, 100),
            images / max(float(calls_ms.sum()) / 1000, 1e-12),
            float(np.median([1000 * block.cpu_s / block.images for block in blocks])),
            {
                name: float(
                    np.median([1000 * block.stages_s.get(name, 0.0) / block.images for block in blocks])
                )
                for name in stages
            },
        )

    def as_dict(self) -> dict[str, Any]:
        """The same for JSON."""
        return {
            "images": self.images,
            "calls": self.calls,
            "latency_ms": {f"p{q}": value for q, value in self.latency_ms.items()},
            "round_p50_ms": self.round_p50_ms.as_dict(),
            "images_per_s": self.images_per_s,
            "cpu_ms_per_image": self.cpu_ms,
            "stages_ms_per_image": dict(self.stages_ms),
        }


def ratio(blocks: Sequence[Block], base: Sequence[Block]) -> Spread:
    """Seconds of a contestant as a multiple of another's, block by block, with the quartiles.

    Both ran the same block right after each other, so that a machine that is busy for a while slows both.
    """
    pairs = zip(blocks, base, strict=True)
    return Spread.of(np.array([one.seconds / max(other.seconds, 1e-12) for one, other in pairs]))
