"""``anydet test``: a model in scenarios, each a declared transformation of a data set, against thresholds."""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING, Any

import click

from anydet.arguments import MOST_INTEGER
from anydet.commands.completion import complete_names
from anydet.commands.dataset_options import engine_options
from anydet.commands.json_output import json_option, write_json
from anydet.commands.messages import say, warn
from anydet.commands.paths import DATASET, INPUT, OUTPUT_FOLDER
from anydet.commands.recipe_options import ADAPTER_OPTION
from anydet.commands.result_options import MAX_PIXELS, STRICT
from anydet.text import counted

if TYPE_CHECKING:
    from anydet.plugins.manager import Plugins
    from anydet.scenarios.results import Results
    from anydet.scenarios.suite import Suite

_KEYS = ("adapter", "config", "checkpoint", "device", "dataset", "split", "max_images", "batch_size")


@click.command(
    "test",
    epilog=(
        "\b\n"
        "Example:\n"
        "  anydet synth --out data/scenes --images 16\n"
        "  anydet test standard --adapter toy --dataset data/scenes --scenario rotation-15 --out scenarios"
    ),
)
@click.argument("setting", type=INPUT, default="standard")
@click.option(
    "--adapter",
    metavar="NAME",
    shell_complete=complete_names("adapters"),
    help="Adapter to measure, in place of the setting's, whose keys of its adapter are then left out.",
)
@click.option("--predictions", type=INPUT, help="Predictions file, with --adapter precomputed.")
@click.option("--config", help="Configuration of the adapter, in place of the setting's.")
@click.option("--checkpoint", help="Weights, in place of the setting's.")
@click.option("--device", help="cpu, cuda, or another device, in place of the setting's.")
@ADAPTER_OPTION
@click.option("--dataset", type=DATASET, help="Data set, in place of the setting's.  [default: data/coco128]")
@click.option("--split", help="Split, in place of the setting's.")
@STRICT
@MAX_PIXELS
@click.option("--max-images", type=click.IntRange(1, MOST_INTEGER), help="Only the first N images.")
@click.option(
    "--batch-size",
    type=click.IntRange(1, MOST_INTEGER),
    help="Images per batch, in place of the setting's.  [default: 4]",
)
@click.option(
    "--scenario",
    "names",
    multiple=True,
    metavar="NAME",
    help="Only this scenario of the setting, or those that begin with NAME-; repeatable.",
)
@click.option(
    "--out",
    type=OUTPUT_FOLDER,
    default=Path("reports/scenarios"),
    show_default=True,
    help="Folder of predictions and results; what it holds already is not predicted again.",
)
@json_option()
@engine_options
@click.pass_obj
def command(plugins: Plugins, /, **flags: Any) -> None:
    """Measure a model in scenarios, and hold its numbers against thresholds.

    SETTING is a YAML file of scenarios, or the name of a setting that anydet brings: standard (by default),
    poses. A scenario changes images (corruption, low_light, occlusion, scale, rotation, handheld_jitter),
    labels with them, or selects some of them (small_objects, crowded, truncated, symmetric, extreme_depth).

    Writes results.json, report.html and pictures to OUT. Exit code 1 where a threshold is missed, or cannot
    be held against a number because its scenario is not measured, unless that one is 'optional: true'. With
    --adapter precomputed, scenarios that change images are not measured; that is said.
    """
    import sys
    from contextlib import redirect_stdout

    from anydet.commands.progress import progress
    from anydet.evaluation.engines import choose_engine
    from anydet.plugins.options import parse_options
    from anydet.scenarios.setting import Setting
    from anydet.scenarios.suite import Suite

    given: dict[str, Any] = {key: flags[key] for key in _KEYS if flags[key] is not None}
    given |= {key: str(given[key]) for key in ("dataset",) if key in given}
    if flags["predictions"] is not None:
        given["predictions"] = str(flags["predictions"])
    given["options"] = parse_options(flags["options"])
    setting = Setting.read(flags["setting"], plugins, given).only(flags["names"])
    engine = choose_engine(plugins, flags["engine"], flags["workers"])
    suite = Suite(setting, flags["out"], plugins, engine, flags["strict"], say, warn, progress)
    say(f"{suite.dataset.root}: {counted(len(suite.dataset), 'image')}, {suite.dataset.note}")
    # stdout is for the result; adapters and libraries print to it, too.
    with redirect_stdout(sys.stderr):
        results = suite.run()
    _write(suite, results, flags["json_path"])
    _judge(results)


def _write(suite: Suite, results: Results, json_path: Path | None) -> None:
    from anydet.commands.tables import print_result_table
    from anydet.evaluation.tables import markdown
    from anydet.outputs import write_file
    from anydet.report.corruption_sheet import encode_picture
    from anydet.report.scenario_sheet import draw_scenarios
    from anydet.report.summary_page import Picture, write_page

    changed = {
        one.scenario.name: one.scenario.open(suite.dataset)
        for one in results.measured
        if one.scenario.changes or not one.scenario.selections
    }
    pictures = []
    suite.out.mkdir(parents=True, exist_ok=True)
    if changed:
        sheet = encode_picture(draw_scenarios(changed), ".jpg")
        write_file(suite.out / "scenarios.jpg", sheet)
        pictures = [Picture("the first images with objects in each scenario, with their labels", sheet)]
    for path in (suite.out / "results.json", suite.setting.output, json_path):
        write_json(results.as_dict(), path)
    write_file(suite.out / "tables.md", markdown(results.tables))
    page = suite.out / "report.html"
    write_page(page, "Scenarios", results.tables, [*results.figures, *pictures], results.notes)
    say(f"wrote {page}")
    if json_path != Path("-"):
        for table in results.summaries:
            print_result_table(table, len(table.rows))


def _judge(results: Results) -> None:
    """Exit with code 1 where a threshold is missed, with a line for each, or nothing was measured."""
    from anydet.errors import EvaluationError

    if not results.measured:
        raise EvaluationError(
            "no scenario could be measured",
            details=tuple(f"{one.scenario.name}: {one.reason}" for one in results.outcomes),
            fix="name other scenarios, or an adapter that looks at images",
        )
    for line in results.missed:
        warn(line, "missed")
    if results.missed:
        raise SystemExit(1)
