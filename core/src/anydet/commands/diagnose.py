"""``anydet diagnose``: what keeps a model from learning, before a long run finds out."""

from __future__ import annotations

import json
from pathlib import Path
from typing import TYPE_CHECKING, Any

import click

from anydet.commands.train_options import TrainCommand, given, read_words, train_options

if TYPE_CHECKING:
    from anydet.plugins.manager import Plugins
    from anydet.training.checks.examination import Diagnosis

_WIDTH = 110


@click.command(
    "diagnose",
    cls=TrainCommand,
    context_settings={"ignore_unknown_options": True},
    options_metavar="[CONFIG] [OPTIONS]",
    epilog=(
        "\b\n"
        "Example:\n"
        "  anydet synth --scene segmentation --out data/shapes --images 8 --size 64x64 --split train\n"
        "  anydet diagnose --adapter adaptivestream --dataset data/shapes --image-size 64 --batch-size 4 \\\n"
        "      --range-steps 12 --overfit-steps 20"
    ),
)
@click.argument("words", nargs=-1, type=click.UNPROCESSED, metavar="")
@train_options
@click.option("--content-images", default=1000, show_default=True, help="Images of each split looked at.")
@click.option("--range-steps", default=40, show_default=True, help="Learning rates tried; 0 none.")
@click.option("--overfit-steps", default=40, show_default=True, help="Steps on one batch; 0 none.")
@click.option(
    "--overfit-share", default=0.5, show_default=True, help="Share of its first loss it must get under."
)
@click.option(
    "--plot", type=click.Path(path_type=Path), help="Draw the learning-rate range test: PNG or SVG."
)
@click.option("--json", "as_json", is_flag=True, help="Print all numbers as JSON.")
@click.pass_obj
def command(
    plugins: Plugins,
    /,
    words: tuple[str, ...],
    *,
    config: str | None,
    content_images: int,
    range_steps: int,
    overfit_steps: int,
    overfit_share: float,
    plot: Path | None,
    as_json: bool,
    **flags: Any,
) -> None:
    """Look for what keeps a model from learning: data, weights, gradients, steps, learning rate.

    Takes what 'anydet train' takes, CONFIG and all flags, and looks at just that recipe; no run is written.
    Exits 1 where a check fails; warnings may be meant.
    """
    import sys
    from contextlib import redirect_stdout

    from anydet.training.checks.examination import Thoroughness, examine
    from anydet.training.launch.launch import prepare

    config, keys = read_words(words, config)
    typed = {**keys, **given(flags)}
    if config is None and "adapter" not in typed:
        raise click.UsageError("Name a CONFIG, or --adapter NAME and --dataset DIR.")
    how = Thoroughness(content_images, range_steps, overfit_steps, overfit_share)
    with redirect_stdout(sys.stderr):  # whatever an adapter and its libraries print is talk
        found = examine(prepare(typed, config, plugins=plugins), how, _say)
    if plot is not None:
        _draw(found, plot)
    click.echo(json.dumps(_finite(found.as_dict()), indent=1)) if as_json else _print(found)
    if found.state == "fail":
        raise SystemExit(1)


def _say(group: str) -> None:
    click.echo(f"looking at {group}", err=True)


def _draw(found: Diagnosis, plot: Path) -> None:
    from anydet.report.raterange import draw_rate_range

    if found.rate_range is None:
        click.echo(f"{plot}: not drawn, as the range test was not reached", err=True)
        return
    draw_rate_range(found.rate_range, plot)
    click.echo(str(plot), err=True)


def _print(found: Diagnosis) -> None:
    """Verdicts as a table, then what to do about those that do not pass."""
    from anydet.commands.tables import print_table

    verdicts = found.verdicts
    groups = [one.group for one in verdicts]
    starts = [i for i, group in enumerate(groups) if i and group != groups[i - 1]]
    rows = [
        ("" if i and one.group == groups[i - 1] else one.group, one.check, one.state, _shorten(one.measured))
        for i, one in enumerate(verdicts)
    ]
    print_table(("what", "check", "verdict", "measured"), rows, left=4, starts=starts)
    for one in verdicts:
        if one.fix and one.state != "pass":
            click.echo(f"{one.state}: {one.group}{', ' if one.check else ''}{one.check}\n  fix: {one.fix}")
    states = [one.state for one in verdicts]
    counts = ", ".join(f"{states.count(state)} {state}" for state in dict.fromkeys(sorted(states)))
    click.echo(f"{found.adapter} on {found.dataset}: {counts}")


def _shorten(text: str) -> str:
    """Text that leaves the table readable; --json has all of it."""
    return text if len(text) <= _WIDTH else text[: _WIDTH - 3] + "..."


def _finite(value: Any) -> Any:
    """The same with ``null`` for NaN and infinity, which JSON cannot say."""
    import math

    if isinstance(value, dict):
        return {key: _finite(inner) for key, inner in value.items()}
    if isinstance(value, list | tuple):
        return [_finite(inner) for inner in value]
    return None if isinstance(value, float) and not math.isfinite(value) else value
