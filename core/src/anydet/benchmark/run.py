"""Contestants on the same images, in turn."""

from __future__ import annotations

import os
import platform
import time
from collections.abc import Callable, Sequence
from dataclasses import replace
from math import lcm
from typing import Any

from anydet.benchmark.contestant import Block, Contestant
from anydet.benchmark.power import PowerMeter
from anydet.data.record.record import Record
from anydet.dataclass import dataclass
from anydet.errors import AnydetError, OptionError


@dataclass(frozen=True, slots=True)
class BenchmarkSettings:
    """How often, and in what portions.

    Attributes:
        rounds: how often all images are predicted.
        block: images that one contestant predicts before the next one gets the same.
        warm_up: calls of each before anything is measured, on the first images.
    """

    rounds: int = 3
    block: int = 8
    warm_up: int = 3


@dataclass(frozen=True, slots=True, eq=False)
class Measured:
    """What a run left in its contestants' blocks, and around it.

    Attributes:
        contestants: with their blocks, equally many each.
        images: in a round; of an interrupted first one, those that all have predicted.
        planned: predictions of each contestant, had it not been interrupted.
        blocks_a_round: of each contestant.
        rounds: whole ones and the last, interrupted one.
        interrupted: whether it was stopped.
        watts: mean power while each of them ran, ``None`` where it is not readable.
        metered: whether power was asked for.
        power_note: what power is of, or why there is none.
        machine: what it ran on.
    """

    contestants: Sequence[Contestant]
    images: int
    planned: int
    blocks_a_round: int
    rounds: int
    interrupted: bool
    watts: Sequence[float | None]
    metered: bool
    power_note: str
    machine: dict[str, Any]


def measure(
    contestants: Sequence[Contestant],
    records: Sequence[Record],
    settings: BenchmarkSettings = BenchmarkSettings(),
    *,
    meter: PowerMeter | None = None,
    progress: Callable[[int], None] = lambda _images: None,
) -> Measured:
    """Let all predict the same images, block by block in turn; another one begins each time.

    Ctrl-C ends it with what there is, once every contestant has run a block.

    Args:
        contestants: open; their ``blocks`` are filled.
        records: the images of a round.
        settings: how often, and in what portions.
        meter: reads power; none is read by default.
        progress: called with the number of images of each finished block.

    Raises:
        AnydetError: there is no image, an image cannot be decoded, or an adapter fails on one.
        KeyboardInterrupt: before there was anything to report.
    """
    if not records:
        raise AnydetError("the data set has no image to predict", fix="name another data set or split")
    parts = [records[i : i + settings.block] for i in range(0, len(records), settings.block)]
    energy: list[list[tuple[float, float]]] = [[] for _ in contestants]
    machine = describe_machine()
    interrupted = False
    try:
        for one in contestants:
            for _ in range(settings.warm_up):
                one.run(records[: one.batch_size])
        for number, part in enumerate(parts * settings.rounds):
            for record in part:
                record.image()  # from disk once, so that the first one to run does not wait for it
            turn: dict[int, Block] = {}
            for i in range(len(contestants)):
                # Rotated, so that being the first or the last is nobody's lot.
                which = (i + number) % len(contestants)
                turn[which] = _measured(contestants[which], part, meter, energy[which])
            # Only when all have run it, so that an interrupted run has as many blocks of each.
            for which, one in enumerate(contestants):
                # Results of further rounds are the same again.
                one.blocks.append(turn[which] if number < len(parts) else replace(turn[which], results=()))
            progress(len(part))
    except KeyboardInterrupt:
        if not contestants[0].blocks:
            raise
        interrupted = True
    done = len(contestants[0].blocks)
    return Measured(
        contestants,
        sum(map(len, parts[:done])),
        len(records) * settings.rounds,
        len(parts),
        -(-done // len(parts)),
        interrupted,
        [_mean_watts(values) for values in energy],
        meter is not None,
        "not asked for" if meter is None else meter.note,
        machine,
    )


def whole_calls(images: int, batch_sizes: Sequence[int], block: int) -> tuple[int, int]:
    """Images of a round and of a block in which all calls of all batch sizes are full.

    A call with fewer images takes less time, and would be counted among those of its batch size.

    Args:
        images: that there are.
        batch_sizes: images of a call.
        block: images of a block, at least; 1 or more.

    Raises:
        OptionError: there are too few images for that.
    """
    step = lcm(*batch_sizes)
    if step > images:
        sizes = ",".join(map(str, batch_sizes))
        raise OptionError(
            f"--batch-size {sizes}: {images} images are fewer than {step}, which fill calls of all",
            fix="give sizes that divide each other and are no more than the images, such as 1,4,16, or raise "
            "--max-images",
        )
    return images - images % step, -(-block // step) * step


def describe_machine() -> dict[str, Any]:
    """Processors, system, and how busy it is as yet."""
    load = os.getloadavg()[0] if hasattr(os, "getloadavg") else None
    count = len(os.sched_getaffinity(0)) if hasattr(os, "sched_getaffinity") else os.cpu_count()
    return {
        "processor": _processor(),
        "processors": count,
        "system": f"{platform.system()} {platform.machine()}",
        "python": platform.python_version(),
        "load_before": load,
    }


def _measured(
    one: Contestant, part: Sequence[Record], meter: PowerMeter | None, energy: list[tuple[float, float]]
) -> Block:
    before = None if meter is None else meter.read()
    start = time.perf_counter()
    block = one.run(part)
    seconds = time.perf_counter() - start
    if meter is not None and before is not None:
        watts = meter.watts(before, meter.read(), seconds)
        if watts is not None:
            energy.append((watts, seconds))
    return block


def _mean_watts(values: Sequence[tuple[float, float]]) -> float | None:
    seconds = sum(duration for _, duration in values)
    return sum(watts * duration for watts, duration in values) / seconds if seconds else None


def _processor() -> str:
    try:
        with open("/proc/cpuinfo", encoding="utf-8", errors="replace") as file:  # noqa: PTH123 - as in memory
            names = [line.partition(":")[2].strip() for line in file if line.startswith("model name")]
    except OSError:
        names = []
    return names[0] if names else platform.processor()
