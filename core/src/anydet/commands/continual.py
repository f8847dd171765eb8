"""``anydet continual``: tasks learned one after the other, and what of the earlier ones is left."""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING, Any

import click

from anydet.arguments import MOST_INTEGER
from anydet.commands.comparison import comparison_options, write_comparison
from anydet.commands.completion import complete_names
from anydet.commands.messages import say
from anydet.commands.paths import DATASET

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
@comparison_options
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

    from anydet.continual.results import FIGURES
    from anydet.continual.runs import Runs
    from anydet.continual.setting import Setting
    from anydet.evaluation.engines import choose_engine
    from anydet.outputs import locked_folder

    keys = ("adapter", "config", "dataset", "split", "val_dataset", "val_split")
    given = {key: str(flags[key]) for key in keys if flags[key] is not None}
    training = {} if flags["max_steps"] is None else {"max_steps": flags["max_steps"]}
    chosen = Setting.read(setting, plugins, given, training)
    with locked_folder(out):
        runs = Runs(chosen, out, plugins, choose_engine(plugins, flags["engine"], flags["workers"]), say)
        say(*runs.describe())
        # stdout is for the result; adapters and libraries print to it, too.
        with redirect_stdout(sys.stderr):
            found = runs.run()
        write_comparison(found.as_dict(), found.tables, found.figures, out, json_path, drawn=FIGURES)
