"""``anydet continual``: tasks learned one after the other, and what of the earlier ones is left."""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING, Any

import click

from anydet.arguments import MOST_INTEGER
from anydet.commands.completion import complete_names
from anydet.commands.dataset_options import engine_options
from anydet.commands.messages import say
from anydet.commands.paths import DATASET, INPUT, OUTPUT_FOLDER, OUTPUT_JSON
from anydet.commands.result_options import MAX_PIXELS

if TYPE_CHECKING:
    from anydet.plugins.manager import Plugins


@click.command(
    "continual",
    epilog=(
        "\b\n"
        "Example:\n"
        "  anydet synth --scene segmentation --size 64x64 --images 4 --split train --out data/tasks\n"
        "  anydet synth --scene segmentation --size 64x64 --images 4 --seed 1 --out data/tasks\n"
        "  anydet continual two-domains --adapter adaptivestream --dataset data/tasks --out learned \\\n"
        "      --max-steps 1"
    ),
)
@click.argument("setting", type=INPUT)
@click.option(
    "--out",
    type=OUTPUT_FOLDER,
    required=True,
    help="Folder of runs and results; what it holds already is not done again.",
)
@click.option(
    "--adapter",
    metavar="NAME",
    shell_complete=complete_names("adapters"),
    help="Adapter to train, in place of the setting's.",
)
@click.option("--config", metavar="CONFIG", help="Config file of training keys, in place of the setting's.")
@click.option("--dataset", type=DATASET, help="Data set of tasks that name none, in place of the setting's.")
@click.option("--split", help="Split to train on, in place of the setting's.")
@click.option(
    "--val-dataset", type=DATASET, help="Data set to evaluate on; by default the one that is trained on."
)
@click.option("--val-split", help="Split to evaluate on, in place of the setting's.")
@click.option(
    "--max-steps",
    type=click.IntRange(1, MOST_INTEGER),
    help="Optimizer steps of each training, in place of the setting's; few, to try a setting.",
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
    """Train an adapter on tasks one after the other, and measure what it forgets.

    SETTING is a YAML file: adapter, tasks (data sets) or class_groups (numbers of classes), training keys,
    methods, seeds, ...; or the name of a setting that anydet brings: two-domains, bike-parts-11-11,
    coco-40-40, coco-70-10. Each method is a mapping of training keys; after each task the model is evaluated
    on all tasks. Writes results.json, tables.md and charts to OUT; an interrupted run goes on where it was.
    """
    import sys
    from contextlib import redirect_stdout

    from anydet.commands.dataset_options import write_json
    from anydet.commands.figures import draw_figures
    from anydet.commands.tables import print_result_table
    from anydet.continual.runs import Runs
    from anydet.continual.setting import Setting
    from anydet.evaluation.engines import choose_engine
    from anydet.evaluation.tables import markdown
    from anydet.outputs import write_file

    keys = ("adapter", "config", "dataset", "split", "val_dataset", "val_split")
    given = {key: str(flags[key]) for key in keys if flags[key] is not None}
    training = {} if flags["max_steps"] is None else {"max_steps": flags["max_steps"]}
    chosen = Setting.read(setting, plugins, given, training)
    runs = Runs(chosen, out, plugins, choose_engine(plugins, flags["engine"], flags["workers"]), say)
    say(*runs.describe())  # opens the data, before there is a folder
    out.mkdir(parents=True, exist_ok=True)
    # stdout is for the result; adapters and libraries print to it, too.
    with redirect_stdout(sys.stderr):
        found = runs.run()
    write_file(out / "tables.md", markdown(found.tables))
    write_json(found.as_dict(), out / "results.json")
    if json_path is not None:
        write_json(found.as_dict(), json_path)
    if json_path != Path("-"):
        for table in found.tables:
            print_result_table(table, len(table.rows))
    draw_figures(found.figures, out)
