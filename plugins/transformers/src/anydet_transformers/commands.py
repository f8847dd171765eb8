"""``anydet transformers``: a trained model as a folder that the library loads."""

from __future__ import annotations

from pathlib import Path

import click

from anydet.commands.messages import say
from anydet.commands.paths import OUTPUT_FOLDER


@click.group(
    "transformers",
    epilog="\b\nExample:\n  anydet transformers save runs/mine --out mine",
)
def command() -> None:
    """Save a trained model as a folder for transformers."""


@command.command(epilog="\b\nExample:\n  anydet transformers save runs/mine --out mine")
@click.argument("checkpoint")
@click.option("--out", type=OUTPUT_FOLDER, required=True, help="Folder to write.")
def save(checkpoint: str, out: Path) -> None:
    """Write the model of CHECKPOINT as save_pretrained of the library does.

    CHECKPOINT is the folder of a run, or a checkpoint file of one. AutoModelForObjectDetection and
    AutoImageProcessor load the folder; --checkpoint of this adapter does, too.
    """
    from anydet_transformers.published import save_folder

    say(f"{out}: {save_folder(checkpoint, out)}")
