"""``anydet demo``: the main job on scenes made on the spot."""

from __future__ import annotations

import shutil
from itertools import islice
from pathlib import Path

import click


@click.command("demo", epilog=("\b\nExample:\n  anydet demo --out demo"))
@click.option("--out", type=click.Path(path_type=Path), default=Path("demo"), show_default=True)
@click.option("--images", type=click.IntRange(min=1), default=64, show_default=True)
@click.option("--seed", type=click.IntRange(min=0), default=0, show_default=True)
@click.pass_context
def command(ctx: click.Context, out: Path, images: int, seed: int) -> None:
    """Make scenes, predict them with the toy adapter, validate, evaluate, and draw a picture."""
    scenes, predictions, picture = out / "scenes", out / "predictions.json", out / "overlay.png"
    if picture.exists() and scenes.exists():  # an earlier demo's; scenes alone may be somebody's own
        shutil.rmtree(scenes)
    for arguments in (
        ["synth", "--out", scenes, "--images", images, "--seed", seed, "--format", "coco"],
        ["export-predictions", "--adapter", "toy", "--dataset", scenes, "--wrap", "--output", predictions],
        ["validate-predictions", predictions, "--dataset", scenes],
        ["eval-coco", "--dataset", scenes, "--predictions", predictions, "--per-class"],
    ):
        _run(ctx, [str(a) for a in arguments])
    _draw(scenes, predictions, picture)
    click.echo(f"\n{picture}: ground truth (left) and predictions (right) of the first scenes")


def _run(ctx: click.Context, arguments: list[str]) -> None:
    """One command, shown as a person would type it."""
    group = ctx.find_root().command
    click.secho(f"\n$ anydet {' '.join(arguments)}", bold=True)
    group.main(arguments, prog_name="anydet", standalone_mode=False, obj=ctx.obj)


def _draw(scenes: Path, predictions: Path, picture: Path, *, count: int = 3, score: float = 0.3) -> None:
    """Ground truth beside confident predictions for the first scenes that show something."""
    from anydet.contract.columns import read_images
    from anydet.data.opening import open_dataset
    from anydet.report.files import save_png
    from anydet.report.lettering import caption
    from anydet.report.overlay import draw
    from anydet.report.sheet import contact_sheet

    dataset = open_dataset(scenes)
    panels = []
    pairs = zip(dataset, read_images(predictions), strict=True)
    for record, found in islice((pair for pair in pairs if pair[0].labels), count):
        image, confident = record.image(), found.take(found.scores >= score)
        panels.append(caption(draw(image, labels=record.labels, classes=dataset.classes), "ground truth"))
        panels.append(caption(draw(image, confident, dataset.classes), f"toy, score {score} and more"))
    save_png(contact_sheet(panels, columns=2), picture)
