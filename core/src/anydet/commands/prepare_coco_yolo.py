"""``anydet prepare-coco-yolo``: YOLO labels of a downloaded COCO split."""

from __future__ import annotations

from pathlib import Path

import click

from anydet.commands.json_output import json_option, write_json
from anydet.commands.messages import echo, say
from anydet.commands.paths import OUTPUT_FOLDER
from anydet.commands.result_options import MAX_PIXELS


@click.command(
    "prepare-coco-yolo",
    epilog=(
        "\b\n"
        "Example:\n"
        "  anydet synth --out data/coco --images 16 --format coco --split val2017\n"
        "  anydet prepare-coco-yolo --coco-root data/coco --split val2017 --out data/coco-yolo"
    ),
)
@click.option(
    "--coco-root", required=True, type=click.Path(path_type=Path), help="Folder that contains annotations/."
)
@click.option("--split", required=True, help="Split, such as val2017.")
@click.option("--out", required=True, type=OUTPUT_FOLDER, help="Folder to write into.")
@click.option("--copy-images", is_flag=True, help="Also copy the images.")
@json_option("the summary")
@MAX_PIXELS
def command(*, coco_root: Path, split: str, out: Path, copy_images: bool, json_path: Path | None) -> None:
    """Write YOLO labels of a COCO split, and a dataset.json that every --dataset accepts.

    Its paths are absolute. Crowds and boxes without area or outside of their image are left out, boxes that
    leave it are clipped; what that changes is listed on stderr.
    """
    from anydet.data.writing.prepare import prepare_coco_yolo

    done = prepare_coco_yolo(coco_root, split, out, copy_images=copy_images)
    for name, count in done.lost.items():
        say(f"YOLO cannot hold {name}: {count} lost")
    summary = {"dataset": str(done.dataset_json), "images": done.images, "labels": done.labels}
    if not write_json({**summary, "lost": dict(done.lost)}, json_path):
        echo(f"{done.dataset_json}: {done.images} images, {done.labels} label files")
