"""``anydet compare``: whether two models differ by more than chance."""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING, Any

import click

from anydet.arguments import MOST_INTEGER
from anydet.commands.coco_options import bootstrap_options, coco_options, read_settings
from anydet.commands.dataset_options import dataset_options, open_data, read_predictions, write_json
from anydet.commands.messages import echo
from anydet.commands.paths import INPUT

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
@click.argument("a", type=INPUT)
@click.argument("b", type=INPUT)
@dataset_options
@coco_options
@bootstrap_options
@click.option(
    "--rows", type=click.IntRange(0, MOST_INTEGER), default=10, show_default=True, help="Classes to print."
)
@click.pass_obj
def command(plugins: Plugins, /, a: Path, b: Path, rows: int, json_path: Path | None, **flags: Any) -> None:
    """Compare predictions A and B on the same images: COCO metrics, differences and p-values.

    Uses a paired bootstrap over images: both models are evaluated on the same resamples. Differences are
    B - A.
    """
    from anydet.evaluation.analysis.comparison import compare
    from anydet.evaluation.run import prepare_coco

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
