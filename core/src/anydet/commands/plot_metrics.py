"""``anydet plot-metrics``: plot the curves of training runs."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path
from typing import Any

import click

from anydet.commands.json_output import json_option, write_json
from anydet.commands.messages import echo_path
from anydet.commands.paths import CHART, INPUT


@click.command(
    "plot-metrics",
    epilog="\b\nExample:\n  anydet plot-metrics runs/exp01 --out training.png",
)
@click.argument("runs", nargs=-1, type=INPUT)
@click.option("--jsonl", multiple=True, type=INPUT, help="Same as RUNS; repeatable.")
@click.option(
    "--out",
    type=CHART,
    help="PNG or SVG to write.  [default: training.png in the run's folder; in . for several runs]",
)
@click.option(
    "--metrics",
    metavar="NAME,...",
    help="Validation metrics to plot.  [default: the first 5; the first one for several runs]",
)
@json_option()
def command(
    runs: tuple[Path, ...],
    jsonl: tuple[Path, ...],
    out: Path | None,
    metrics: str | None,
    *,
    json_path: Path | None,
) -> None:
    """Plot losses, metrics and learning rate of RUNS, which are run folders or JSON-lines files.

    Several runs are plotted into the same axes. A run that is still in progress can be plotted.
    """
    from anydet.report.training import draw_training, read_curves, summarize

    if not runs + jsonl:
        raise click.UsageError("no run given: name its folder, or its train_metrics.jsonl")
    curves = [read_curves(path) for path in runs + jsonl]
    output = out or (curves[0].folder if len(curves) == 1 else Path()) / "training.png"
    wanted = [name.strip() for name in (metrics or "").split(",") if name.strip()]
    draw_training(curves, output, wanted)
    _print([summarize(run) for run in curves], output, json_path=json_path)


def _print(rows: Sequence[dict[str, Any]], output: Path, *, json_path: Path | None) -> None:

    from anydet.commands.tables import print_table

    if write_json({"file": str(output), "runs": rows}, json_path):
        return
    names = list(dict.fromkeys(name for row in rows for name in row["best"]))
    header = ["run", "step", "train_loss", *(f"best {name}" for name in names[:6])]
    print_table(header, [_cells(row, names[:6]) for row in rows])
    echo_path(output)


def _cells(row: dict[str, Any], names: Sequence[str]) -> list[str]:
    loss = "" if row["train_loss"] is None else f"{row['train_loss']:.4g}"
    best = (row["best"].get(name) for name in names)
    found = ["" if one is None else f"{one['value']:.4g} at {one['step']}" for one in best]
    return [row["run"], str(row["step"]), loss, *found]
