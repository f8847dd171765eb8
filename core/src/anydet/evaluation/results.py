"""What evaluators of their own numbers give: metrics, tables, and what was counted."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

from anydet.dataclass import dataclass
from anydet.evaluation.tables import Table


@dataclass(frozen=True, slots=True, eq=False)
class Measured:
    """What an evaluator found, as ``evaluator.Result``.

    Attributes:
        metrics: numbers by name; ``None`` where there is nothing to measure on.
        tables: what is too much for a number.
        protocol: what was counted, as plain data.
    """

    metrics: Mapping[str, float | None]
    tables: tuple[Table, ...]
    protocol: Mapping[str, Any]

    def as_dict(self) -> dict[str, Any]:
        """All of it for JSON."""
        return {
            "metrics": dict(self.metrics),
            "tables": [table.as_dict() for table in self.tables],
            "protocol": dict(self.protocol),
        }
