"""Results and their tables on the terminal."""

from __future__ import annotations

import os
import sys
from collections.abc import Iterator, Sequence
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
_SHORTEST = 12
"""Characters that a cell has in any case."""
_AROUND = 3
"""Characters of the frame of a column."""
_NARROWEST = 60
"""Columns that a terminal is taken to have at least."""


def print_table(
    header: Sequence[str],
    rows: Sequence[Sequence[str]],
    *,
    left: int = 1,
    starts: Sequence[int] = (),
    words: Sequence[str] = (),
) -> None:
    """Print rows, cells escaped; on a terminal, columns that find no room follow below, as pandas has it.

    Args:
        header: names of the columns.
        rows: cells as text.
        left: number of left-aligned columns; the others hold numbers and are right-aligned.
        words: names of further columns that hold no numbers.
        starts: rows that begin a group, with a line above them.
    """
    from rich.console import Console
    from rich.table import Table

    most = width()
    longest = _CELL if most is None else max(min(_CELL, most // 2 - _AROUND), _SHORTEST)
    names = [shortened(name, longest) for name in header]
    cells = [[shortened(cell, longest) for cell in row] for row in rows]
    # rich would cut cells to the terminal's width, also in a pipe, and read "[x]" and ":x:" in class names
    # as markup and emoji.
    console = Console(width=1000, markup=False, highlight=False, emoji=False)
    for columns in _blocks(names, cells, left, most):
        table = Table()
        for i in columns:
            is_left = i < left or header[i] in words
            table.add_column(names[i], justify="left" if is_left else "right", no_wrap=True)
        for number, row in enumerate(cells):
            if number in starts:
                table.add_section()
            table.add_row(*(row[i] for i in columns))
        console.print(table)


def width() -> int | None:
    """Characters of a line: the variable COLUMNS, else the terminal's; ``None`` where there is neither."""
    if os.environ.get("COLUMNS", "").isdecimal():
        return max(int(os.environ["COLUMNS"]), _NARROWEST)
    try:
        return max(os.get_terminal_size(sys.stdout.fileno()).columns, _NARROWEST)
    except (OSError, ValueError):  # a pipe, a file, a test
        return None


def _blocks(
    names: Sequence[str], rows: Sequence[Sequence[str]], left: int, most: int | None
) -> Iterator[list[int]]:
    """Columns of each table that is as wide as the terminal at most; all begin with the first one."""
    from rich.cells import cell_len

    widths = [max(map(cell_len, column)) + _AROUND for column in zip(names, *rows, strict=True)]
    if most is None or sum(widths) < most:
        yield [*range(len(names))]
        return
    first = [*range(min(left, len(names)))]
    if sum(widths[i] for i in first) > most // 2:
        first = first[:1]
    block = [*first]
    for i in range(len(first), len(names)):
        if len(block) > len(first) and sum(widths[j] for j in (*block, i)) >= most:
            yield block
            block = [*first]
        block.append(i)
    yield block


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
