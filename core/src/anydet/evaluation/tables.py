"""Tables as data: what results print, write and plot from, without knowing where it goes."""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Mapping
from typing import TYPE_CHECKING, Any, TypeAlias

from anydet.dataclass import dataclass
from anydet.errors import did_you_mean
from anydet.text import escaped, quoted

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


class MetricsByName:
    """What results have in common: ``result["AP"]``, and a short form for terminals and notebooks."""

    __slots__ = ()

    if TYPE_CHECKING:
        # Only declared: a property would become the default of the field of that name.
        @property
        def metrics(self) -> Mapping[str, Any]:
            """Numbers by name."""

    def __getitem__(self, name: str) -> Any:
        """A metric; raises ``KeyError``, as dictionaries do, with what is close."""
        try:
            return self.metrics[name]
        except KeyError:
            raise KeyError(f"no metric {quoted(name)}{did_you_mean(name, self.metrics)}") from None

    def __contains__(self, name: object) -> bool:
        return name in self.metrics

    def keys(self) -> Iterable[str]:
        """Names of the metrics; with them ``dict(result)`` works."""
        return self.metrics.keys()

    def __iter__(self) -> Iterator[str]:
        return iter(self.metrics)

    def __repr__(self) -> str:
        from textwrap import wrap

        pairs = [f"{name}\0{format_cell(value)}" for name, value in self.metrics.items() if "/" not in name]
        pairs = pairs or [f"{name}\0{format_cell(value)}" for name, value in self.metrics.items()]
        lines = wrap("  ".join(pairs), 76, break_on_hyphens=False)
        more = [f"... {len(self.metrics)} metrics"] if len(lines) > _LINES else []
        shown = "\n".join(f"  {line}" for line in [*lines[:_LINES], *more])
        return f"{type(self).__name__}\n{shown}".replace("\0", " ")

    def _repr_html_(self) -> str:
        """What a notebook shows."""
        tables = (metrics_table(type(self).__name__, self.metrics), *getattr(self, "tables", ()))
        return "".join(map(_html, tables))


_LINES = 10
"""Of metrics in a result's short form."""


def _html(table: Table, most: int = 50) -> str:
    """A table as HTML, its first rows."""
    from html import escape

    def row(cells: Iterable[Cell], tag: str) -> str:
        return "<tr>" + "".join(f"<{tag}>{escape(format_cell(cell))}</{tag}>" for cell in cells) + "</tr>"

    rows = "".join(row(cells, "td") for cells in table.rows[:most])
    rest = f"<p>{len(table.rows) - most} more rows</p>" if len(table.rows) > most else ""
    caption = f"<caption>{escape(table.title)}</caption>"
    return f"<table>{caption}{row(table.header, 'th')}{rows}</table>{rest}"


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
