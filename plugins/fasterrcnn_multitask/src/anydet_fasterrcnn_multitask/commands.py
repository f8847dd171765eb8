"""``anydet fasterrcnn-multitask``: DelftBikes annotations made ready to train on."""

from __future__ import annotations

from pathlib import Path

import click

_json_option = click.option("--json", "as_json", is_flag=True, help="Print the counts as JSON.")
_folder = click.Path(path_type=Path, file_okay=False)
_file = click.Path(path_type=Path, dir_okay=False)


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
    """Make DelftBikes annotations ready to train on."""


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
@click.option("--env-file", type=_file, help="Variables, one NAME=value a line.  [default: .env, if any]")
@click.option("--train-json", type=_file, help="Annotations to train on; before TRAIN_JSON.")
@click.option("--train-cleaned", type=_folder, help="Their images; before TRAIN_CLEANED.")
@click.option("--val-json", type=_file, help="Annotations to validate on; before VAL_JSON.")
@click.option("--val-cleaned", type=_folder, help="Their images; before VAL_CLEANED.")
@click.option("--output-dir", type=_folder, help="Where results go; before OUTPUT_DIR.")
@_json_option
def prepare(*, env_file: Path | None, as_json: bool, **flags: Path | None) -> None:
    """Write train_coco.json and val_coco.json, with categories 1..22 and a state for each annotation.

    What to read comes from flags, else from the environment, else from a .env file. Broken entries (images
    that are missing, boxes outside, unknown states) are listed and left out. OUTPUT_DIR/train_dataset.json
    and val_dataset.json name annotations and images: anydet train and anydet eval open them.
    """
    import json

    from anydet_fasterrcnn_multitask.environment import read_variables
    from anydet_fasterrcnn_multitask.prepare import prepare as write

    named = {name.upper(): str(path) for name, path in flags.items() if path is not None}
    done = write(read_variables(env_file) | named)
    for line in (line for conversion in done.values() for line in conversion.lines()):
        click.echo(line, err=as_json)
    if as_json:
        click.echo(json.dumps({split: one.summary() for split, one in done.items()}, indent=1))


@command.command(
    epilog=(
        "\b\n"
        "Example:\n"
        "  anydet synth --scene bikes --out data/bikes --images 3 --split all\n"
        "  anydet fasterrcnn-multitask split data/bikes/all_annotations.json --out data/splits"
    )
)
@click.argument("annotations", type=_file)
@click.option("--out", type=_folder, required=True, help="Folder to write into.")
@click.option("--val", type=click.FloatRange(0, 1), default=0.1, show_default=True, help="Share for val.")
@click.option("--test", type=click.FloatRange(0, 1), default=0.1, show_default=True, help="Share for test.")
@click.option("--seed", type=click.IntRange(min=0), default=42, show_default=True, help="Which split.")
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
    as_json: bool,
) -> None:
    """Split DelftBikes annotations into train, val and test with the same share of every part in every state.

    Iterative stratification (Sechidis et al. 2011); the same seed gives the same splits. Writes
    OUT/<split>_annotations.json.
    """
    import json

    from anydet_fasterrcnn_multitask.split import split_annotations

    done = split_annotations(
        annotations, out, shares=(1 - val - test, val, test), seed=seed, images_dir=images
    )
    if as_json:
        click.echo(json.dumps(done.summary(), indent=1))
        return
    for name, path in done.files.items():
        counts = ", ".join(f"{count} {state}" for state, count in done.states[name].items())
        click.echo(f"{path}: {done.images[name]} images; parts: {counts}")
    click.echo(f"shares of parts in states are {done.error:.2%} from those asked for, on average", err=True)
