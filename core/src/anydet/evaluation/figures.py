"""Figures as data: lines, bars and matrices of a result, to be drawn, printed and written.

They are plain numbers with the names and units of their axes, as tables are; how they look is the business of
``anydet.report.charts``. Numbers are finite, and ``None`` stands for one that is undefined.
"""

from __future__ import annotations

import math
import re
from collections.abc import Iterable
from dataclasses import fields
from typing import Any, ClassVar, TypeAlias

from anydet.dataclass import dataclass
from anydet.evaluation.tables import Table

Number: TypeAlias = int | float | None
_NAME = re.compile(r"[a-z0-9]+(-[a-z0-9]+)*")


@dataclass(frozen=True, slots=True)
class Axis:
    """What an axis measures.

    Attributes:
        label: name of the quantity or of the kind of things.
        unit: its unit; "" where it has none.
        limits: smallest and largest value that there can be, or ``None`` where that is open.
    """

    label: str
    unit: str = ""
    limits: tuple[float, float] | None = None

    def __post_init__(self) -> None:
        if self.limits is not None:
            _require_finite(f"axis {self.label!r}", self.limits)
            if not self.limits[0] < self.limits[1]:
                raise ValueError(f"axis {self.label!r}: limits {self.limits} are no lower and upper one")

    @property
    def text(self) -> str:
        """Label and unit: ``translation error (m)``."""
        return f"{self.label} ({self.unit})" if self.unit else self.label


@dataclass(frozen=True, slots=True)
class Series:
    """Points of one line; a ``None`` in ``y`` is a gap.

    Attributes:
        name: of the line; "" where there is only one.
        x: (N,) where the points are.
        y: (N,) their values.
        low: (N,) lower ends of a band around the line, or ``None``.
        high: (N,) upper ends.
        weights: (N,) how much each point rests on, such as a number of detections, or ``None``.
        labels: (N,) a word beside each point, or ``None``.
        reference: whether the others are to be compared with it, as with a diagonal or chance.
    """

    name: str
    x: tuple[Number, ...]
    y: tuple[Number, ...]
    low: tuple[Number, ...] | None = None
    high: tuple[Number, ...] | None = None
    weights: tuple[Number, ...] | None = None
    labels: tuple[str, ...] | None = None
    reference: bool = False

    def __post_init__(self) -> None:
        given = [values for values in (self.y, self.low, self.high, self.weights) if values is not None]
        if any(len(values) != len(self.x) for values in (*given, *filter(None, [self.labels]))):
            raise ValueError(f"series {self.name!r}: columns of other lengths than the {len(self.x)} of x")
        if (self.low is None) != (self.high is None):
            raise ValueError(f"series {self.name!r}: a band has a lower and an upper end")
        for values in (self.x, *given):
            _require_finite(f"series {self.name!r}", values)


@dataclass(frozen=True, slots=True)
class Lines:
    """One quantity over another.

    Attributes:
        name: short, of small letters, digits and hyphens; files are named by it.
        title: what it shows, as a short phrase.
        x: the horizontal axis.
        y: the vertical axis.
        series: in the order of the legend.
    """

    kind: ClassVar[str] = "lines"
    name: str
    title: str
    x: Axis
    y: Axis
    series: tuple[Series, ...]

    def __post_init__(self) -> None:
        _require_name(self.name)

    def as_dict(self) -> dict[str, Any]:
        """The same for JSON."""
        return _written(self)


@dataclass(frozen=True, slots=True)
class Bar:
    """A named number.

    Attributes:
        name: of what is measured.
        value: the number.
        low: lower end of its interval, or ``None``.
        high: upper end.
        note: a few words beside the number, such as a count.
        secondary: whether it is of another kind than the other bars.
    """

    name: str
    value: Number
    low: Number = None
    high: Number = None
    note: str = ""
    secondary: bool = False

    def __post_init__(self) -> None:
        if (self.low is None) != (self.high is None):
            raise ValueError(f"bar {self.name!r}: an interval has a lower and an upper end")
        _require_finite(f"bar {self.name!r}", (self.value, self.low, self.high))


@dataclass(frozen=True, slots=True)
class Bars:
    """One number each of several things.

    Attributes:
        name: short, of small letters, digits and hyphens; files are named by it.
        title: what it shows, as a short phrase.
        value: the axis of the numbers.
        bars: first one on top.
    """

    kind: ClassVar[str] = "bars"
    name: str
    title: str
    value: Axis
    bars: tuple[Bar, ...]

    def __post_init__(self) -> None:
        _require_name(self.name)

    def as_dict(self) -> dict[str, Any]:
        """The same for JSON."""
        return _written(self)


@dataclass(frozen=True, slots=True)
class Matrix:
    """A number for each pair of a row and a column.

    Attributes:
        name: short, of small letters, digits and hyphens; files are named by it.
        title: what it shows, as a short phrase.
        rows: what the rows are.
        columns: what the columns are.
        value: what the numbers are.
        row_names: (R,) first one on top.
        column_names: (C,).
        values: R rows of C numbers.
        by_row: whether numbers are compared within their row, as fractions of its sum, as counts of a
            confusion matrix are.
    """

    kind: ClassVar[str] = "matrix"
    name: str
    title: str
    rows: Axis
    columns: Axis
    value: Axis
    row_names: tuple[str, ...]
    column_names: tuple[str, ...]
    values: tuple[tuple[Number, ...], ...]
    by_row: bool = False

    def __post_init__(self) -> None:
        _require_name(self.name)
        wide = len(self.column_names)
        if len(self.values) != len(self.row_names) or any(len(row) != wide for row in self.values):
            raise ValueError(f"{self.title}: values do not fit {len(self.row_names)} rows of {wide} columns")
        for name, row in zip(self.row_names, self.values, strict=True):
            _require_finite(f"{self.title}: row {name!r}", row)

    @classmethod
    def of_counts(cls, table: Table, name: str, *, rows: str, columns: str, value: str) -> Matrix:
        """A table of counts, whose first column names the row, as a matrix.

        Args:
            table: gives title, names and numbers.
            name: of the figure.
            rows: what the rows are.
            columns: what the columns are.
            value: what is counted.
        """
        cells: Any = tuple(row[1:] for row in table.rows)
        names = tuple(str(row[0]) for row in table.rows)
        axes = Axis(rows), Axis(columns), Axis(value)
        return cls(name, table.title, *axes, names, table.header[1:], cells, by_row=True)

    def as_dict(self) -> dict[str, Any]:
        """The same for JSON."""
        return _written(self)


Figure: TypeAlias = Lines | Bars | Matrix


def _require_name(name: str) -> None:
    if not _NAME.fullmatch(name):
        raise ValueError(
            f"figure name {name!r}: use small letters, digits and hyphens, like 'error-by-depth'"
        )


def _require_finite(where: str, values: Iterable[Number]) -> None:
    for value in values:
        if value is not None and not math.isfinite(value):
            raise ValueError(f"{where}: {value} is not finite; None stands for an undefined number")


def _written(figure: Figure) -> dict[str, Any]:
    return {"kind": figure.kind, **_plain(figure)}


def _plain(value: Any) -> Any:
    # Not dataclasses.asdict, which copies each number of a matrix of a thousand classes.
    if isinstance(value, tuple):
        return [_plain(one) for one in value] if value and not _is_number(value[0]) else list(value)
    if hasattr(value, "__dataclass_fields__"):
        return {f.name: _plain(getattr(value, f.name)) for f in fields(value)}
    return value


def _is_number(value: Any) -> bool:
    return value is None or isinstance(value, int | float)
