"""``anydet ttt-compare``: methods of test-time training on the same images, clean and corrupted."""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING, Any

import click

from anydet.commands.comparison import comparison_options, write_comparison
from anydet.commands.messages import warn

if TYPE_CHECKING:
    from anydet.plugins.manager import Plugins


@click.command(
    "ttt-compare",
    epilog=(
        "\b\n"
        "Example:\n"
        "  anydet synth --scene segmentation --size 64x64 --images 4 --out data/shapes\n"
        "  anydet ttt-compare setting.yaml --out compared"
    ),
)
@comparison_options
@click.pass_obj
def command(plugins: Plugins, /, setting: Path, out: Path, json_path: Path | None, **flags: Any) -> None:
    """Compare methods of test-time training with the model as it is, clean and corrupted.

    SETTING is a YAML file: adapter, checkpoint, dataset, split, max_images, corruptions, severities, seeds,
    and methods, each with the keys method, preset, reset, steps, batch_size, lr, options, ... Differences
    have paired bootstrap intervals. Writes results.json, tables.md and charts to OUT; an interrupted run
    goes on where it was.
    """
    from anydet.adaptation.ttt.protocol import FIGURES, Runs, Setting
    from anydet.commands.progress import progress
    from anydet.evaluation.engines import choose_engine
    from anydet.outputs import locked_folder

    chosen = Setting.read(setting, plugins)
    with locked_folder(out):
        runs = Runs(chosen, out, plugins, choose_engine(plugins, flags["engine"], flags["workers"]))
        runs.open()
        with progress("runs", len(runs), unit="runs") as advance:
            found = runs.run(advance, warn)
        write_comparison(
            found.as_dict(), (found.summary, found.table), found.figures, out, json_path, drawn=FIGURES
        )
