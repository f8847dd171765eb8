"""``anydet check-dataset``: find mistakes in a data set, and in predictions for it."""

from __future__ import annotations

from itertools import count
from pathlib import Path
from typing import TYPE_CHECKING

import click

from anydet.commands.coco_options import BOX_FORMATS
from anydet.commands.json_output import json_option, write_json
from anydet.commands.messages import echo
from anydet.commands.paths import DATASET, INPUT
from anydet.commands.result_options import MAX_PIXELS
from anydet.text import shortened

if TYPE_CHECKING:
    from anydet.evaluation.dataset_check import DatasetCheck
    from anydet.plugins.manager import Plugins

_WIDTH = 72


@click.command(
    "check-dataset",
    epilog=(
        "\b\n"
        "Example:\n"
        "  anydet synth --out data/scenes --images 16\n"
        "  anydet check-dataset data/scenes\n"
        "  anydet export-predictions --adapter toy --dataset data/scenes --output predictions.json\n"
        "  anydet check-dataset data/scenes --predictions predictions.json\n"
        "  anydet synth --out data/coco --images 16 --format coco\n"
        "  anydet check-dataset data/coco --repair mended.json\n"
        "  anydet check-dataset data/scenes --repair mended"
    ),
)
@click.argument("dataset", type=DATASET)
@click.option("--split", help="Split; chosen as by export-predictions if omitted.")
@click.option(
    "--predictions",
    type=INPUT,
    help="Also check that this predictions file matches the data set.",
)
@click.option(
    "--bbox-format",
    "box_format",
    type=click.Choice(BOX_FORMATS),
    help="Box format of the predictions.  [default: from the file's meta, else cxcywh_norm]",
)
@click.option("--no-images", is_flag=True, help="Check annotations only; open no image file.")
@click.option(
    "--images-too",
    is_flag=True,
    help="Decode every image file. Without it, headers and ends are read: a file that is cut off is found, "
    "one that is damaged in the middle is not.",
)
@click.option(
    "--repair",
    "repaired",
    metavar="OUT",
    type=click.Path(path_type=Path),
    help="Write a copy without what is broken, list every repair, and stop: of COCO annotations a JSON file, "
    "of YOLO labels a folder with the images.",
)
@json_option("the findings")
@MAX_PIXELS
@click.pass_obj
def command(
    plugins: Plugins,
    *,
    dataset: Path,
    split: str | None,
    predictions: Path | None,
    box_format: str | None,
    no_images: bool,
    images_too: bool,
    repaired: Path | None,
    json_path: Path | None,
) -> None:
    """Check a data set for mistakes in ids, boxes, masks, classes and image files, and its predictions.

    Exits 1 if something is broken, else 0, also with warnings. With --repair nothing is checked.
    """
    if repaired is not None:
        if predictions is not None:
            raise click.UsageError("--repair takes no --predictions: it writes a data set")
        _repair(plugins, dataset, split, repaired, json_path)
        return
    if no_images and images_too:
        raise click.UsageError("--no-images opens no image file, and --images-too decodes all of them")
    from anydet.commands.progress import steps
    from anydet.evaluation.dataset_check import check_dataset
    from anydet.evaluation.engines import choose_engine
    from anydet.plugins.formats import installed_formats

    looked_at = count(1)
    with steps() as step:
        found = check_dataset(
            dataset,
            split,
            predictions=predictions,
            box_format=box_format,
            open_images=not no_images,
            decode_images=images_too,
            formats=installed_formats(plugins),
            engine=choose_engine(plugins) if predictions else None,
            report=lambda _more: step(f"image files: {next(looked_at)}"),
        )
    if not write_json(found.as_dict(), json_path):
        _print(found)
    if not found.ok:
        raise SystemExit(1)


def _repair(plugins: Plugins, dataset: Path, split: str | None, output: Path, json_path: Path | None) -> None:
    from anydet.data.writing.repair import repair_dataset
    from anydet.plugins.formats import installed_formats

    done = repair_dataset(dataset, split, output, formats=installed_formats(plugins))
    if json_path:
        kept = {"annotations": done.annotations, "before": done.before}
        if write_json({"output": str(done.output), **kept, "repairs": list(done.repairs)}, json_path):
            return
    for line in done.repairs:
        echo(line)
    what = "nothing to repair" if not done.repairs else f"{len(done.repairs)} kinds of repairs"
    echo(f"{done.output}: {done.annotations} of {done.before} annotations; {what}")


def _print(found: DatasetCheck) -> None:
    """Print findings as a table with the first example of each, then their fixes."""
    from anydet.commands.tables import print_table

    if found.findings:
        rows = [
            (
                one.severity,
                one.check,
                str(one.count),
                one.problem,
                shortened("".join(one.examples[:1]), _WIDTH),
            )
            for one in found.findings
        ]
        print_table(("", "check", "count", "what", "the first"), rows, left=5)
    for one in found.findings:
        if one.fix and one.severity != "note":
            # Whole here: a table cell may be too narrow for the reason that an example ends with.
            echo(": ".join((one.check, *one.examples[:1])))
            echo(f"  fix: {one.fix}")
    counts = {
        name: sum(one.severity == severity for one in found.findings)
        for severity, name in (("broken", "broken"), ("warning", "warnings"))
    }
    verdict = ", ".join(f"{name}: {count}" for name, count in counts.items() if count)
    echo(
        f"{found.dataset}: {found.images} images, {found.annotations} annotations, {found.classes} classes "
        f"({found.source}); {verdict or 'nothing is broken'}"
    )
