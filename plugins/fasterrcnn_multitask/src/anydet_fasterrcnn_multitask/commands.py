"""``anydet fasterrcnn-multitask``: prepare and split DelftBikes annotations for training."""

from __future__ import annotations

from pathlib import Path

import click

from anydet.arguments import MOST_INTEGER
from anydet.commands.json_output import STDOUT, json_option, write_json
from anydet.commands.messages import echo, say
from anydet.commands.numbers import FiniteRange
from anydet.commands.paths import INPUT, OUTPUT_FOLDER

_json_option = json_option("the counts")
_folder = click.Path(path_type=Path, file_okay=False)


@click.group(
    "fasterrcnn-multitask",
    epilog=(
        "\b\n"
        "Example:\n"
        "  anydet synth --scene bikes --out data/bikes --images 3 --split all\n"
        "  anydet fasterrcnn-multitask split data/bikes/all_annotations.json --out data/splits"
    ),
)
def command() -> None:
    """Prepare and split DelftBikes annotations for training."""


@command.command(
    epilog=(
        "\b\n"
        "Example:\n"
        "  anydet synth --scene bikes --out data/bikes --images 2 --split train\n"
        "  anydet synth --scene bikes --out data/bikes --images 1 --split val --seed 1\n"
        "  anydet fasterrcnn-multitask prepare --output-dir data/prepared \\\n"
        "    --train-json data/bikes/train_annotations.json --train-cleaned data/bikes/train \\\n"
        "    --val-json data/bikes/val_annotations.json --val-cleaned data/bikes/val"
    )
)
@click.option(
    "--env-file",
    type=INPUT,
    help="File of variables, one NAME=value per line.  [default: .env, if it exists]",
)
@click.option("--train-json", type=INPUT, help="Training annotations; overrides TRAIN_JSON.")
@click.option("--train-cleaned", type=_folder, help="Training images; overrides TRAIN_CLEANED.")
@click.option("--val-json", type=INPUT, help="Validation annotations; overrides VAL_JSON.")
@click.option("--val-cleaned", type=_folder, help="Validation images; overrides VAL_CLEANED.")
@click.option("--output-dir", type=OUTPUT_FOLDER, help="Folder to write into; overrides OUTPUT_DIR.")
@_json_option
def prepare(*, env_file: Path | None, json_path: Path | None, **flags: Path | None) -> None:
    """Write train_coco.json and val_coco.json, with categories 1..22 and a state for each annotation.

    Paths come from flags, else from the environment, else from a .env file. Invalid entries (missing images,
    boxes outside of the image, unknown states) are listed and left out. 'anydet train' and 'anydet eval'
    open OUTPUT_DIR/train_dataset.json and val_dataset.json, which hold the paths of annotations and images.
    """
    from anydet_fasterrcnn_multitask.environment import read_variables
    from anydet_fasterrcnn_multitask.prepare import prepare as write

    named = {name.upper(): str(path) for name, path in flags.items() if path is not None}
    done = write(read_variables(env_file) | named)
    for line in (line for conversion in done.values() for line in conversion.lines()):
        (say if json_path == STDOUT else echo)(line)
    write_json({split: one.summary() for split, one in done.items()}, json_path)


@command.command(
    epilog=(
        "\b\n"
        "Example:\n"
        "  anydet synth --scene bikes --out data/bikes --images 3 --split all\n"
        "  anydet fasterrcnn-multitask split data/bikes/all_annotations.json --out data/splits"
    )
)
@click.argument("annotations", type=INPUT)
@click.option("--out", type=OUTPUT_FOLDER, required=True, help="Folder to write into.")
@click.option("--val", type=FiniteRange(0, 1), default=0.1, show_default=True, help="Fraction for val.")
@click.option("--test", type=FiniteRange(0, 1), default=0.1, show_default=True, help="Fraction for test.")
@click.option(
    "--seed", type=click.IntRange(0, MOST_INTEGER), default=42, show_default=True, help="Seed of the split."
)
@click.option("--images", type=_folder, help="Copy images from here to OUT/<split>.")
@_json_option
def split(
    annotations: Path,
    *,
    out: Path,
    val: float,
    test: float,
    seed: int,
    images: Path | None,
    json_path: Path | None,
) -> None:
    """Split DelftBikes annotations into train, val and test with equal frequencies of parts and states.

    Iterative stratification (Sechidis et al. 2011); the same seed gives the same splits. Writes
    OUT/<split>_annotations.json.
    """
    from anydet_fasterrcnn_multitask.split import split_annotations

    done = split_annotations(
        annotations, out, fractions=(1 - val - test, val, test), seed=seed, images_dir=images
    )
    if write_json(done.summary(), json_path):
        return
    for name, path in done.files.items():
        counts = ", ".join(f"{count} {state}" for state, count in done.states[name].items())
        echo(f"{path}: {done.images[name]} images; parts: {counts}")
    say(f"frequencies of parts in states deviate by {done.error:.2%} on average")
