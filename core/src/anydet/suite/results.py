"""What a suite gives: files by rank, with intervals and differences, as tables, figures and JSON."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any

from anydet.evaluation.analysis.bootstrap import Intervals
from anydet.evaluation.analysis.comparison import Comparison, Difference
from anydet.evaluation.coco import CocoResult
from anydet.evaluation.figures import Axis, Bar, Bars, Figure, Matrix
from anydet.evaluation.tables import Cell, Table
from anydet.suite.files import Held
from anydet.suite.protocol import Protocol


@dataclass(frozen=True, slots=True, eq=False)
class Entry:
    """A file with its numbers.

    Attributes:
        file: path, meta and the conditions that it was allowed to break.
        result: the numbers.
        intervals: of them.
    """

    file: Held
    result: CocoResult
    intervals: Intervals

    @property
    def speed(self) -> float | None:
        """Images per second, as the file's meta states; ``None`` where it does not."""
        runtime = self.file.meta.get("runtime")
        found = runtime.get("images_per_s") if isinstance(runtime, dict) else None
        return float(found) if isinstance(found, int | float) and not isinstance(found, bool) else None

    def as_dict(self) -> dict[str, Any]:
        """The same for JSON."""
        meta = self.file.meta
        return {
            "file": str(self.file.path),
            "adapter": meta.get("adapter"),
            "checkpoint_sha256": meta.get("checkpoint_sha256"),
            "export_settings": meta.get("export_settings"),
            "runtime": meta.get("runtime"),
            "mismatches": [miss.as_dict() for miss in self.file.mismatches],
            **self.result.as_dict(),
            "intervals": self.intervals.as_dict(),
        }


@dataclass(frozen=True, slots=True, eq=False)
class SuiteResult:
    """Files of a suite, best first.

    Attributes:
        protocol: what they keep.
        metric: what they are ranked by.
        entries: best first; files that are equal by their paths.
        pairs: (rank of the better, rank of the worse), from 0 on -> better - worse.
    """

    protocol: Protocol
    metric: str
    entries: tuple[Entry, ...]
    pairs: Mapping[tuple[int, int], Comparison]

    @property
    def names(self) -> tuple[str, ...]:
        """What the files are called: their names, or paths where two have one name."""
        names = [entry.file.path.name for entry in self.entries]
        if len(set(names)) == len(names):
            return tuple(names)
        return tuple(str(entry.file.path) for entry in self.entries)

    def difference(self, better: int, worse: int) -> Difference:
        """Of the metric that ranks, between the files of two ranks."""
        return self.pairs[better, worse].overall[self.metric]

    @property
    def tables(self) -> tuple[Table, ...]:
        """The ranking; each file beside the next one; all numbers; conditions that were let pass."""
        found = [self._ranking(), self._steps(), self._numbers()]
        passed = [
            (name, miss.condition, miss.stated, str(miss.wanted))
            for name, entry in zip(self.names, self.entries, strict=True)
            for miss in entry.file.mismatches
        ]
        if passed:
            header = ("file", "condition", "stated", "protocol")
            found.append(Table("conditions that were let pass", header, tuple(passed)))
        return tuple(table for table in found if table.rows)

    @property
    def figures(self) -> tuple[Figure, ...]:
        """The ranking with intervals, and the differences of all pairs."""
        metric, names = self.metric, self.names
        bars = []
        for name, entry in zip(names, self.entries, strict=True):
            found = entry.intervals.overall[metric]
            bars.append(Bar(name, found.value, found.low, found.high))
        title = f"{metric}, {self._level} intervals"
        figures: list[Figure] = [Bars("ranking", title, Axis(metric, limits=(0.0, 1.0)), tuple(bars))]
        if len(names) > 1:
            values = tuple(tuple(self._between(a, b) for b in range(len(names))) for a in range(len(names)))
            axes = Axis("file"), Axis("minus"), Axis(f"difference of {metric}")
            heading = f"{metric} of the row minus that of the column"
            figures.append(Matrix("differences", heading, *axes, names, names, values))
        return tuple(figures)

    @property
    def notes(self) -> tuple[str, ...]:
        """What the files were held against."""
        return (f"protocol: {self.protocol.name}, {self.protocol.digest}",)

    def as_dict(self) -> dict[str, Any]:
        """What ``eval-suite --json`` writes."""
        paths = [str(entry.file.path) for entry in self.entries]
        return {
            "protocol": self.protocol.as_dict(),
            "rank_by": self.metric,
            "ranking": [
                {"rank": rank, **entry.as_dict()} for rank, entry in enumerate(self.entries, start=1)
            ],
            "differences": [
                {"a": paths[worse], "b": paths[better], **comparison.as_dict()}
                for (better, worse), comparison in self.pairs.items()
            ],
        }

    @property
    def _level(self) -> str:
        return f"{100 * self.protocol.level:g} %"

    def _ranking(self) -> Table:
        rows: list[tuple[Cell, ...]] = []
        for rank, (name, entry) in enumerate(zip(self.names, self.entries, strict=True)):
            found = entry.intervals.overall[self.metric]
            best = self.difference(0, rank) if rank else None
            behind = (None, None) if best is None else (_behind(best.difference), best.p)
            rows.append((name, rank + 1, found.value, found.low, found.high, *behind, entry.speed))
        header = ("file", "rank", self.metric, "low", "high", "to best", "p", "images/s")
        resamples = f"{self.protocol.resamples} resamples of images"
        title = f"ranking by {self.metric}, {self._level} intervals, {resamples}"
        return Table(title, header, tuple(rows))

    def _numbers(self) -> Table:
        names = tuple(self.entries[0].result.metrics)
        rows = (
            (name, *(entry.result.metrics[metric] for metric in names))
            for name, entry in zip(self.names, self.entries, strict=True)
        )
        return Table("all numbers", ("file", *names), tuple(rows))

    def _steps(self) -> Table:
        rows = []
        for rank in range(1, len(self.entries)):
            step = self.difference(rank - 1, rank)
            pair = f"{self.names[rank - 1]} - {self.names[rank]}"
            rows.append((pair, step.difference, step.low, step.high, step.p))
        title = f"each file minus the next one, {self.metric}, paired"
        return Table(title, ("files", "difference", "low", "high", "p"), tuple(rows))

    def _between(self, a: int, b: int) -> float | None:
        if a == b:
            return 0.0
        found = self.difference(min(a, b), max(a, b)).difference
        return found if found is None or a < b else -found


def _behind(difference: float | None) -> float | None:
    return None if difference is None else 0.0 - difference
