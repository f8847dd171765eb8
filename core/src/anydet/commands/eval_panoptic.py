"""``anydet eval-panoptic``: panoptic quality of COCO's panoptic results."""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING, Any

import click

from anydet.arguments import MOST_INTEGER
from anydet.commands.gates import (
    FAIL_UNDER,
    require_bounds,
    require_fractions,
    summary_options,
    write_summaries,
)
from anydet.commands.json_output import json_option, write_json
from anydet.commands.messages import say, warn
from anydet.commands.paths import DATASET, OUTPUT_FOLDER
from anydet.commands.predictions import predictions_arguments
from anydet.commands.result_options import MAX_PIXELS
from anydet.commands.tracker_options import log_metrics, require_trackers_named, tracker_options
from anydet.text import counted

if TYPE_CHECKING:
    from anydet.data.dataset.protocols import Dataset
    from anydet.evaluation.results import Measured
    from anydet.plugins.manager import Plugins


@click.command(
    "eval-panoptic",
    epilog=(
        "\b\n"
        "Example:\n"
        "  anydet eval-panoptic --dataset annotations/panoptic_val2017.json --predictions found.json"
    ),
)
@click.option(
    "--dataset",
    type=DATASET,
    required=True,
    help="COCO's panoptic JSON, whose PNG files are in the folder of its name; or a folder with "
    "annotations/panoptic_<split>.json.",
)
@predictions_arguments(
    "predictions",
    what="JSON of predicted segments: annotations with image_id, file_name and segments_info; or predictions "
    "whose detections have masks.",
)
@click.option(
    "--segments",
    "folder",
    metavar="DIR",
    type=click.Path(path_type=Path, exists=True, file_okay=False),
    help="Folder of the predictions' PNG files.  [default: the path of the JSON without .json]",
)
@click.option("--split", help="Split, where --dataset is a folder; val2017, val, ... by default.")
@click.option(
    "--max-images",
    type=click.IntRange(1, MOST_INTEGER),
    help="Evaluate only the first N images of the data set.",
)
@click.option(
    "--rows",
    type=click.IntRange(0, MOST_INTEGER),
    default=10,
    show_default=True,
    help="Rows printed of the table of classes.",
)
@json_option("the result")
@click.option(
    "--plots",
    "plots_dir",
    metavar="DIR",
    type=OUTPUT_FOLDER,
    help="Draw the quality of classes as a PNG file (extra 'plot').",
)
@FAIL_UNDER
@summary_options
@tracker_options
@MAX_PIXELS
@click.pass_obj
def command(plugins: Plugins, /, **flags: Any) -> None:
    """Compute panoptic quality (PQ, SQ, RQ) of COCO's panoptic results.

    The numbers are those of panopticapi: of all classes, of things, of stuff, and of each class. Both sides
    are JSON files beside folders of PNG files, whose colors are ids of segments (R + 256 G + 65536 B). Of
    other predictions, each mask is a segment; where masks overlap, a pixel is of the higher score.
    """
    require_bounds(flags, "fail_under")
    require_fractions(flags["fail_under"], "--fail-under")
    require_trackers_named(flags)
    measured = _evaluate(plugins, flags)
    if not write_json(measured.as_dict(), flags["json_path"]):
        from anydet.commands.tables import print_result

        print_result("panoptic", measured, flags["rows"])
    metrics = {f"panoptic/{name}": value for name, value in measured.metrics.items()}
    log_metrics(metrics, measured.protocol, flags)
    if flags["plots_dir"] is not None:
        from anydet.commands.figures import draw_figures

        draw_figures(measured.figures, flags["plots_dir"])
    _summarize(measured, flags)


def _evaluate(plugins: Plugins, flags: Any) -> Measured:
    from dataclasses import replace

    from anydet.commands.progress import progress
    from anydet.data.coco.mask_formats import PANOPTIC
    from anydet.data.opening import open_dataset
    from anydet.evaluation.panoptic import evaluate_segments
    from anydet.evaluation.panoptic_files import read_panoptic_sides
    from anydet.plugins.formats import installed_formats

    path = flags["dataset"]
    if path.is_file():
        # Whatever it is called: those of Cityscapes and ADE20K are not named as COCO's are.
        dataset: Dataset = PANOPTIC.open(path, flags["split"], None)
    else:
        dataset = open_dataset(path, flags["split"], formats=installed_formats(plugins))
    say(f"{dataset.root}: {counted(len(dataset), 'image')}, {dataset.note}")
    sides = read_panoptic_sides(dataset, flags["predictions"], flags["folder"], flags["max_images"])
    for warning in sides.warnings:
        warn(warning)
    with progress("evaluate", len(sides.pairs)) as advance:
        measured = evaluate_segments(sides.images, sides.pairs, sides.classes, advance)
    return replace(measured, protocol={**measured.protocol, **sides.context})


def _summarize(measured: Measured, flags: Any) -> None:
    from anydet.evaluation.gates import hold_metrics, require_kept
    from anydet.evaluation.tables import metrics_table

    gates = hold_metrics(flags["fail_under"], measured.metrics)
    tables = [metrics_table("panoptic quality", measured.metrics), measured.tables[-1]]
    write_summaries("eval-panoptic", tables, gates, flags)
    require_kept(gates)
