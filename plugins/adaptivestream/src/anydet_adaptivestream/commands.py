"""``anydet adaptivestream``: a quick test of training on this machine."""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING

import click

from anydet.arguments import MOST_INTEGER
from anydet.commands.json_output import json_option, write_json
from anydet.commands.messages import echo, say
from anydet.commands.numbers import FiniteRange

if TYPE_CHECKING:
    from anydet.plugins.manager import Plugins
    from anydet_adaptivestream.quicktest import QuickTest

_EXAMPLE = "\b\nExample:\n  anydet adaptivestream quick-test --seconds 3 --image-size 64"


@click.group("adaptivestream", epilog=_EXAMPLE)
def command() -> None:
    """Test training of joint segmentation and classification on this machine."""


@command.command("quick-test", epilog=_EXAMPLE)
@click.option(
    "--seconds",
    type=FiniteRange(min=1),
    default=60,
    show_default=True,
    help="Approximate duration of the test.",
)
@click.option(
    "--image-size",
    type=click.Choice(["64", "96", "128", "160", "192", "224"]),
    default="128",
    show_default=True,
    help="Side of the scenes in pixels.",
)
@click.option("--device", help="cpu, cuda, cuda:1.  [default: CUDA if available]")
@click.option(
    "--seed", type=click.IntRange(0, MOST_INTEGER), default=42, show_default=True, help="Seed of the scenes."
)
@json_option("all numbers")
@click.pass_obj
def quick_test(
    plugins: Plugins,
    /,
    *,
    seconds: float,
    image_size: str,
    device: str | None,
    seed: int,
    json_path: Path | None,
) -> None:
    """Train for a minute on synthetic scenes and print learning rate, loss, NaN counts and gradients.

    Scenes are drawn in memory; accuracy and mIoU are of held-out scenes. Exits 1 if a batch was not finite,
    or if the loss did not fall below that of a uniform prediction.
    """
    import sys
    from contextlib import redirect_stdout

    from anydet_adaptivestream.quicktest import quick_test as measure

    with redirect_stdout(sys.stderr):  # stdout is for the result
        result = measure(
            plugins, seconds=seconds, image_size=int(image_size), device=device, seed=seed, say=_say
        )
    _print(result, json_path=json_path)
    for problem in result.problems:
        _say(f"problem: {problem}; 'anydet diagnose --adapter adaptivestream' looks for the cause")
    if result.problems:
        raise SystemExit(1)


def _say(text: str) -> None:
    say(text)


def _print(result: QuickTest, *, json_path: Path | None) -> None:

    from anydet.commands.tables import print_table

    if write_json(result.as_dict(), json_path):
        return
    print_table(("", "measured", "by chance"), result.rows())
    echo(f"{result.steps} steps of {1000 * result.step_s:.0f} ms, {result.seconds:.0f} s in all")
    _say("other than the defaults, for so short a run:")
    for key, (usual, value) in result.changed.items():
        _say(f"  {key} {value} (default {usual})")
