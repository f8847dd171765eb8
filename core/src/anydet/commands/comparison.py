"""What commands have in common that compare methods as a setting says, in a folder that is gone on with."""

from __future__ import annotations

from collections.abc import Callable, Collection, Iterable, Mapping
from pathlib import Path
from typing import TYPE_CHECKING, Any, TypeVar

import click

from anydet.commands.dataset_options import engine_options
from anydet.commands.json_output import json_option, write_json
from anydet.commands.paths import INPUT, OUTPUT_FOLDER
from anydet.commands.result_options import MAX_PIXELS

if TYPE_CHECKING:
    from anydet.evaluation.figures import Figure
    from anydet.evaluation.tables import Table

_F = TypeVar("_F", bound=Callable[..., Any])

_OPTIONS = (
    click.argument("setting", type=INPUT),
    click.option(
        "--out",
        type=OUTPUT_FOLDER,
        required=True,
        help="Folder of runs and results; what it holds already is not done again.",
    ),
    json_option(),
    engine_options,
    MAX_PIXELS,
)


def comparison_options(function: _F) -> _F:
    """Decorator: SETTING, ``--out``, ``--json``, ``--max-pixels`` and the engine's."""
    for option in reversed(_OPTIONS):
        function = option(function)
    return function


def write_comparison(
    result: Mapping[str, Any],
    tables: Collection[Table],
    figures: Iterable[Figure],
    out: Path,
    json_path: Path | None,
    *,
    drawn: Collection[str],
) -> None:
    """Write ``results.json``, ``tables.md`` and charts into a folder, and print the tables.

    Args:
        result: all of it for JSON.
        tables: printed, unless JSON goes to stdout.
        figures: of the result.
        out: the folder.
        json_path: of ``--json``.
        drawn: names of all figures that the command may draw; those that it has no more are removed.
    """
    from anydet.commands.figures import draw_figures
    from anydet.commands.tables import print_result_table
    from anydet.evaluation.tables import markdown
    from anydet.outputs import write_file

    write_file(out / "tables.md", markdown(tables))
    write_json(result, out / "results.json")
    if json_path is not None:
        write_json(result, json_path)
    if json_path != Path("-"):
        for table in tables:
            print_result_table(table, len(table.rows))
    draw_figures(figures, out, drawn=drawn)
