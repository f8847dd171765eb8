"""``anydet compare``: whether two models differ by more than chance."""

from __future__ import annotations

import math
from collections.abc import Mapping
from pathlib import Path
from typing import TYPE_CHECKING, Any

import click

from anydet.arguments import MOST_INTEGER
from anydet.commands.coco_options import bootstrap_options, coco_options, read_settings
from anydet.commands.dataset_options import dataset_options, open_data, read_predictions
from anydet.commands.gates import (
    FAIL_IF_WORSE,
    MAX_DROP,
    P_VALUE,
    require_bounds,
    require_fractions,
    summary_options,
    write_summaries,
)
from anydet.commands.json_output import write_json
from anydet.commands.messages import echo
from anydet.commands.predictions import predictions_arguments

if TYPE_CHECKING:
    from anydet.evaluation.analysis.comparison import Comparison
    from anydet.plugins.manager import Plugins


@click.command(
    "compare",
    epilog=(
        "\b\n"
        "Example:\n"
        "  anydet synth --out data/scenes --images 16\n"
        "  anydet export-predictions --adapter toy --dataset data/scenes --output a.json\n"
        "  anydet export-predictions --adapter toy --dataset data/scenes --output b.json --max-detections 2\n"
        "  anydet compare a.json b.json --dataset data/scenes"
    ),
)
@predictions_arguments("a", "b")
@dataset_options
@coco_options
@bootstrap_options
@click.option(
    "--rows", type=click.IntRange(0, MOST_INTEGER), default=10, show_default=True, help="Classes to print."
)
@MAX_DROP
@FAIL_IF_WORSE
@P_VALUE
@summary_options
@click.pass_obj
def command(plugins: Plugins, /, a: Path, b: Path, rows: int, json_path: Path | None, **flags: Any) -> None:
    """Compare predictions A and B on the same images: COCO metrics, differences and p-values.

    Uses a paired bootstrap over images: both models are evaluated on the same resamples. Differences are
    B - A.
    """
    from anydet.evaluation.analysis.comparison import compare
    from anydet.evaluation.run import prepare_coco

    require_bounds(flags, "max_drop", "fail_if_worse")
    require_fractions(flags["max_drop"], "--max-drop")
    _require_resamples(flags)
    engine, scanner, dataset = open_data(plugins, flags)
    settings = read_settings(flags)
    both = [
        prepare_coco(read_predictions(dataset, p, flags, scanner), settings, engine=engine) for p in (a, b)
    ]
    comparison = compare(*both, **{name: flags[name] for name in ("resamples", "level", "seed")})
    protocols = {"a": both[0].protocol(), "b": both[1].protocol()}
    write_json({**comparison.as_dict(), "protocol": protocols}, json_path)
    if json_path != Path("-"):
        _print_comparison(comparison, a, b, rows)
    _hold(comparison, flags)


def _require_resamples(flags: Mapping[str, Any]) -> None:
    """Refuse so few resamples that no p-value can be as small as ``--fail-if-worse`` wants it."""
    # The measured difference is counted as one of them.
    if flags["fail_if_worse"] and 1 / (flags["resamples"] + 1) >= flags["p_value"]:
        least = math.floor(1 / flags["p_value"])
        raise click.UsageError(
            f"p-values of {flags['resamples']} resamples are never below {flags['p_value']:g}, so that "
            f"--fail-if-worse could not fail: give --resamples {least} or more"
        )


def _hold(comparison: Comparison, flags: Mapping[str, Any]) -> None:
    """Write summaries, then hold the differences against their bounds."""
    from anydet.evaluation.gates import hold_drops, hold_significance, require_kept

    gates = hold_drops(flags["max_drop"], comparison)
    if flags["fail_if_worse"]:
        gates.append(hold_significance(flags["p_value"], comparison))
    write_summaries("compare", comparison.tables, gates, flags)
    require_kept(gates)


def _print_comparison(comparison: Comparison, a: Path, b: Path, rows: int) -> None:
    from anydet.commands.tables import print_result_table

    echo(f"a: {a}", f"b: {b}")
    everything, classes = comparison.tables
    print_result_table(everything, len(everything.rows))
    print_result_table(classes, rows)
    name, first = next(iter(comparison.overall.items()))
    if first.difference is None or first.low is None or first.high is None or first.p is None:
        echo(f"{name}: not enough ground truth to compare")
        return
    # An interval of width zero at zero: no resample differs, as with a file compared with itself.
    if first.difference == first.low == first.high == 0:
        echo(f"{name}: identical for a and b, in every resample")
        return
    better = (
        "neither is better" if not first.difference else f"{'b' if first.difference > 0 else 'a'} is better"
    )
    sure = "" if first.p < 1 - comparison.level else ", which may be chance"
    echo(
        f"{name}: {better} by {abs(first.difference):.4f} (b - a in [{first.low:+.4f}, {first.high:+.4f}], "
        f"p = {first.p:.3f}){sure}"
    )
