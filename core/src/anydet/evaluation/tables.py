"""Tables as data: what results print, write and plot from, without knowing where it goes."""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from typing import Any, TypeAlias

from anydet.dataclass import dataclass
from anydet.text import escaped

Cell: TypeAlias = str | int | float | None
"""``None`` is a number that is undefined ("n/a")."""


@dataclass(frozen=True, slots=True)
class Table:
    """A table of a result; its first column names the row.

    Attributes:
        title: what it shows, as a short phrase.
        header: names of the columns.
        rows: as many cells each as there are columns.
    """

    title: str
    header: tuple[str, ...]
    rows: tuple[tuple[Cell, ...], ...]

    def __post_init__(self) -> None:
        if any(len(row) != len(self.header) for row in self.rows):
            raise ValueError(f"{self.title}: rows of other lengths than the header's {len(self.header)}")

    def as_dict(self) -> dict[str, Any]:
        """The same for JSON."""
        return {"title": self.title, "header": list(self.header), "rows": [list(row) for row in self.rows]}


def format_cell(value: Cell) -> str:
    """A cell as text: four decimals, "n/a" for ``None``."""
    if value is None:
        return "n/a"
    return f"{value:.4f}" if isinstance(value, float) else str(value)


def metrics_table(title: str, metrics: Mapping[str, Cell]) -> Table:
    """The metrics of a result as a table; names with a slash are details, which its own tables show."""
    rows = tuple((name, value) for name, value in metrics.items() if "/" not in name)
    return Table(title, ("metric", "value"), rows)


def markdown(tables: Iterable[Table]) -> str:
    """Tables as Markdown, numbers with three decimals, nothing where one is undefined."""
    return "\n".join(map(_markdown, tables))


def _markdown(table: Table) -> str:
    rows = [table.header, ("---",) * len(table.header), *(tuple(map(_cell, row)) for row in table.rows)]
    return "\n".join([f"{table.title}\n", *(f"| {' | '.join(map(str, row))} |" for row in rows), ""])


def _cell(value: Cell) -> str:
    if value is None:
        return ""
    if isinstance(value, float):
        return f"{value:.3f}"
    # Names come from files: nothing in them may end the row, or be a tag.
    return escaped(str(value)).replace("|", "\\|").replace("<", "&lt;")
