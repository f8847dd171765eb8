"""Tables on the terminal."""

from __future__ import annotations

from collections.abc import Sequence


def print_table(
    header: Sequence[str], rows: Sequence[Sequence[str]], *, left: int = 1, starts: Sequence[int] = ()
) -> None:
    """Print rows, never cut to the terminal's width.

    Args:
        header: names of the columns.
        rows: cells as text.
        left: how many columns stand to the left; the others hold numbers and stand to the right.
        starts: rows that begin a group, with a line above them.
    """
    from rich.console import Console
    from rich.table import Table

    table = Table()
    for i, name in enumerate(header):
        table.add_column(name, justify="left" if i < left else "right", no_wrap=True)
    for i, row in enumerate(rows):
        if i in starts:
            table.add_section()
        table.add_row(*row)
    Console(width=1000, markup=False, highlight=False, emoji=False).print(table)
