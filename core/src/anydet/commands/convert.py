"""``anydet convert``: predictions and data sets from one kind of file into another."""

from __future__ import annotations

import json
from pathlib import Path
from typing import TYPE_CHECKING

import click

if TYPE_CHECKING:
    from anydet.data.dataset.protocols import Dataset
    from anydet.plugins.manager import Plugins

SOURCES = ("contract", "coco", "csv", "yolozu")
TARGETS = ("contract", "coco", "csv", "yolo")


@click.command(
    "convert",
    epilog=(
        "\b\n"
        "Example:\n"
        "  anydet convert predictions.json predictions.csv\n"
        "  anydet convert predictions.json wrapped.json --wrap\n"
        "  anydet convert data/scenes data/scenes-coco --to coco"
    ),
)
@click.argument("source", metavar="IN", type=click.Path(path_type=Path))
@click.argument("output", metavar="OUT", type=click.Path(path_type=Path))
@click.option("--from", "made_of", type=click.Choice(SOURCES), help="What IN is; found out but for yolozu.")
@click.option("--to", "made_into", type=click.Choice(TARGETS), help="What OUT is; by its suffix.")
@click.option(
    "--dataset", type=click.Path(path_type=Path), help="Data set of the predictions: ids, names, sizes."
)
@click.option("--split", help="The data set's split; by default as export-predictions chooses it.")
@click.option("--wrap", is_flag=True, help="Write .json with its meta.")
@click.option("--bbox-format", metavar="NAME", help="What the boxes of IN are in.")
@click.option(
    "--class-map",
    metavar="MAP",
    help="With --from yolozu: one-based (1..80), or a classes.json of its tools.",
)
@click.option("--json", "as_json", is_flag=True, help="Print the summary as JSON.")
@click.pass_obj
def command(
    plugins: Plugins,
    *,
    source: Path,
    output: Path,
    made_of: str | None,
    made_into: str | None,
    dataset: Path | None,
    split: str | None,
    wrap: bool,
    bbox_format: str | None,
    class_map: str | None,
    as_json: bool,
) -> None:
    """Convert predictions: .json, .jsonl, .parquet, .csv and COCO results (--to coco, with --dataset).

    A folder IN is a data set: --to yolo or --to coco writes its split into the folder OUT.

    What OUT has no place for is listed on stderr.
    """
    from anydet.contract.conversion.convert import convert
    from anydet.contract.conversion.yolozu import read_class_map
    from anydet.data.opening import open_dataset
    from anydet.plugins.formats import installed_formats

    formats = installed_formats(plugins)
    if source.is_dir():
        _convert_dataset(open_dataset(source, split, formats=formats), output, made_into, as_json)
        return
    opened = open_dataset(dataset, split, formats=formats) if dataset else None
    done = convert(
        source,
        output,
        made_of=made_of,
        made_into=made_into,
        truth=None if opened is None else opened.ground_truth(),
        wrap=wrap,
        box_format=bbox_format,
        class_map=read_class_map(class_map) if class_map else None,
    )
    for line in (*done.loss_lines(), *done.notes):
        click.echo(line, err=True)
    if as_json:
        click.echo(json.dumps(done.to_json(), indent=1))
    else:
        click.echo(f"{done.output}: {done.images} images, {done.detections} detections")


def _convert_dataset(dataset: Dataset, out: Path, layout: str | None, as_json: bool) -> None:
    from anydet.data.writing.conversion import convert_dataset

    if layout not in ("yolo", "coco"):
        raise click.UsageError("a data set is converted with --to yolo or --to coco")
    lost = convert_dataset(dataset, out, layout)
    for name, count in lost.items():
        click.echo(f"{layout.upper()} cannot hold {name}: {count} lost", err=True)
    done = {"output": str(out), "images": len(dataset), "lost": lost}
    click.echo(json.dumps(done, indent=1) if as_json else f"{out}: {len(dataset)} images")
