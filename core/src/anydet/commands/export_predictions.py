"""``anydet export-predictions``: predict a data set with an adapter and write a predictions file."""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING, Any

import click

from anydet.commands.adapter_options import adapter_options, adapter_settings, open_adapter
from anydet.commands.completion import complete_names

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
    type=click.Path(path_type=Path),
    default=Path("data/coco128"),
    show_default=True,
    help="YOLO or COCO folder, data.yaml, dataset.json, instances JSON, or a folder of images.",
)
@click.option(
    "--images", type=click.Path(path_type=Path), help="Image folder, if the data set does not state it."
)
@click.option(
    "--split", help="Split; the first of val2017, val, valid, validation, train2017, train by default."
)
@click.option("--max-images", type=click.IntRange(min=1), help="Predict only the first N images.")
@click.option(
    "--score-threshold",
    type=click.FloatRange(0, 1),
    default=0.001,
    show_default=True,
    help="Lowest score of a detection that is written.",
)
@click.option(
    "--max-detections",
    type=click.IntRange(min=1),
    default=100,
    show_default=True,
    help="Highest-scoring detections kept per image.",
)
@click.option("--no-clip", is_flag=True, help="Do not clip boxes to the image.")
@click.option("--wrap", is_flag=True, help="Write {predictions, meta} instead of the bare list.")
@click.option(
    "--on-error",
    type=click.Choice(["stop", "skip"]),
    default="stop",
    show_default=True,
    help="What to do when an image cannot be read.",
)
@click.option("--workers", type=click.IntRange(min=1), default=2, show_default=True, help="Decoding threads.")
@click.option("--seed", type=int, default=0, show_default=True, help="Seed of the adapter.")
@click.option("--resume", is_flag=True, help="Continue an interrupted run.")
@click.option("--tta", is_flag=True, help="Test-time augmentation: predict several views and fuse them.")
@click.option(
    "--tta-view",
    "views",
    multiple=True,
    metavar="NAME",
    shell_complete=complete_names("views"),
    help="View to predict; repeatable; implies --tta.",
)
@click.option("--tta-seed", type=int, default=0, show_default=True, help="Seed of random views.")
@click.option(
    "--tta-flip-prob",
    type=click.FloatRange(0, 1),
    default=0.5,
    show_default=True,
    help="Probability that random_hflip mirrors an image.",
)
@click.option("--ttt", is_flag=True, help="Test-time training before each chunk of images is predicted.")
@click.option(
    "--ttt-method",
    metavar="NAME",
    shell_complete=complete_names("ttt_methods"),
    help="Method of test-time training; implies --ttt.  [default: tent]",
)
@click.option("--ttt-preset", metavar="NAME", help="Preset of the method's settings.")
@click.option(
    "--ttt-reset",
    type=click.Choice(["sample", "stream"]),
    default="sample",
    show_default=True,
    help="sample restores the model before each chunk, stream lets updates accumulate.",
)
@click.option("--ttt-steps", type=click.IntRange(min=1), help="Optimizer steps per chunk.")
@click.option("--ttt-batch-size", type=click.IntRange(min=1), help="Images per step.")
@click.option("--ttt-lr", type=click.FloatRange(min=0), help="Learning rate of test-time training.")
@click.option("--ttt-max-batches", type=click.IntRange(min=1), help="Maximum of batches in the whole run.")
@click.option("--ttt-seed", type=int, default=0, show_default=True, help="Seed of test-time training.")
@click.option(
    "--output",
    type=click.Path(path_type=Path, dir_okay=False),
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
    from anydet.prediction.pipeline import Limits, Pipeline

    formats = installed_formats(plugins)
    settings = adapter_settings(plugins, flags)
    adaptation = _adaptation(flags)
    dataset = open_dataset(flags["dataset"], flags["split"], images=flags["images"], formats=formats)
    click.echo(f"{dataset.root}: {len(dataset)} images, {dataset.note}", err=True)
    with open_adapter(plugins, flags["adapter"], settings) as adapter:
        pipeline = Pipeline(
            adapter,
            Limits(flags["score_threshold"], flags["max_detections"], clip=not flags["no_clip"]),
            on_error=flags["on_error"],
            workers=flags["workers"],
            plugins=plugins,
            **_adapt(plugins, adaptation),
        )
        with progress("predict", min(len(dataset), flags["max_images"] or len(dataset))) as advance:
            return export_predictions(
                pipeline,
                dataset,
                flags["output"],
                adaptation=adaptation,
                progress=advance,
                **{k: flags[k] for k in ("max_images", "wrap", "resume")},
            )


def _adaptation(flags: dict[str, Any]) -> Any:
    """Names and settings of the views and the method that the flags select."""
    from anydet.prediction.hooks import TTASettings, TTTSettings
    from anydet.prediction.meta import Adaptation

    views = flags["views"] or (("original", "random_hflip") if flags["tta"] else ())
    ttt_names = ("preset", "reset", "steps", "batch_size", "lr", "max_batches", "seed")
    return Adaptation(
        views=tuple(views),
        tta=TTASettings(flags["tta_seed"], flags["tta_flip_prob"]),
        ttt_method=flags["ttt_method"] or ("tent" if flags["ttt"] else None),
        ttt=TTTSettings(**{name: flags[f"ttt_{name}"] for name in ttt_names}),
    )


def _adapt(plugins: Plugins, adaptation: Any) -> dict[str, Any]:
    """Build the views, the fusion and the method of an adaptation, as arguments of the pipeline."""
    if not adaptation.views and not adaptation.ttt_method:
        return {}
    from anydet.adaptation.tta.fusion import fuse_nms

    method = adaptation.ttt_method
    return {
        "views": tuple(plugins.load("views", name)(adaptation.tta) for name in adaptation.views),
        "fuse": fuse_nms,
        "ttt": plugins.load("ttt_methods", method)(adaptation.ttt) if method else None,
    }


def _print_summary(summary: ExportSummary) -> None:
    resumed = f" ({summary.resumed} from the earlier run)" if summary.resumed else ""
    fresh = summary.images - summary.resumed
    click.echo(
        f"{summary.output}: {summary.images} images{resumed}, {summary.detections} detections, "
        f"{summary.wall_s:.1f} s, {fresh / summary.wall_s:.1f} images/s",
        err=True,
    )
    for image, reason in summary.skipped:
        click.echo(f"skipped {image}: {reason}", err=True)
