"""``anydet adaptivestream``: whether it trains here."""

from __future__ import annotations

from typing import TYPE_CHECKING

import click

if TYPE_CHECKING:
    from anydet.plugins.manager import Plugins
    from anydet_adaptivestream.quicktest import QuickTest

_EXAMPLE = "\b\nExample:\n  anydet adaptivestream quick-test --seconds 3 --image-size 64"


@click.group("adaptivestream", epilog=_EXAMPLE)
def command() -> None:
    """See whether joint segmentation and classification trains here."""


@command.command("quick-test", epilog=_EXAMPLE)
@click.option(
    "--seconds", type=click.FloatRange(min=1), default=60, show_default=True, help="Of everything, about."
)
@click.option(
    "--image-size",
    type=click.Choice(["64", "96", "128", "160", "192", "224"]),
    default="128",
    show_default=True,
    help="Side of the scenes in pixels.",
)
@click.option("--device", help="cpu, cuda, cuda:1.  [default: CUDA where there is one]")
@click.option("--seed", type=click.IntRange(min=0), default=42, show_default=True, help="Which scenes.")
@click.option("--json", "as_json", is_flag=True, help="Print all numbers as JSON.")
@click.pass_obj
def quick_test(
    plugins: Plugins, /, *, seconds: float, image_size: str, device: str | None, seed: int, as_json: bool
) -> None:
    """Train a minute on synthetic scenes and print what was measured: learning rate, loss, NaN, gradients.

    Scenes of shapes are painted in memory; accuracy and mIoU are of scenes that were not trained on. Exit
    code 1 where a batch was not finite, or the loss did not fall below that of an even guess.
    """
    import sys
    from contextlib import redirect_stdout

    from anydet_adaptivestream.quicktest import quick_test as measure

    with redirect_stdout(sys.stderr):  # whatever libraries print is talk
        result = measure(
            plugins, seconds=seconds, image_size=int(image_size), device=device, seed=seed, say=_say
        )
    _print(result, as_json=as_json)
    for problem in result.problems:
        _say(f"problem: {problem}; 'anydet diagnose --adapter adaptivestream' looks for the cause")
    if result.problems:
        raise SystemExit(1)


def _say(text: str) -> None:
    click.echo(text, err=True)


def _print(result: QuickTest, *, as_json: bool) -> None:
    import json

    from anydet.commands.tables import print_table

    if as_json:
        click.echo(json.dumps(result.as_dict(), indent=2))
        return
    print_table(("", "measured", "by chance"), result.rows())
    click.echo(f"{result.steps} steps of {1000 * result.step_s:.0f} ms, {result.seconds:.0f} s in all")
    _say("other than the defaults, for so short a run:")
    for key, (usual, value) in result.changed.items():
        _say(f"  {key} {value} (default {usual})")
