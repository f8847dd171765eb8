"""Results and their tables on the terminal."""

from __future__ import annotations

from collections.abc import Sequence
from typing import TYPE_CHECKING

from anydet.commands.messages import echo
from anydet.text import counted, shortened

if TYPE_CHECKING:
    from anydet.evaluation.evaluator import Result
    from anydet.evaluation.tables import Table
    from anydet.plugins.catalog import OptionRow

_WIDEST = 16
"""Columns of a table that a terminal has room for."""
_CELL = 120
"""Characters of a cell; names come from files and may be of any length."""


def print_table(
    header: Sequence[str],
    rows: Sequence[Sequence[str]],
    *,
    left: int = 1,
    starts: Sequence[int] = (),
    words: Sequence[str] = (),
) -> None:
    """Print rows, never cut to the terminal's width, cells escaped.

    Args:
        header: names of the columns.
        rows: cells as text.
        left: number of left-aligned columns; the others hold numbers and are right-aligned.
        words: names of further columns that hold no numbers.
        starts: rows that begin a group, with a line above them.
    """
    from rich.console import Console
    from rich.table import Table

    table = Table()
    for i, name in enumerate(header):
        table.add_column(
            shortened(name, _CELL), justify="left" if i < left or name in words else "right", no_wrap=True
        )
    for i, row in enumerate(rows):
        if i in starts:
            table.add_section()
        table.add_row(*(shortened(cell, _CELL) for cell in row))
    # rich would cut cells to the terminal's width, also in a pipe, and read "[x]" and ":x:" in class names
    # as markup and emoji.
    Console(width=1000, markup=False, highlight=False, emoji=False).print(table)


def print_columns(header: Sequence[str], rows: Sequence[Sequence[str]]) -> None:
    """Print plain columns as wide as their widest cell; the last column is not padded."""
    lines = [[*(shortened(cell, _CELL) for cell in row[:-1]), row[-1]] for row in (header, *rows)]
    widths = [max(map(len, column)) for column in zip(*lines, strict=True)][:-1]
    for *cells, last in lines:
        padded = [cell.ljust(width) for cell, width in zip(cells, widths, strict=True)]
        echo("  ".join([*padded, last]).rstrip())


def print_options(heading: str, rows: Sequence[OptionRow]) -> None:
    """Print what each option of something registered takes; nothing where it has none."""
    cells = [(o.name, o.type, "" if o.default is None else str(o.default), o.description) for o in rows]
    if cells:
        print_columns((heading, "takes", "default", ""), cells)


def print_result(name: str, result: Result, rows: int) -> None:
    """Print the metrics of an evaluator, the first rows of its tables, and the names of its figures."""
    from anydet.evaluation.tables import format_cell

    echo("", name)
    # Names with a slash are details, which tables show.
    numbers = {metric: value for metric, value in result.metrics.items() if "/" not in metric}
    width = max(map(len, numbers), default=0)
    for metric, value in numbers.items():
        echo(f"  {metric:<{width}}  {format_cell(value):>8}")
    for table in result.tables:
        print_result_table(table, rows)
    if rows and result.figures:
        names = ", ".join(figure.name for figure in result.figures)
        echo(f"  figures, in --json and drawn with --plots DIR: {names}")


def print_result_table(table: Table, rows: int) -> None:
    """Print the first rows of a result's table under its title, and the number of further rows.

    Of a table that is too wide only title and size are printed, of an empty table nothing.
    """
    from anydet.evaluation.tables import format_cell

    if not table.rows or not rows:
        return
    if len(table.header) > _WIDEST:
        echo(f"  {table.title}: {len(table.rows)} x {len(table.header)}, in --json")
        return
    echo(f"  {table.title}")
    print_table(table.header, [tuple(map(format_cell, row)) for row in table.rows[:rows]])
    if len(table.rows) > rows:
        more = counted(len(table.rows) - rows, "more row")
        echo(f"  {more}, in --json or with --rows {len(table.rows)}")
