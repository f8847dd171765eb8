"""``anydet validate-predictions``: whether a predictions file keeps the contract."""

from __future__ import annotations

import json
from pathlib import Path
from typing import TYPE_CHECKING

import click

if TYPE_CHECKING:
    from anydet.contract.checking.validate import Report
    from anydet.plugins.manager import Plugins


@click.command(
    "validate-predictions",
    epilog=(
        "\b\n"
        "Example:\n"
        "  anydet validate-predictions predictions.json\n"
        "  anydet validate-predictions predictions.json --dataset data/scenes\n"
        "  anydet validate-predictions broken.json --repair repaired.json"
    ),
)
@click.argument("file", type=click.Path(path_type=Path))
@click.option(
    "--dataset", type=click.Path(path_type=Path), help="Also check that the file fits this data set."
)
@click.option("--split", help="The data set's split; by default as export-predictions chooses it.")
@click.option(
    "--bbox-format", metavar="NAME", help="What the boxes are in, for the warning of boxes outside."
)
@click.option(
    "--repair", "out", type=click.Path(path_type=Path), metavar="OUT", help="Write a repaired copy to OUT."
)
@click.option("--json", "as_json", is_flag=True, help="Print the report as JSON.")
@click.pass_obj
def command(
    plugins: Plugins,
    *,
    file: Path,
    dataset: Path | None,
    split: str | None,
    bbox_format: str | None,
    out: Path | None,
    as_json: bool,
) -> None:
    """Check a predictions file: .json, .jsonl, .parquet, or COCO results (with --dataset).

    Exits 0 when it keeps the contract, 1 when it does not. With --repair, the report is on the new file.
    """
    from anydet.contract.checking.repair import repair
    from anydet.contract.checking.validate import validate
    from anydet.data.opening import open_dataset
    from anydet.evaluation.engines import choose_engine
    from anydet.plugins.formats import installed_formats

    scanner = choose_engine(plugins).scanner
    known = (
        open_dataset(dataset, split, formats=installed_formats(plugins), scanner=scanner) if dataset else None
    )
    repairs = repair(file, out) if out else []
    report = validate(out or file, known, box_format=bbox_format, scanner=scanner)
    if as_json:
        click.echo(json.dumps({**report.to_json(), "repairs": repairs}, indent=1))
    else:
        _print(report, repairs)
    if not report.ok:
        raise SystemExit(1)


def _print(report: Report, repairs: list[str]) -> None:
    """Findings and what was read to stdout, as a person wants to read them."""
    from anydet.contract.locations import listed

    for line in repairs:
        click.echo(f"repaired: {line}")
    for line in listed(report.warnings):
        click.echo(f"warning: {line}")
    for line in listed(report.errors):
        click.echo(line)
    if report.fix:
        click.echo(f"  fix: {report.fix}")
    counts = f"{report.images} images, {report.detections} detections"
    verdict = "valid" if report.ok else f"{len(report.errors)} errors"
    click.echo(f"{report.path}: {verdict}, {len(report.warnings)} warnings; {counts}")
