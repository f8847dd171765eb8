"""``anydet validate-predictions``: check a predictions file against the contract."""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING

import click

from anydet.commands.json_output import json_option, write_json
from anydet.commands.messages import echo
from anydet.commands.paths import DATASET, OUTPUT
from anydet.commands.predictions import predictions_arguments
from anydet.commands.result_options import CLASS_MAP, MAX_PIXELS
from anydet.text import counted, first_of

if TYPE_CHECKING:
    from anydet.contract.checking.validate import Report
    from anydet.plugins.manager import Plugins


@click.command(
    "validate-predictions",
    epilog=(
        "\b\n"
        "Example:\n"
        "  anydet synth --out data/scenes --images 16\n"
        "  anydet export-predictions --adapter toy --dataset data/scenes --output predictions.json\n"
        "  anydet validate-predictions predictions.json --dataset data/scenes\n"
        "  anydet validate-predictions predictions.json --repair repaired.json\n"
        "  anydet convert data/scenes data/scenes-coco --to coco\n"
        "  anydet convert predictions.json results.json --to coco --dataset data/scenes-coco\n"
        "  anydet validate-predictions results.json --dataset data/scenes-coco --repair left.json"
    ),
)
@predictions_arguments("file")
@click.option("--dataset", type=DATASET, help="Also check that the file matches this data set.")
@click.option("--split", help="Split of the data set; chosen as by export-predictions if omitted.")
@click.option("--bbox-format", metavar="NAME", help="Box format of FILE, where that is not what it states.")
@CLASS_MAP
@click.option("--repair", "out", type=OUTPUT, metavar="OUT", help="Write a repaired copy to OUT.")
@json_option("the report")
@MAX_PIXELS
@click.pass_obj
def command(
    plugins: Plugins,
    *,
    file: Path,
    dataset: Path | None,
    split: str | None,
    bbox_format: str | None,
    class_map: str | None,
    out: Path | None,
    json_path: Path | None,
) -> None:
    """Check predictions: .json, .jsonl, .parquet, .csv, COCO results or another tool's (with --dataset).

    FILE may be a folder or 'pattern*' of files with disjoint images.

    Exits 0 if the file is valid, else 1. With --repair, the repaired file is checked: COCO results stay COCO
    results, files of other tools become .json, .jsonl or .parquet.
    """
    from anydet.contract.checking.validate import validate_shards
    from anydet.contract.reading.shards import prediction_files, single_file
    from anydet.evaluation.engines import choose_engine

    scanner = choose_engine(plugins).scanner
    known, repairs = None, []
    if dataset:
        from anydet.data.opening import open_dataset
        from anydet.plugins.formats import installed_formats

        known = open_dataset(dataset, split, formats=installed_formats(plugins), scanner=scanner)
    if out:
        from anydet.contract.checking.repair import repair

        labeled = known is not None and known.source != "none"
        truth = known.ground_truth if known is not None and labeled else None
        one = single_file(file, f"anydet validate-predictions FILE --repair {out}")
        repairs = repair(one, out, truth, class_map, box_format=bbox_format)
        # A repaired file has the data set's own numbers of classes, and states what its boxes are.
        bbox_format = class_map = None
    report = validate_shards(
        out or file,
        [out] if out else prediction_files(file),
        known,
        box_format=bbox_format,
        scanner=scanner,
        class_map=class_map,
    )
    if not write_json({**report.to_json(), "repairs": repairs}, json_path):
        _print(report, repairs)
    if not report.ok:
        raise SystemExit(1)


def _print(report: Report, repairs: list[str]) -> None:
    """Print repairs, warnings, errors and counts as lines of text."""
    for line in first_of(repairs):
        echo(f"repaired: {line}")
    for line in first_of(report.warnings):
        echo(f"warning: {line}")
    for line in first_of(report.errors):
        echo(line)
    if report.fix:
        echo(f"  fix: {report.fix}")
    counts = f"{counted(report.images, 'image')}, {counted(report.detections, 'detection')}"
    verdict = "valid" if report.ok else counted(len(report.errors), "error")
    echo(f"{report.path}: {verdict}, {counted(len(report.warnings), 'warning')}; {counts}")
