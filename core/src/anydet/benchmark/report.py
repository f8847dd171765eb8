"""The result of a benchmark: tables, a chart, JSON."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any

from anydet.benchmark.contestant import Contestant
from anydet.benchmark.run import BenchmarkSettings, Measured
from anydet.benchmark.timing import PERCENTILES, Spread, Timing, ratio
from anydet.data.dataset.protocols import Dataset
from anydet.dataclass import dataclass
from anydet.errors import AnydetError
from anydet.evaluation.evaluator import Engine
from anydet.evaluation.figures import Axis, Figure, Lines, Series
from anydet.evaluation.in_memory import read_results
from anydet.evaluation.reading import join_inputs
from anydet.evaluation.run import prepare_coco
from anydet.evaluation.tables import Cell, Table
from anydet.version import __version__

STAGES = ("decode", "preprocess", "model", "postprocess")
_BUSY = 1.25
"""Waiting and running processes a processor from which other work is worth a note."""


@dataclass(frozen=True, slots=True)
class Row:
    """Everything about one contestant.

    Attributes:
        label: of the contestant.
        adapter: registered name.
        version: of the adapter.
        runtime: what runs its model, as ``meta`` states it.
        batch_size: images of a call.
        timing: what was measured.
        ratio: of its seconds to those of the first one, block by block.
        ap: COCO's AP on the images; text says why there is none, ``None`` that there are no labels.
        memory_mib: most memory of a process of its own; text says why there is none, ``None`` that it was
            not asked for.
        watts: mean power of the machine while it ran, or ``None``.
    """

    label: str
    adapter: str
    version: str | None
    runtime: Mapping[str, Any]
    batch_size: int
    timing: Timing
    ratio: Spread
    ap: float | str | None = None
    memory_mib: float | str | None = None
    watts: float | None = None

    def as_dict(self) -> dict[str, Any]:
        """The same for JSON."""
        return {
            "label": self.label,
            "adapter": self.adapter,
            "version": self.version,
            "runtime": dict(self.runtime),
            "batch_size": self.batch_size,
            **self.timing.as_dict(),
            "ratio_to_first": self.ratio.as_dict(),
            "AP": _number(self.ap),
            "peak_memory_mib": _number(self.memory_mib),
            "watts": self.watts,
            "joules_per_image": self.watts and self.watts / self.timing.images_per_s,
        }


@dataclass(frozen=True, slots=True)
class BenchmarkReport:
    """What ``anydet benchmark`` prints and writes.

    Attributes:
        rows: of the contestants, in their order.
        measured: the run.
        settings: how often, and in what portions.
        dataset: name and fingerprint of the data set.
    """

    rows: tuple[Row, ...]
    measured: Measured
    settings: BenchmarkSettings
    dataset: Mapping[str, Any]

    @property
    def tables(self) -> tuple[Table, ...]:
        """Latency, stages, and what else was measured."""
        return tuple(table for table in (self._latency, self._stages, self._others) if table.rows)

    @property
    def figure(self) -> Figure:
        """AP against latency, a point a contestant; of one adapter with several batch sizes a line."""
        names = list(dict.fromkeys(row.label for row in self.rows))
        lines = []
        for name in names:
            rows = [row for row in self.rows if row.label == name]
            points = tuple(row.timing.latency_ms[50] for row in rows)
            values = tuple(_number(row.ap) for row in rows)
            batches = tuple(str(row.batch_size) for row in rows) if len(rows) > 1 else None
            lines.append(Series(name, points, values, labels=batches))
        highest = max(_number(row.ap) or 0.0 for row in self.rows)
        swept = ", images of a call beside points" if len(self.rows) > len(names) else ""
        furthest = max(x for line in lines for x in line.x if x is not None)
        return Lines(
            "ap-by-latency",
            f"AP against latency{swept}",
            Axis("latency of a call, median", "ms", (0.0, 1.15 * furthest)),
            Axis("AP", limits=(0.0, max(1.15 * highest, 0.01))),
            tuple(lines),
        )

    @property
    def notes(self) -> tuple[str, ...]:
        """What a reader of the numbers should know."""
        machine, measured = self.measured.machine, self.measured
        found = []
        load, processors = machine["load_before"], machine["processors"] or 1
        if load is not None and load > _BUSY * processors:
            found.append(
                f"the machine was busy (load {load:.1f} on {processors} processor(s)): ratios and CPU time "
                "say more than milliseconds"
            )
        if measured.interrupted:
            found.append(
                f"interrupted: numbers are of {self.rows[0].timing.images} of {measured.planned} predictions"
            )
        unmarked = [row.label for row in self.rows if not row.timing.stages_ms]
        if unmarked:
            found.append(f"no stages: {', '.join(unmarked)}")
        found += [f"AP of {row.label}: {row.ap}" for row in self.rows if isinstance(row.ap, str)]
        found += [f"memory of {r.label}: {r.memory_mib}" for r in self.rows if isinstance(r.memory_mib, str)]
        return tuple(dict.fromkeys(found))

    def as_dict(self) -> dict[str, Any]:
        """What ``--json`` writes."""
        measured = self.measured
        return {
            "dataset": dict(self.dataset),
            "images": measured.images,
            "rounds": measured.rounds,
            "block": self.settings.block,
            "warm_up": self.settings.warm_up,
            "interrupted": measured.interrupted,
            "machine": measured.machine,
            "power": measured.power_note,
            "contestants": [row.as_dict() for row in self.rows],
            "notes": list(self.notes),
            "versions": {"anydet": __version__},
        }

    @property
    def _latency(self) -> Table:
        percentiles = tuple(f"p{q}" for q in PERCENTILES)
        header = ("ms of a call", "batch", *percentiles, "p50 of rounds", "images/s", "CPU ms/image", "ratio")
        return Table(
            f"latency on {self.measured.images} images", header, tuple(map(_latency_cells, self.rows))
        )

    @property
    def _stages(self) -> Table:
        there = [s for s in STAGES if any(s in row.timing.stages_ms for row in self.rows)]
        rows: list[tuple[Cell, ...]] = []
        for row in self.rows:
            if row.timing.stages_ms:
                stages = [row.timing.stages_ms.get(s) for s in there]
                rows.append((row.label, row.batch_size, *(None if s is None else f"{s:.2f}" for s in stages)))
        return Table("stages", ("ms an image", "batch", *there), tuple(rows))

    @property
    def _others(self) -> Table:
        columns: dict[str, list[Cell]] = {
            "AP": [_number(row.ap) for row in self.rows],
            "peak memory MiB": [
                f"{r.memory_mib:.0f}" if isinstance(r.memory_mib, float) else None for r in self.rows
            ],
            "W": [None if row.watts is None else f"{row.watts:.1f}" for row in self.rows],
            "J/image": [
                None if row.watts is None else f"{row.watts / row.timing.images_per_s:.3f}"
                for row in self.rows
            ],
        }
        there = {name: cells for name, cells in columns.items() if any(c is not None for c in cells)}
        if not there:
            return Table("accuracy and cost", ("adapter",), ())
        rows = tuple(
            (row.label, row.batch_size, *(cells[i] for cells in there.values()))
            for i, row in enumerate(self.rows)
        )
        return Table("accuracy and cost", ("adapter", "batch", *there), rows)


def report(
    measured: Measured,
    settings: BenchmarkSettings,
    dataset: Dataset,
    *,
    engine: Engine | None = None,
    memory: Sequence[float | str] | None = None,
) -> BenchmarkReport:
    """The numbers of a run.

    Args:
        measured: the run.
        settings: that it had.
        dataset: what was predicted, with labels where there is an ``engine``.
        engine: matches boxes for AP; without one there is none.
        memory: peak memory of each contestant, or why there is none.
    """
    base = measured.contestants[0].blocks
    rows = []
    for i, one in enumerate(measured.contestants):
        whole = len(one.blocks) >= measured.blocks_a_round
        rows.append(
            Row(
                one.label,
                one.adapter.name,
                one.adapter.version,
                one.adapter.notes.runtime,
                one.batch_size,
                Timing.of(one.blocks, measured.blocks_a_round),
                ratio(one.blocks, base),
                _ap(one, measured, dataset, engine) if engine and whole else None,
                memory[i] if memory else None,
                measured.watts[i],
            )
        )
    about = {"name": str(dataset.root), "split": dataset.split, "fingerprint": dataset.fingerprint()}
    return BenchmarkReport(tuple(rows), measured, settings, about)


def _number(value: float | str | None) -> float | None:
    return None if isinstance(value, str) else value


def _ap(one: Contestant, measured: Measured, dataset: Dataset, engine: Engine) -> float | str | None:
    """Of the first round, through a file as an export writes it; text where they do not fit: why."""
    results = [r for block in one.blocks[: measured.blocks_a_round] for r in block.results]
    try:
        raw = read_results(results, one.adapter.classes, engine.scanner)
        inputs = join_inputs(dataset, raw, max_images=measured.images)
        return prepare_coco([inputs], engine=engine).result().metrics["AP"]
    except AnydetError as exc:
        return exc.problem


def _latency_cells(row: Row) -> tuple[Cell, ...]:
    timing = row.timing
    rounds = timing.round_p50_ms
    return (
        row.label,
        row.batch_size,
        *(f"{timing.latency_ms[q]:.2f}" for q in PERCENTILES),
        f"{rounds.low:.2f}..{rounds.high:.2f}",
        f"{timing.images_per_s:.1f}",
        f"{timing.cpu_ms:.2f}",
        f"{row.ratio.median:.3f} [{row.ratio.low:.3f}, {row.ratio.high:.3f}]",
    )
