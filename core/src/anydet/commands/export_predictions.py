"""``anydet export-predictions``: predict a data set with an adapter and write a predictions file."""

from __future__ import annotations

from collections.abc import Mapping
from pathlib import Path
from typing import TYPE_CHECKING, Any

import click

from anydet.arguments import MOST_INTEGER, MOST_THREADS
from anydet.commands.adaptation_options import adaptation_options
from anydet.commands.messages import say, warn
from anydet.commands.paths import DATASET, OUTPUT
from anydet.commands.recipe_options import (
    adapter_options,
    max_detections_option,
    opened,
    predict_on_error_option,
    read_recipe,
    report_skipped,
    score_threshold_option,
)
from anydet.commands.result_options import STRICT
from anydet.text import counted

if TYPE_CHECKING:
    from anydet.plugins.manager import Plugins
    from anydet.prediction.export import ExportSummary


@click.command(
    "export-predictions",
    epilog=(
        "\b\n"
        "Example:\n"
        "  anydet synth --out data/scenes --images 16\n"
        "  anydet export-predictions --adapter toy --dataset data/scenes --wrap --output predictions.json"
    ),
)
@adapter_options
@click.option(
    "--dataset",
    type=DATASET,
    default=Path("data/coco128"),
    show_default=True,
    help="Data set in any format that is read (COCO, YOLO, Pascal VOC, ...), or a folder of images.",
)
@click.option(
    "--images", type=click.Path(path_type=Path), help="Image folder, if the data set does not state it."
)
@click.option(
    "--split", help="Split; the first of val2017, val, valid, validation, train2017, train by default."
)
@STRICT
@click.option("--max-images", type=click.IntRange(1, MOST_INTEGER), help="Predict only the first N images.")
@score_threshold_option(0.001, "written")
@max_detections_option
@click.option("--no-clip", is_flag=True, help="Do not clip boxes to the image.")
@click.option("--wrap", is_flag=True, help="Write {predictions, meta} instead of the bare list.")
@predict_on_error_option
@click.option(
    "--workers",
    type=click.IntRange(1, MOST_THREADS),
    default=2,
    show_default=True,
    help="Decoding threads.",
)
@click.option(
    "--seed", type=click.IntRange(0, MOST_INTEGER), default=0, show_default=True, help="Seed of the adapter."
)
@click.option("--resume", is_flag=True, help="Continue an interrupted run; one with --ttt cannot be.")
@adaptation_options
@click.option(
    "--output",
    type=OUTPUT,
    required=True,
    help="Predictions file to write: .json, .jsonl or .parquet.",
)
@click.pass_obj
def command(plugins: Plugins, /, **flags: Any) -> None:
    """Predict all images of a data set and write a predictions file.

    The file is written when all images are predicted. An interrupted run leaves OUTPUT.partial, from which
    --resume continues.
    """
    _print_summary(_export(plugins, flags))


def _export(plugins: Plugins, flags: dict[str, Any]) -> ExportSummary:
    from anydet.commands.progress import progress
    from anydet.data.opening import open_dataset
    from anydet.plugins.formats import installed_formats
    from anydet.prediction.export import export_predictions

    recipe = read_recipe(plugins, flags)
    formats = installed_formats(plugins)
    dataset = open_dataset(
        flags["dataset"],
        flags["split"],
        images=flags["images"],
        formats=formats,
        refuse_odd=flags["strict"],
    )
    say(f"{dataset.root}: {counted(len(dataset), 'image')}, {dataset.note}")
    with (
        opened(recipe, plugins) as pipeline,
        progress("predict", min(len(dataset), flags["max_images"] or len(dataset))) as advance,
    ):
        given = {name: flags[name] for name in ("max_images", "wrap", "resume")}
        return export_predictions(
            pipeline, dataset, flags["output"], ttt_log=flags["ttt_log_out"], progress=advance, **given
        )


def _print_summary(summary: ExportSummary) -> None:
    resumed = f" ({summary.resumed} from the earlier run)" if summary.resumed else ""
    fresh = summary.images - summary.resumed
    say(
        f"{summary.output}: {counted(summary.images, 'image')}{resumed}, "
        f"{counted(summary.detections, 'detection')}, "
        f"{summary.wall_s:.1f} s, {fresh / summary.wall_s:.1f} images/s"
    )
    _print_ttt(summary.ttt)
    for warning in summary.warnings:
        warn(warning)
    report_skipped(summary.skipped, summary.images)


def _print_ttt(report: Mapping[str, Any]) -> None:
    """Print in how many batches test-time training changed the model, and why not in the others."""
    batches, adapted = report.get("batches"), report.get("adapted")
    if batches is None or adapted is None:
        return
    others = [*report.get("skipped", {}).items(), *report.get("rollbacks", {}).items()]
    reasons = ", ".join(f"{count} {reason}" for reason, count in others)
    stopped = report.get("stop_reason")
    say(
        f"test-time training adapted to {adapted} of {batches} batches"
        + (f" ({reasons})" if reasons else "")
        + (f" and was stopped by {stopped}" if stopped else "")
    )
