"""``anydet diagnose``: checks of data, model and settings before a long training run."""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING, Any

import click

from anydet.arguments import MOST_INTEGER
from anydet.commands.json_output import json_option, write_json
from anydet.commands.messages import echo, say
from anydet.commands.numbers import FiniteRange
from anydet.commands.paths import CHART
from anydet.commands.result_options import MAX_PIXELS
from anydet.commands.train_options import TrainCommand, given, read_words, train_options
from anydet.text import shortened

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
@click.option(
    "--content-images",
    type=click.IntRange(1, MOST_INTEGER),
    default=1000,
    show_default=True,
    help="Images of each split to read.",
)
@click.option(
    "--range-steps",
    type=click.IntRange(0, MOST_INTEGER),
    default=40,
    show_default=True,
    help="Steps of the range test; 0 skips it.",
)
@click.option(
    "--overfit-steps",
    type=click.IntRange(0, MOST_INTEGER),
    default=40,
    show_default=True,
    help="Steps of overfitting one batch; 0 skips it.",
)
@click.option(
    "--overfit-share",
    type=FiniteRange(0, 1, min_open=True),
    default=0.5,
    show_default=True,
    help="Fraction of the first loss that overfitting must get below.",
)
@click.option("--plot", type=CHART, help="Plot the learning-rate range test to this PNG or SVG.")
@json_option("all numbers")
@MAX_PIXELS
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
    json_path: Path | None,
    **flags: Any,
) -> None:
    """Find what keeps a model from learning: data, weights, gradients, steps, learning rate.

    Takes the CONFIG and all flags of 'anydet train' and checks a run with these settings; no run is written.
    Exits 1 if a check fails, but not for warnings.
    """
    import sys
    from contextlib import redirect_stdout

    from anydet.training.launch.preparation import prepare

    config, keys = read_words(words, config)
    typed = {**keys, **given(flags)}
    if config is None and "adapter" not in typed:
        raise click.UsageError("no CONFIG and no adapter given: add --adapter NAME and --dataset DIR")
    _require_torch()
    from anydet.training.checks.examination import Thoroughness, examine

    how = Thoroughness(content_images, range_steps, overfit_steps, overfit_share)
    # stdout is for the result, which --json makes machine-readable; adapters and libraries print to it, too.
    with redirect_stdout(sys.stderr):
        found = examine(prepare(typed, config, plugins=plugins), how, _say)
    if plot is not None:
        _draw(found, plot)
    if not write_json(found.as_dict(), json_path):
        _print(found)
    if found.state == "fail":
        raise SystemExit(1)


def _require_torch() -> None:
    """Raise where torch is not installed: the checks look into torch models."""
    from importlib.util import find_spec

    from anydet.errors import AnydetError

    if find_spec("torch") is None:
        raise AnydetError(
            "diagnose checks torch models, and torch is not installed", fix="pip install 'anydet[torch]'"
        )


def _say(group: str) -> None:
    say(f"checking {group}")


def _draw(found: Diagnosis, plot: Path) -> None:
    from anydet.report.raterange import draw_rate_range

    if found.rate_range is None:
        say(f"{plot}: not written, because the range test did not run")
        return
    draw_rate_range(found.rate_range, plot)
    say(str(plot))


def _print(found: Diagnosis) -> None:
    """Print verdicts as a table, then the fixes of those that do not pass."""
    from anydet.commands.tables import print_table

    verdicts = found.verdicts
    groups = [one.group for one in verdicts]
    starts = [i for i, group in enumerate(groups) if i and group != groups[i - 1]]
    rows = [
        (
            "" if i and one.group == groups[i - 1] else one.group,
            one.check,
            one.state,
            shortened(one.measured, _WIDTH),
        )
        for i, one in enumerate(verdicts)
    ]
    print_table(("what", "check", "verdict", "measured"), rows, left=4, starts=starts)
    for one in verdicts:
        if one.fix and one.state != "pass":
            echo(f"{one.state}: {one.group}{', ' if one.check else ''}{one.check}", f"  fix: {one.fix}")
    states = [one.state for one in verdicts]
    counts = ", ".join(f"{states.count(state)} {state}" for state in dict.fromkeys(sorted(states)))
    echo(f"{found.adapter} on {found.dataset}: {counts}")
