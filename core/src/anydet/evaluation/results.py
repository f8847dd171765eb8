"""What evaluators of their own numbers give: metrics, tables, figures, and what was counted."""

from __future__ import annotations

from collections.abc import Mapping
from typing import TYPE_CHECKING, Any

from anydet.dataclass import dataclass
from anydet.evaluation.figures import Figure
from anydet.evaluation.tables import MetricsByName, Table

if TYPE_CHECKING:
    from anydet.evaluation.evaluator import Result


@dataclass(frozen=True, slots=True, eq=False)
class Measured(MetricsByName):
    """What an evaluator found, as ``evaluator.Result``.

    Attributes:
        metrics: numbers by name; ``None`` where there is nothing to measure on.
        tables: what is too much for a number.
        protocol: what was counted, as plain data.
        figures: what is better seen than read; each has a name of its own.
    """

    metrics: Mapping[str, float | None]
    tables: tuple[Table, ...]
    protocol: Mapping[str, Any]
    figures: tuple[Figure, ...] = ()

    __repr__ = MetricsByName.__repr__

    def __post_init__(self) -> None:
        names = [figure.name for figure in self.figures]
        if len(set(names)) < len(names):
            raise ValueError(f"figures of one result need names of their own, got {', '.join(names)}")

    def as_dict(self) -> dict[str, Any]:
        """All of it for JSON."""
        return {
            "metrics": dict(self.metrics),
            **shown(self),
            "protocol": dict(self.protocol),
        }


def shown(result: Result) -> dict[str, Any]:
    """Tables and figures of any result for JSON, under these two keys."""
    return {
        "tables": [table.as_dict() for table in result.tables],
        "figures": [figure.as_dict() for figure in result.figures],
    }
