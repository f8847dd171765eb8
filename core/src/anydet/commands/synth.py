"""``anydet synth``: synthetic scenes with exact ground truth, on disk."""

from __future__ import annotations

from pathlib import Path

import click


def read_size(_ctx: click.Context, _param: click.Parameter, text: str) -> tuple[int, int]:
    """``320x240`` to (width, height)."""
    width, _, height = text.partition("x")
    if not (width.isdecimal() and height.isdecimal() and min(int(width), int(height)) >= 16):
        raise click.BadParameter(f"{text!r} is not like 320x240, with both sides 16 pixels or more")
    return int(width), int(height)


@click.command(
    short_help="Write synthetic scenes as a data set.",
    epilog=(
        "\b\n"
        "Example:\n"
        "  anydet synth --out data/scenes --images 64\n"
        "  anydet export-predictions --adapter toy --dataset data/scenes --output predictions.json"
    ),
)
@click.option("--out", type=click.Path(path_type=Path), required=True, help="New or empty folder.")
@click.option("--images", type=click.IntRange(min=1), default=64, show_default=True, help="Number of scenes.")
@click.option(
    "--size",
    callback=read_size,
    metavar="WxH",
    default="320x240",
    show_default=True,
    help="Width x height in pixels.",
)
@click.option("--seed", type=click.IntRange(min=0), default=0, show_default=True, help="Which scenes.")
@click.option("--format", "layout", type=click.Choice(["yolo", "coco"]), default="yolo", show_default=True)
@click.option("--split", default="val", show_default=True, help="Name of the split.")
def command(*, out: Path, images: int, size: tuple[int, int], seed: int, layout: str, split: str) -> None:
    """Write synthetic scenes with exact ground truth as a YOLO or COCO data set.

    Scene i of a seed is the same whatever the number of scenes. COCO holds boxes, masks and keypoints, YOLO
    boxes. The folder appears whole or not at all.
    """
    from anydet.commands.progress import progress
    from anydet.data.shapes import KEYPOINTS
    from anydet.data.synthetic import SyntheticDataset
    from anydet.data.writers import write_coco, write_yolo

    dataset = SyntheticDataset(images, seed, size, split)
    with progress("rendering", images) as report:
        if layout == "coco":
            write_coco(dataset, out, split, keypoint_names=KEYPOINTS, report=report)
        else:
            write_yolo(dataset, out, split, report=report)
    click.echo(out)
    click.echo(f"{images} images of split {split!r}, {layout.upper()} layout; next:", err=True)
    click.echo(
        f"  anydet export-predictions --adapter toy --dataset {out} --output predictions.json", err=True
    )
