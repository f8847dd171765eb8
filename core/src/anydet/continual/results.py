"""``Results``: what came out of all methods, as tables, figures and plain data."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np

from anydet.continual.measures import CHANGES, MEASURES, Measured
from anydet.continual.scores import METRIC
from anydet.evaluation.figures import Axis, Bar, Bars, Lines, Matrix, Series
from anydet.evaluation.tables import Table
from anydet.text import counted
from anydet.types import FloatArray

LEVEL = 0.95
SEEN = "AP of all classes"
FIGURES = ("so-far", "forgetting", "matrix")
"""Names of all that there may be; forgetting needs two tasks."""
_COMPARED = ("average AP", "forgetting")

_SCALE = Axis(METRIC, limits=(0.0, 1.0))


@dataclass(frozen=True, slots=True, eq=False)
class Matrices:
    """AP of one method: on each task after each task.

    Attributes:
        values: (S, T, T) of S seeds, NaN where a task's classes were not known yet.
        draws: (S, B, T, T) on resampled images, or ``None`` where there are too few for intervals.
        seen: (S, T) on all classes so far, where all tasks have the same images; else NaN.
        seen_draws: (S, B, T) of it, or ``None``.
        seconds: median time of a training, ``None`` where none was measured.
        runs: folder of each seed and task.
    """

    values: FloatArray
    draws: FloatArray | None
    seen: FloatArray
    seen_draws: FloatArray | None
    seconds: float | None
    runs: tuple[tuple[str, ...], ...]

    def measure(self, name: str) -> Measured:
        """A number of ``MEASURES``, or AP of all classes after the last task."""
        return Measured.of(*self._arrays(name), LEVEL, least=-1.0 if name in CHANGES else 0.0)

    def difference(self, name: str, other: Matrices) -> Measured:
        """How far a number is above that of another method: paired by images and seeds."""
        (mine, my_draws), (theirs, their_draws) = self._arrays(name), other._arrays(name)
        draws = None if my_draws is None or their_draws is None else my_draws - their_draws
        return Measured.of(mine - theirs, draws, LEVEL)

    def cell(self, after: int, on: int) -> Measured:
        """AP on a task after another one."""
        draws = None if self.draws is None else self.draws[:, :, after, on]
        return Measured.of(self.values[:, after, on], draws, LEVEL, least=0.0)

    def so_far(self, after: int) -> Measured:
        """AP of all classes so far; where tasks have images of their own, the mean over tasks so far."""
        if not np.isnan(self.seen).all():
            draws = None if self.seen_draws is None else self.seen_draws[:, :, after]
            return Measured.of(self.seen[:, after], draws, LEVEL, least=0.0)
        draws = None if self.draws is None else self.draws[:, :, after, : after + 1].mean(axis=-1)
        return Measured.of(self.values[:, after, : after + 1].mean(axis=-1), draws, LEVEL, least=0.0)

    def _arrays(self, name: str) -> tuple[FloatArray, FloatArray | None]:
        """(S,) values and (S, B) draws."""
        if name == SEEN:
            return self.seen[:, -1], None if self.seen_draws is None else self.seen_draws[:, :, -1]
        measure = MEASURES[name]
        return measure(self.values), None if self.draws is None else measure(self.draws)


@dataclass(frozen=True, slots=True, eq=False)
class Results:
    """What came out.

    Attributes:
        methods: name -> matrices; in the order of the setting.
        baseline: the method that others are compared with, or ``None``.
        tasks: names of the tasks.
        images: number of images that tasks are evaluated on.
        resamples: of these.
        seeds: of the trainings.
    """

    methods: Mapping[str, Matrices]
    baseline: str | None
    tasks: tuple[str, ...]
    images: int
    resamples: int
    seeds: tuple[int, ...]

    @property
    def tables(self) -> tuple[Table, ...]:
        """Numbers of methods, their differences, and AP on each task after each task."""
        return (self._summary, *([] if self._others == () else [self._differences]), self._matrix)

    @property
    def figures(self) -> tuple[Lines | Bars | Matrix, ...]:
        """AP so far by task, forgetting, and AP on each task after each task."""
        return (self._curves, *([self._forgetting] if len(self.tasks) > 1 else ()), self._cells)

    def as_dict(self) -> dict[str, Any]:
        """The same for JSON."""
        return {
            "tasks": list(self.tasks),
            "seeds": list(self.seeds),
            "images": self.images,
            "level": LEVEL,
            "resamples": self.resamples,
            "methods": {name: self._written(name) for name in self.methods},
            "tables": [table.as_dict() for table in self.tables],
            "figures": [figure.as_dict() for figure in self.figures],
        }

    def _written(self, name: str) -> dict[str, Any]:
        found, base = self.methods[name], self.methods.get(self.baseline or "")
        places = range(len(self.tasks))
        return {
            "measures": {one: found.measure(one).as_dict() for one in self._measures},
            "differences": {one: found.difference(one, base).as_dict() for one in self._compared}
            if base is not None and name in self._others
            else {},
            "matrix": [[found.cell(after, on).as_dict() for on in places] for after in places],
            "so_far": [found.so_far(after).as_dict() for after in places],
            "seconds": found.seconds,
            "runs": [list(row) for row in found.runs],
        }

    @property
    def _measures(self) -> tuple[str, ...]:
        return (*MEASURES, *([SEEN] if self._one_set else []))

    @property
    def _compared(self) -> tuple[str, ...]:
        return (*_COMPARED, *([SEEN] if self._one_set else []))

    @property
    def _one_set(self) -> bool:
        return any(not np.isnan(found.seen).all() for found in self.methods.values())

    @property
    def _others(self) -> tuple[str, ...]:
        return tuple(name for name in self.methods if self.baseline and name != self.baseline)

    @property
    def _about(self) -> str:
        parts = counted(self.images, "image"), counted(len(self.seeds), "seed")
        return f"{', '.join(parts)}, {100 * LEVEL:g} % intervals over images{self._left_out}"

    @property
    def _left_out(self) -> str:
        """How many resamples some number is without, where that is not none."""
        places = range(len(self.tasks))
        numbers = [found.measure(one) for found in self.methods.values() for one in self._measures]
        numbers += [found.cell(a, on) for found in self.methods.values() for a in places for on in places]
        most = max((number.left_out for number in numbers), default=0)
        if not most:
            return ""
        return f" (up to {most} of {self.resamples} resamples left out: a task without an object in them)"

    @property
    def _summary(self) -> Table:
        rows = tuple(
            (name, *(found.measure(one).text for one in self._measures), found.seconds)
            for name, found in self.methods.items()
        )
        return Table(f"methods, {self._about}", ("method", *self._measures, "s/training"), rows)

    @property
    def _differences(self) -> Table:
        base = self.methods[self.baseline or ""]
        rows = tuple(
            (name, *(self.methods[name].difference(one, base).text for one in self._compared))
            for name in self._others
        )
        return Table(f"differences from {self.baseline}, {self._about}", ("method", *self._compared), rows)

    @property
    def _matrix(self) -> Table:
        rows = tuple(
            (f"{name}, after {self.tasks[after]}", *(found.cell(after, on).text for on in self._places))
            for name, found in self.methods.items()
            for after in self._afters(found)
        )
        return Table(f"{METRIC} on each task after each task", ("method", *self.tasks), rows)

    @property
    def _places(self) -> Sequence[int]:
        return range(len(self.tasks))

    def _afters(self, found: Matrices) -> list[int]:
        """The tasks after which there are numbers: of joint training the last one alone."""
        return [after for after in self._places if not np.isnan(found.values[:, after]).all()]

    @property
    def _curves(self) -> Lines:
        return Lines(
            "so-far",
            f"{METRIC} on what was learned so far",
            Axis("tasks learned"),
            _SCALE,
            tuple(self._curve(name, found) for name, found in self.methods.items()),
        )

    def _curve(self, name: str, found: Matrices) -> Series:
        tasks = tuple(place + 1 for place in self._places)
        points = [found.so_far(after) for after in self._places]
        values = tuple(one.value for one in points)
        if len(self._afters(found)) < len(tasks):
            # Joint training has one number, which the others may reach at the end.
            return Series(name, tasks, (values[-1],) * len(tasks), reference=True)
        if any(one.low is None for one in points):
            return Series(name, tasks, values)
        return Series(
            name, tasks, values, tuple(one.low for one in points), tuple(one.high for one in points)
        )

    @property
    def _forgetting(self) -> Bars:
        found = {name: matrices.measure("forgetting") for name, matrices in self.methods.items()}
        bars = (Bar(n, m.value, m.low, m.high) for n, m in found.items() if m.value is not None)
        return Bars("forgetting", "forgetting, less is better", Axis(f"lost {METRIC}"), tuple(bars))

    @property
    def _cells(self) -> Matrix:
        rows = {
            f"{name}, {self.tasks[after]}": tuple(found.cell(after, on).value for on in self._places)
            for name, found in self.methods.items()
            for after in self._afters(found)
        }
        return Matrix(
            "matrix",
            f"{METRIC} on each task after each task",
            Axis("method, after task"),
            Axis("on task"),
            _SCALE,
            tuple(rows),
            self.tasks,
            tuple(rows.values()),
        )
