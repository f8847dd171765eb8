"""``anydet convert``: predictions and data sets from one file format into another."""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING

import click

from anydet.commands.json_output import json_option, write_json
from anydet.commands.messages import echo, say
from anydet.commands.paths import DATASET, OUTPUT_ANY, clean_path
from anydet.commands.result_options import MAX_PIXELS, STRICT

if TYPE_CHECKING:
    from collections.abc import Mapping, Sequence

    from anydet.data.dataset.protocols import Dataset
    from anydet.data.opening import DeferredFormat
    from anydet.plugins.manager import Plugins

SOURCES = (
    "contract",
    "coco",
    "yolozu",
    "csv",
    "bop",
    "dota",
    "yolo",
    "yolo-confidence-second",
    "coco-document",
    "torchvision",
    "transformers",
    "mmdetection",
    "roboflow",
    "yolozu-masks",
)
SUFFIXES = (".json", ".jsonl", ".ndjson", ".parquet", ".csv")
LAYOUTS = ("yolo", "yolo-detect", "yolo-seg", "yolo-pose", "coco", "voc")
TARGETS = ("contract", "csv", "bop", *LAYOUTS)

_TITLES = {
    "yolo-detect": "YOLO",
    "yolo-seg": "YOLO-seg",
    "yolo-pose": "YOLO-pose",
    "coco": "COCO",
    "voc": "Pascal VOC",
}


@click.command(
    "convert",
    epilog=(
        "\b\n"
        "Example:\n"
        "  anydet synth --out data/scenes --images 16\n"
        "  anydet export-predictions --adapter toy --dataset data/scenes --output predictions.json\n"
        "  anydet convert predictions.json predictions.csv\n"
        "  anydet convert predictions.json wrapped.json --wrap\n"
        "  anydet convert data/scenes data/scenes-coco --to coco\n"
        "  anydet convert data/scenes data/scenes-voc --to voc"
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
@click.option(
    "--images",
    type=click.Path(path_type=Path, exists=True, file_okay=False),
    help="Image folder of IN, if IN is a data set whose images are elsewhere.",
)
@click.option("--split", help="Split of the data set; chosen as by export-predictions if omitted.")
@click.option("--wrap", is_flag=True, help="Write {predictions, meta} instead of the bare list to .json.")
@click.option("--bbox-format", metavar="NAME", help="Box format of IN.")
@click.option(
    "--class-map",
    metavar="MAP",
    help="How numbers of classes count, where they are not the data set's: zero-based, one-based, coco91, or "
    "a JSON or YAML file of ids and classes. With --from yolozu: one-based (ids 1..80), or the path of a "
    "classes.json that yolozu wrote.",
)
@STRICT
@json_option("the summary")
@MAX_PIXELS
@click.pass_obj
def command(
    plugins: Plugins,
    *,
    source: Path,
    output: Path,
    made_of: str | None,
    made_into: str | None,
    dataset: Path | None,
    images: Path | None,
    split: str | None,
    wrap: bool,
    bbox_format: str | None,
    class_map: str | None,
    strict: bool,
    json_path: Path | None,
) -> None:
    """Convert predictions: .json, .jsonl, .parquet, .csv, COCO results and other tools' (with --dataset).

    --to yolo writes label files with confidences to the folder OUT. If IN is a data set (a folder, or a file
    that --dataset takes), --to coco, voc or yolo writes its split to the folder OUT: yolo has polygons if all
    objects have masks, keypoints if there are any, else boxes; yolo-seg, yolo-pose and yolo-detect choose one
    of them.

    Fields that the format of OUT cannot hold are listed on stderr.
    """
    from anydet.contract.conversion.convert import convert
    from anydet.contract.conversion.yolozu import read_class_map
    from anydet.data.opening import open_dataset
    from anydet.plugins.formats import installed_formats

    formats = installed_formats(plugins)
    if made_of is None and _is_dataset(clean_path(source), output, made_into, dataset, formats):
        found = open_dataset(source, split, images=images, formats=formats, refuse_odd=strict)
        _convert_dataset(found, output, made_into, json_path)
        return
    if images is not None:
        raise click.UsageError("--images is for data sets, and IN holds predictions")
    opened = open_dataset(dataset, split, formats=formats, refuse_odd=strict) if dataset else None
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
        refuse_odd=strict,
    )
    for line in (*done.loss_lines(), *done.notes):
        say(line)
    if not write_json(done.to_json(), json_path):
        echo(f"{done.output}: {done.images} images, {done.detections} detections")


def _is_dataset(
    source: Path,
    output: Path,
    made_into: str | None,
    of_predictions: Path | None,
    formats: Sequence[DeferredFormat],
) -> bool:
    """Whether IN is a data set and no predictions, which a folder and a JSON file may be, too."""
    if source.is_dir():
        of_files = of_predictions is not None or output.suffix.lower() in SUFFIXES
        return not (_holds_predictions(source) or (of_files and _holds_files(source, formats)))
    if made_into in LAYOUTS and made_into not in {"coco", "yolo"}:
        return True
    # A large predictions file is not read for nothing where the command leaves no doubt.
    doubtful = made_into in {"coco", "yolo"} or not output.suffix
    if of_predictions is not None or (source.suffix.lower() == ".json" and not doubtful):
        return False
    from anydet.data.writing.conversion import holds_dataset

    return holds_dataset(source, formats)


def _holds_predictions(folder: Path) -> bool:
    """Whether a folder holds results with a file for each image; labels of a data set have no confidences."""
    from anydet.contract.reading.foreign.formats import of_path
    from anydet.contract.reading.foreign.yolo_labels import has_confidences

    if any((folder / name).exists() for name in ("data.yaml", "dataset.json", "annotations")):
        return False
    return has_confidences(folder) or of_path(folder) not in (None, "yolo")


def _holds_files(folder: Path, formats: Sequence[DeferredFormat]) -> bool:
    """Whether a folder that is no data set holds files of predictions."""
    if any(known.matching(folder) is not None for known in formats):
        return False
    return any(file.suffix.lower() in SUFFIXES for file in folder.iterdir())


def _convert_dataset(dataset: Dataset, out: Path, layout: str | None, json_path: Path | None) -> None:
    from anydet.data.writing.conversion import convert_dataset, decided

    if layout is None or layout not in LAYOUTS:
        raise click.UsageError(f"IN is a data set: add --to {', '.join(LAYOUTS[:-1])} or {LAYOUTS[-1]}")
    layout = decided(dataset, layout)
    lost = convert_dataset(dataset, out, layout)
    say_losses(layout, lost)
    done = {"output": str(out), "layout": layout, "images": len(dataset), "lost": lost}
    if not write_json(done, json_path):
        echo(f"{out}: {len(dataset)} images, {layout}")


def say_losses(layout: str, lost: Mapping[str, int]) -> None:
    """Say what a layout of data sets, ``yolo`` decided, has no place for."""
    for name, count in lost.items():
        say(f"{_TITLES[layout]} cannot hold {name}: {count} lost")
