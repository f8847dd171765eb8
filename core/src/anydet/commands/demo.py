"""``anydet demo``: export, validate and evaluate predictions of synthetic scenes."""

from __future__ import annotations

import shutil
from itertools import islice
from pathlib import Path

import click

from anydet.arguments import MOST_INTEGER
from anydet.commands.messages import echo
from anydet.commands.paths import OUTPUT_FOLDER


@click.command("demo", epilog=("\b\nExample:\n  anydet demo --out demo"))
@click.option("--out", type=OUTPUT_FOLDER, default=Path("demo"), show_default=True, help="Output folder.")
@click.option(
    "--images", type=click.IntRange(1, MOST_INTEGER), default=64, show_default=True, help="Number of scenes."
)
@click.option(
    "--seed", type=click.IntRange(0, MOST_INTEGER), default=0, show_default=True, help="Seed of the scenes."
)
@click.pass_context
def command(ctx: click.Context, out: Path, images: int, seed: int) -> None:
    """Write synthetic scenes, predict them with the toy adapter, validate, evaluate, and draw overlays."""
    scenes, predictions, overlay = out / "scenes", out / "predictions.json", out / "overlay.png"
    # Only a finished demo has an overlay beside its scenes; a folder "scenes" alone may be the user's own.
    if overlay.exists() and scenes.exists():
        shutil.rmtree(scenes)
    for arguments in (
        ["synth", "--out", scenes, "--images", images, "--seed", seed, "--format", "coco"],
        ["export-predictions", "--adapter", "toy", "--dataset", scenes, "--wrap", "--output", predictions],
        ["validate-predictions", predictions, "--dataset", scenes],
        ["eval-coco", "--dataset", scenes, "--predictions", predictions, "--per-class"],
    ):
        _run(ctx, [str(a) for a in arguments])
    _draw(scenes, predictions, overlay)
    echo("", f"{overlay}: ground truth (left) and predictions (right) of the first scenes")


def _run(ctx: click.Context, arguments: list[str]) -> None:
    """Print a command as it is typed, and run it."""
    group = ctx.find_root().command
    echo("", f"$ anydet {' '.join(arguments)}", bold=True)
    group.main(arguments, prog_name="anydet", standalone_mode=False, obj=ctx.obj)


def _draw(scenes: Path, predictions: Path, overlay: Path, *, count: int = 3, score: float = 0.3) -> None:
    """Draw ground truth beside confident predictions of the first scenes that have objects."""
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
        panels.append(caption(draw(image, confident, dataset.classes), f"toy, score >= {score}"))
    save_png(contact_sheet(panels, columns=2), overlay)
