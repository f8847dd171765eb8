"""The numbers of all evaluators on one screen: headlines, the worst classes, and what to look at next."""

from __future__ import annotations

import textwrap
from collections.abc import Iterator, Mapping
from typing import TYPE_CHECKING

from anydet.commands.messages import echo
from anydet.commands.tables import print_result_table, print_table, width
from anydet.text import counted, quoted, shortened

if TYPE_CHECKING:
    from anydet.evaluation.evaluator import Result
    from anydet.evaluation.run import EvaluationRun
    from anydet.evaluation.tables import Cell, Table

_WIDTH = 80
"""Of lines where stdout is no terminal."""
_WORST = 5
_COLUMNS = ("AP", "AP50", "AR100", "annotations", "detections")
"""Of the table of classes, those that fit beside long names."""
_ERRORS = {
    "Cls": "right boxes of the wrong class",
    "Loc": "boxes of the right class that are off",
    "Both": "boxes that are off, of the wrong class",
    "Dupe": "second boxes of one object",
    "Bkg": "boxes where nothing is",
    "Miss": "objects that are not found",
}
"""TIDE's codes in words."""
_ASKED = ("slices", "% intervals")
"""What titles of tables contain that an option asked for."""


def print_screen(run: EvaluationRun, more: str) -> None:
    """Print the most important numbers of a run.

    Args:
        run: results of all evaluators.
        more: the option that prints everything.
    """
    _print_headlines(run.results)
    for name, result in run.results.items():
        for table in result.tables:
            if name == "robustness" or any(word in table.title for word in _ASKED):
                print_result_table(table, len(table.rows))
    _print_worst(run.results)
    notes = list(_notes(run.results))
    if notes:
        echo("", "what to look at")
        for note in notes:
            echo(*textwrap.wrap(note, (width() or _WIDTH) - 2, initial_indent="  ", subsequent_indent="    "))
    tables = sum(len(result.tables) for result in run.results.values())
    echo("", f"{counted(tables, 'table')} with {more}; curves and matrices with --plots DIR; all with --json")


def _print_headlines(results: Mapping[str, Result]) -> None:
    """Print the metrics of each evaluator as a paragraph beside its name."""
    from anydet.evaluation.tables import format_cell

    left = max(map(len, results), default=0) + 2
    for name, result in results.items():
        # No break between a name and its number.
        pairs = [f"{k}\0{format_cell(v)}" for k, v in result.metrics.items() if "/" not in k]
        lines = textwrap.wrap("  ".join(pairs), max((width() or _WIDTH) - left, 20), break_on_hyphens=False)
        for i, line in enumerate(lines or [""]):
            echo(f"{name if not i else '':{left}}{line}".replace("\0", " ").rstrip())


def _print_worst(results: Mapping[str, Result]) -> None:
    """Print the classes with the lowest AP of the first evaluator that has a table of classes."""
    from anydet.evaluation.tables import format_cell

    table = _find(results, "classes")
    if table is None or "AP" not in table.header:
        return
    at = table.header.index("AP")
    rows = sorted((row for row in table.rows if isinstance(row[at], float)), key=lambda row: _number(row[at]))
    if len(rows) < 2:
        return
    columns = [0, *(table.header.index(name) for name in _COLUMNS if name in table.header)]
    echo("", f"lowest AP, {min(_WORST, len(rows))} of {counted(len(rows), 'class')}")
    header = [table.header[i] for i in columns]
    print_table(header, [[format_cell(row[i]) for i in columns] for row in rows[:_WORST]])


def _find(results: Mapping[str, Result], title: str) -> Table | None:
    tables = (table for result in results.values() for table in result.tables)
    return next((table for table in tables if table.title == title), None)


def _number(cell: Cell) -> float:
    return float(cell) if isinstance(cell, int | float) else 0.0


def _notes(results: Mapping[str, Result]) -> Iterator[str]:
    """What costs most, as sentences; nothing where nothing does."""
    errors = _find(results, "what errors cost")
    if errors is not None:
        kinds = [row for row in errors.rows if row[0] in _ERRORS]
        worst = max(kinds, key=lambda row: _number(row[1]), default=None)
        if worst is not None and _number(worst[1]) > 0:
            # The number of them is of the whole file, the cost of the ranking.
            yield (
                f"{_ERRORS[str(worst[0])]} cost most: {_number(worst[1]):.4f} AP50 (tide {worst[0]}, "
                f"{worst[2]} of them)"
            )
    confusions = _find(results, "most common confusions")
    for true, predicted, count in confusions.rows if confusions else ():
        if "background" not in {true, predicted}:
            yield (
                f"{quoted(shortened(str(true)))} is taken for {quoted(shortened(str(predicted)))} "
                f"{counted(int(_number(count)), 'time')}"
            )
            break
    best = results.get("thresholds")
    numbers = best.metrics if best else {}
    f1, threshold = numbers.get("F1_all"), numbers.get("threshold")
    if f1 is not None and threshold is not None:
        yield f"score threshold {threshold:.3f} gives the best F1 of all classes together: {f1:.4f}"
