"""``anydet ttt-compare``: methods of test-time training on the same images, clean and corrupted."""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING, Any

import click

from anydet.commands.dataset_options import engine_options
from anydet.commands.messages import warn
from anydet.commands.paths import INPUT, OUTPUT_FOLDER, OUTPUT_JSON
from anydet.commands.result_options import MAX_PIXELS

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
@click.argument("setting", type=INPUT)
@click.option(
    "--out",
    type=OUTPUT_FOLDER,
    required=True,
    help="Folder of predictions and results; what it holds already is not done again.",
)
@click.option(
    "--json",
    "json_path",
    type=OUTPUT_JSON,
    help="Write the result as JSON; - is stdout.",
)
@engine_options
@MAX_PIXELS
@click.pass_obj
def command(plugins: Plugins, /, setting: Path, out: Path, json_path: Path | None, **flags: Any) -> None:
    """Compare methods of test-time training with the model as it is, clean and corrupted.

    SETTING is a YAML file: adapter, checkpoint, dataset, split, max_images, corruptions, severities, seeds,
    and methods, each with the keys method, preset, reset, steps, batch_size, lr, options, ... Differences
    have paired bootstrap intervals. Writes results.json, tables.md and charts to OUT; an interrupted run
    goes on where it was.
    """
    from anydet.adaptation.ttt.protocol import Runs, Setting
    from anydet.commands.dataset_options import write_json
    from anydet.commands.figures import draw_figures
    from anydet.commands.progress import progress
    from anydet.commands.tables import print_result_table
    from anydet.evaluation.engines import choose_engine
    from anydet.evaluation.tables import markdown
    from anydet.outputs import write_file

    chosen = Setting.read(setting, plugins)
    runs = Runs(chosen, out, plugins, choose_engine(plugins, flags["engine"], flags["workers"]))
    runs.open()  # before there is a folder
    out.mkdir(parents=True, exist_ok=True)
    with progress("runs", len(runs), unit="runs") as advance:
        found = runs.run(advance, warn)
    tables = (found.summary, found.table)
    write_file(out / "tables.md", markdown(tables))
    write_json(found.as_dict(), out / "results.json")
    if json_path is not None:
        write_json(found.as_dict(), json_path)
    if json_path != Path("-"):
        for table in tables:
            print_result_table(table, len(table.rows))
    draw_figures(found.figures, out)
