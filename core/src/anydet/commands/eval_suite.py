"""``anydet eval-suite``: predictions of many models under one protocol, ranked."""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING, Any

import click

from anydet.commands.coco_options import BOX_FORMATS
from anydet.commands.dataset_options import engine_options, open_data
from anydet.commands.json_output import json_option, write_json
from anydet.commands.messages import say, warn
from anydet.commands.paths import DATASET, INPUT, OUTPUT_FOLDER
from anydet.commands.result_options import CLASS_MAP, MAX_PIXELS, STRICT
from anydet.text import counted

if TYPE_CHECKING:
    from anydet.plugins.manager import Plugins
    from anydet.suite.results import SuiteResult


@click.command(
    "eval-suite",
    epilog=(
        "\b\n"
        "Example:\n"
        "  anydet synth --out data/scenes --images 16\n"
        "  anydet export-predictions --adapter toy --dataset data/scenes --wrap --output models/a.json\n"
        "  anydet export-predictions --adapter toy --dataset data/scenes --wrap --output models/b.json \\\n"
        "      --option min_area_px=400\n"
        "  anydet eval-suite models --protocol protocol.yaml --dataset data/scenes"
    ),
)
@click.argument("folder", type=INPUT)
@click.option(
    "--protocol",
    type=INPUT,
    required=True,
    help="YAML or JSON file of conditions (image_size, score_threshold, nms_iou, max_detections, preprocess, "
    "...) and of what is counted; or yolo-640, which anydet brings.",
)
@click.option(
    "--dataset",
    type=DATASET,
    required=True,
    help="Data set in any format that is read (COCO, YOLO, Pascal VOC, CVAT, ...): its folder or file.",
)
@click.option(
    "--allow",
    multiple=True,
    metavar="[FILE:]KEY",
    help="Let a condition pass that files do not keep, of all files or of those of a name; repeatable.",
)
@click.option("--dry-run", is_flag=True, help="Check all files without evaluating them.")
@click.option(
    "--bbox-format",
    "box_format",
    type=click.Choice(BOX_FORMATS),
    help="Box format of the predictions.  [default: from each file's meta, else cxcywh_norm]",
)
@click.option(
    "--split", help="Split; the first of val2017, val, valid, validation, train2017, train by default."
)
@CLASS_MAP
@STRICT
@MAX_PIXELS
@engine_options
@click.option(
    "--out",
    type=OUTPUT_FOLDER,
    help="Folder for results.json, tables.md, report.html and charts.",
)
@json_option()
@click.pass_obj
def command(
    plugins: Plugins, /, folder: Path, out: Path | None, json_path: Path | None, **flags: Any
) -> None:
    """Evaluate a folder of predictions under one protocol: a ranking with intervals and paired differences.

    FOLDER has a predictions file a model; a 'pattern*' will do. What a file's meta says of its conditions
    (meta.export_settings) is held against the protocol before anything is evaluated. Files under other
    conditions are listed, and nothing is evaluated, unless these are let pass.
    """
    from anydet.commands.progress import progress
    from anydet.suite.files import hold
    from anydet.suite.protocol import Protocol
    from anydet.suite.run import Reading, check_suite, run_suite

    protocol = Protocol.read(flags["protocol"], flags["allow"])
    files = hold(folder, protocol)
    for file in files:
        for miss in file.mismatches:
            warn(f"{file.path}: {miss}; let pass")
    engine, _, dataset = open_data(plugins, flags)
    how = (flags["box_format"], flags["class_map"], flags["strict"])
    with progress("evaluate", len(files), unit="files") as advance:
        reading = Reading(engine, *how, warn, advance)
        if flags["dry_run"]:
            checked = check_suite(dataset, files, protocol, reading)
            write_json({"protocol": protocol.as_dict(), "files": checked}, json_path)
            kept = f"{counted(len(files), 'file')} under protocol {protocol.name}, {protocol.digest}"
            say(f"dry run: {kept}; nothing was evaluated")
            return
        found = run_suite(dataset, files, protocol, reading)
    write_json(found.as_dict(), json_path)
    if out is not None:
        _write(found, out)
    if json_path != Path("-"):
        _print(found)


def _write(found: SuiteResult, out: Path) -> None:
    from anydet.commands.figures import draw_figures
    from anydet.evaluation.tables import markdown
    from anydet.outputs import write_file
    from anydet.report.summary_page import write_page

    out.mkdir(parents=True, exist_ok=True)
    write_json(found.as_dict(), out / "results.json")
    write_file(out / "tables.md", markdown(found.tables))
    draw_figures(found.figures, out)
    page = out / "report.html"
    write_page(page, "Evaluation suite", found.tables, found.figures, found.notes)
    say(f"wrote {page}")


def _print(found: SuiteResult) -> None:
    from anydet.commands.messages import echo
    from anydet.commands.tables import print_result_table

    for table in found.tables:
        print_result_table(table, len(table.rows))
    for note in found.notes:
        echo(note)
