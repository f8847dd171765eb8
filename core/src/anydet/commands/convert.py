"""``anydet convert``: predictions and data sets from one file format into another."""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING

import click

from anydet.commands.messages import echo, echo_json, say
from anydet.commands.paths import DATASET, OUTPUT_ANY, clean_path

if TYPE_CHECKING:
    from anydet.data.dataset.protocols import Dataset
    from anydet.plugins.manager import Plugins

SOURCES = (
    "contract",
    "coco",
    "yolozu",
    "csv",
    "bop",
    "yolo",
    "yolo-confidence-second",
    "coco-document",
    "torchvision",
    "transformers",
    "mmdetection",
    "roboflow",
    "yolozu-masks",
)
TARGETS = ("contract", "coco", "csv", "yolo", "bop")


@click.command(
    "convert",
    epilog=(
        "\b\n"
        "Example:\n"
        "  anydet synth --out data/scenes --images 16\n"
        "  anydet export-predictions --adapter toy --dataset data/scenes --output predictions.json\n"
        "  anydet convert predictions.json predictions.csv\n"
        "  anydet convert predictions.json wrapped.json --wrap\n"
        "  anydet convert data/scenes data/scenes-coco --to coco"
    ),
)
@click.argument("source", metavar="IN", type=DATASET)
@click.argument("output", metavar="OUT", type=OUTPUT_ANY)
@click.option(
    "--from",
    "made_of",
    type=click.Choice(SOURCES),
    help="Format of IN; detected, except yolozu and yolo-confidence-second.",
)
@click.option("--to", "made_into", type=click.Choice(TARGETS), help="Format of OUT; from its suffix.")
@click.option(
    "--dataset",
    type=DATASET,
    help="Data set of the predictions, for image ids, class names and image sizes.",
)
@click.option("--split", help="Split of the data set; chosen as by export-predictions if omitted.")
@click.option(
    "--images",
    type=click.Path(path_type=Path, exists=True, file_okay=False),
    help="Image folder of the data set IN, if it is elsewhere.",
)
@click.option("--wrap", is_flag=True, help="Write {predictions, meta} instead of the bare list to .json.")
@click.option("--bbox-format", metavar="NAME", help="Box format of IN.")
@click.option(
    "--class-map",
    metavar="MAP",
    help="How category ids of COCO results count, where they are not the data set's: zero-based, one-based, "
    "coco91, or a JSON file of ids and classes. With --from yolozu: one-based (ids 1..80), or the path of a "
    "classes.json that yolozu wrote.",
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
    images: Path | None,
    wrap: bool,
    bbox_format: str | None,
    class_map: str | None,
    as_json: bool,
) -> None:
    """Convert predictions: .json, .jsonl, .parquet, .csv, COCO results and other tools' (with --dataset).

    --to yolo writes label files with confidences to the folder OUT. If IN is a data set (a folder, a
    data.yaml, or COCO annotations without --dataset), --to yolo or --to coco writes its split to the folder
    OUT.

    Fields that the format of OUT cannot hold are listed on stderr.
    """
    from anydet.contract.conversion.convert import convert
    from anydet.contract.conversion.yolozu import read_class_map
    from anydet.data.opening import open_dataset
    from anydet.plugins.formats import installed_formats

    formats = installed_formats(plugins)
    if made_of is None and _is_dataset(source, made_into, dataset):
        found = open_dataset(source, split, images=images, formats=formats)
        _convert_dataset(found, output, made_into, as_json)
        return
    if images is not None:
        raise click.UsageError("--images applies where IN is a data set")
    opened = open_dataset(dataset, split, formats=formats) if dataset else None
    done = convert(
        source,
        output,
        made_of=made_of,
        made_into=made_into,
        truth=None if opened is None else opened.ground_truth(),
        wrap=wrap,
        box_format=bbox_format,
        class_map=read_class_map(class_map) if class_map and made_of == "yolozu" else None,
        category_map=None if made_of == "yolozu" else class_map,
    )
    for line in (*done.loss_lines(), *done.notes):
        say(line)
    if as_json:
        echo_json(done.to_json(), indent=1)
    else:
        echo(f"{done.output}: {done.images} images, {done.detections} detections")


def _is_dataset(source: Path, made_into: str | None, of_predictions: Path | None) -> bool:
    """Whether IN is a data set: a folder, a YAML file, or annotations that are to be a data set."""
    path = clean_path(source)
    if path.is_dir():
        return not _holds_predictions(path)
    if path.suffix.lower() in {".yaml", ".yml"}:
        return True
    # COCO results need the data set that their ids are of, so without one IN holds annotations.
    return made_into in ("yolo", "coco") and of_predictions is None and _has_images(path)


def _has_images(path: Path) -> bool:
    """Whether a JSON file has images, as annotations have and results have not."""
    from anydet.data.coco.mending import load

    return path.name == "dataset.json" or (path.suffix.lower() == ".json" and load(path) is not None)


def _holds_predictions(folder: Path) -> bool:
    """Whether a folder holds results with a file for each image; labels of a data set have no confidences."""
    from anydet.contract.reading.foreign.formats import of_path
    from anydet.contract.reading.foreign.yolo_labels import has_confidences

    if any((folder / name).exists() for name in ("data.yaml", "dataset.json", "annotations")):
        return False
    return has_confidences(folder) or of_path(folder) not in (None, "yolo")


def _convert_dataset(dataset: Dataset, out: Path, layout: str | None, as_json: bool) -> None:
    from anydet.data.writing.conversion import convert_dataset

    if layout not in ("yolo", "coco"):
        raise click.UsageError("IN is a data set: add --to yolo or --to coco")
    lost = convert_dataset(dataset, out, layout)
    for name, count in lost.items():
        say(f"{layout.upper()} cannot hold {name}: {count} lost")
    done = {"output": str(out), "images": len(dataset), "lost": lost}
    if as_json:
        echo_json(done, indent=1)
    else:
        echo(f"{out}: {len(dataset)} images")
