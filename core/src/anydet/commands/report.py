"""``anydet report``: one file to look at and to mail."""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING, Any

import click

from anydet.arguments import MOST_INTEGER
from anydet.commands.coco_options import bootstrap_options
from anydet.commands.dataset_options import dataset_options, engine_options, open_data
from anydet.commands.json_output import write_json
from anydet.commands.messages import echo, echo_path, warn
from anydet.commands.page_models import print_headlines, read_models, summarize, warn_of_failures
from anydet.commands.paths import OutputPath
from anydet.commands.predictions import predictions_arguments
from anydet.commands.recipe_options import on_error_option
from anydet.text import counted

if TYPE_CHECKING:
    from anydet.plugins.manager import Plugins
    from anydet.report.page.build import Page


@click.command(
    "report",
    epilog=(
        "\b\n"
        "Example:\n"
        "  anydet synth --out data/scenes --images 16\n"
        "  anydet export-predictions --adapter toy --dataset data/scenes --output predictions.json\n"
        "  anydet report predictions.json --dataset data/scenes --output report.html"
    ),
)
@predictions_arguments("predictions", several=True)
@dataset_options
@engine_options
@click.option(
    "--output",
    type=OutputPath(suffixes=(".html", ".htm")),
    default=Path("report.html"),
    show_default=True,
    help="The page: one file that needs no network.",
)
@click.option(
    "--pictures",
    type=click.IntRange(0, MOST_INTEGER),
    default=800,
    show_default=True,
    help="Most detections and annotations that get a picture; the page counts the others, too.",
)
@bootstrap_options
@on_error_option("an image cannot be read; skip leaves its pictures empty")
@click.pass_obj
def command(
    plugins: Plugins, /, predictions: tuple[Path, ...], output: Path, json_path: Path | None, **flags: Any
) -> None:
    """Write a page with the numbers of one model or more and the pictures behind them.

    The page has COCO's metrics with intervals, precision-recall curves, confusions, kinds of errors (TIDE),
    calibration and slices; a slider sets the threshold of scores, and every number leads to pictures. Of
    several files, the others are compared with the first.
    """
    from anydet.commands.progress import progress
    from anydet.outputs import write_file
    from anydet.report.page.build import PageSettings, build_page

    engine, scanner, dataset = open_data(plugins, flags)
    models = read_models(dataset, predictions, flags, scanner)
    settings = PageSettings(
        flags["pictures"], flags["resamples"], flags["level"], flags["seed"], flags["on_error"] == "skip"
    )
    page = build_page(
        models,
        dataset,
        settings,
        plugins=plugins,
        engine=engine,
        progress=lambda label, total, unit: progress(label, total, unit=unit),
    )
    write_file(output, page.html)
    _warn(page)
    write_json(_summary(page, output), json_path)
    if json_path != Path("-"):
        _print(page, output)


def _warn(page: Page) -> None:
    from anydet.text import listed

    warn_of_failures(page.runs)
    if page.unread:
        warn(
            f"{counted(len(page.unread), 'image')} cannot be read and have no pictures: {listed(page.unread)}"
        )


def _summary(page: Page, output: Path) -> dict[str, Any]:
    return {
        "output": str(output),
        "bytes": len(page.html.encode()),
        "pictures": page.pictures,
        "left_out": page.left_out,
        "unread": list(page.unread),
        **summarize(page.names, page.runs, page.comparisons),
    }


def _print(page: Page, output: Path) -> None:
    print_headlines(page.names, page.runs)
    size = len(page.html.encode()) / 1e6
    echo(
        f"{counted(page.pictures, 'picture')}, {size:.1f} MB; {page.left_out} detections and annotations are "
        "counted without a picture"
    )
    echo_path(output)
