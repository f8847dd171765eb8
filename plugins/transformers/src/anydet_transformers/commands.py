"""``anydet transformers``: a trained model as a folder that the library loads."""

from __future__ import annotations

from pathlib import Path

import click

from anydet.commands.messages import say
from anydet.commands.paths import OUTPUT_FOLDER

_EXAMPLE = (
    "\b\n"
    "Example:\n"
    "  anydet synth --out data/scenes --images 4 --size 96x96 --split train\n"
    "  anydet train --adapter transformers --model tiny:yolos --dataset data/scenes --batch-size 2 \\\n"
    "    --num-workers 0 --max-steps 1 --run-dir runs/mine --parity-policy off\n"
    "  anydet transformers save runs/mine --out mine"
)


@click.group("transformers", epilog=_EXAMPLE)
def command() -> None:
    """Save a trained model as a folder for transformers."""


@command.command(epilog=_EXAMPLE)
@click.argument("checkpoint")
@click.option("--out", type=OUTPUT_FOLDER, required=True, help="Folder to write.")
def save(checkpoint: str, out: Path) -> None:
    """Write the model of CHECKPOINT as save_pretrained of the library does.

    CHECKPOINT is the folder of a run, or a checkpoint file of one. AutoModelForObjectDetection and
    AutoImageProcessor load the folder; --checkpoint of this adapter does, too.
    """
    from anydet_transformers.published import save_folder

    say(f"{out}: {save_folder(checkpoint, out)}")
