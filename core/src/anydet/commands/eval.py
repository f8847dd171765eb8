"""``anydet eval``: everything that installed evaluators can say about a predictions file."""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING, Any

import click

from anydet.commands.completion import complete_names
from anydet.commands.dataset_options import dataset_options, open_data, read_predictions, write_json

if TYPE_CHECKING:
    from anydet.evaluation.overview import Overview
    from anydet.evaluation.tables import Table
    from anydet.plugins.manager import Plugins

_WIDEST = 16
"""Columns of a table that a terminal has room for."""


@click.command(
    "eval",
    epilog=(
        "\b\n"
        "Example:\n"
        "  anydet synth --out data/scenes --images 16\n"
        "  anydet export-predictions --adapter toy --dataset data/scenes --output predictions.json\n"
        "  anydet eval --dataset data/scenes --predictions predictions.json --metrics coco,tide"
    ),
)
@click.option(
    "--predictions",
    type=click.Path(path_type=Path),
    required=True,
    help="Predictions file or COCO results JSON; or a folder or 'pattern*' of files that share no image.",
)
@dataset_options
@click.option(
    "--metrics",
    "names",
    metavar="NAME,...",
    shell_complete=complete_names("evaluators"),
    help="Evaluators to run.  [default: all that apply]",
)
@click.option(
    "--rows", type=click.IntRange(min=0), default=10, show_default=True, help="Rows shown of a table."
)
@click.pass_obj
def command(plugins: Plugins, /, names: str | None, rows: int, json_path: Path | None, **flags: Any) -> None:
    """Evaluate predictions in every way that they and the data set allow.

    Numbers are COCO's (boxes, masks, keypoints), the errors behind them (TIDE), confusions, the best score
    thresholds, calibration, and those of other installed evaluators. JSON holds all tables, and under
    "metrics" a flat dictionary for experiment trackers.
    """
    from anydet.evaluation.overview import prepare_evaluators

    engine, dataset = open_data(plugins, flags)
    parts = read_predictions(dataset, flags["predictions"], flags, engine)
    chosen = None if names is None else names.split(",")
    overview = prepare_evaluators(parts, chosen, plugins=plugins, engine=engine).overview()
    write_json(overview.as_dict(), json_path)
    if json_path != Path("-"):
        _print_overview(overview, rows)


def _print_overview(overview: Overview, rows: int) -> None:
    from anydet.evaluation.tables import format_cell

    for name, result in overview.results.items():
        click.echo(f"\n{name}")
        width = max(map(len, result.metrics), default=0)
        for metric, value in result.metrics.items():
            click.echo(f"  {metric:<{width}}  {format_cell(value):>8}")
        for table in result.tables:
            _print_table(table, rows)
    for name, reason in overview.skipped.items():
        click.echo(f"{name}: left out, {reason}", err=True)


def _print_table(table: Table, rows: int) -> None:
    from anydet.commands.tables import print_table
    from anydet.evaluation.tables import format_cell

    if not table.rows or not rows:
        return
    if len(table.header) > _WIDEST:
        click.echo(f"  {table.title}: {len(table.rows)} x {len(table.header)}, in --json")
        return
    click.echo(f"  {table.title}")
    print_table(table.header, [tuple(map(format_cell, row)) for row in table.rows[:rows]])
    if len(table.rows) > rows:
        click.echo(f"  {len(table.rows) - rows} more rows, in --json or with --rows {len(table.rows)}")
