"""``anydet synth``: synthetic scenes with exact ground truth, on disk."""

from __future__ import annotations

from pathlib import Path

import click

from anydet.data.scenes.kinds import SCENES

_DEFAULTS = ", ".join(f"{next(iter(kind.writers))} for {name}" for name, kind in SCENES.items())


def read_size(_ctx: click.Context, _param: click.Parameter, text: str) -> tuple[int, int]:
    """``320x240`` to (width, height)."""
    width, _, height = text.partition("x")
    if not (width.isdecimal() and height.isdecimal() and min(int(width), int(height)) >= 16):
        raise click.BadParameter(f"{text!r} is not a size like 320x240 with sides of at least 16 pixels")
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
@click.option("--seed", type=click.IntRange(min=0), default=0, show_default=True, help="Seed of the scenes.")
@click.option(
    "--scene",
    type=click.Choice(list(SCENES)),
    default=next(iter(SCENES)),
    show_default=True,
    help="Kind of scene, see above.",
)
@click.option(
    "--format",
    "layout",
    type=click.Choice(sorted({layout for kind in SCENES.values() for layout in kind.writers})),
    help=f"Format of the data set.  [default: {_DEFAULTS}]",
)
@click.option(
    "--objects", type=click.IntRange(min=1), help="Maximum of objects in a pose scene.  [default: 4]"
)
@click.option("--split", default="val", show_default=True, help="Name of the split.")
def command(
    *,
    out: Path,
    images: int,
    size: tuple[int, int],
    seed: int,
    scene: str,
    layout: str | None,
    objects: int | None,
    split: str,
) -> None:
    """Write synthetic scenes with exact ground truth as a data set.

    Scene i of a seed does not depend on the number of scenes. Either the whole folder is written or nothing.

    shapes: colored shapes on textured backgrounds. COCO holds boxes, masks and keypoints, YOLO boxes.

    bikes: bicycles of 22 parts that are intact, damaged, absent or occluded. With DelftBikes, further splits
    can be added to the folder.

    segmentation: shapes with a class for each pixel, and for the image the class that covers most of it.
    Further splits can be added to the folder.

    pose: textured solids with rotation, translation, masks, depth, camera and models. With BOP, further
    splits can be added to the folder; YOLO stores poses in sidecars.
    """
    from anydet.commands.progress import progress

    kind = SCENES[scene]
    layout = layout or next(iter(kind.writers))
    if layout not in kind.writers:
        raise click.UsageError(
            f"--scene {scene} cannot be written as {layout}, only {', '.join(kind.writers)}"
        )
    if objects is not None and not kind.takes_objects:
        raise click.UsageError(f"--scene {scene} has no --objects")
    dataset = kind.make(images, seed, size, split, objects)
    with progress("rendering", images) as report:
        kind.write(dataset, out, layout, report)
    click.echo(out)
    click.echo(f"{images} images of split {split!r}, {layout.upper()} layout; next:", err=True)
    click.echo(f"  {kind.next_step.format(out=out, split=split)}", err=True)
