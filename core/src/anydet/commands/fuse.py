"""``anydet fuse``: predictions of several models into one file."""

from __future__ import annotations

from collections.abc import Callable
from contextlib import ExitStack
from pathlib import Path
from typing import TYPE_CHECKING, Any

import click

from anydet.arguments import MOST_INTEGER
from anydet.commands.coco_options import BOX_FORMATS
from anydet.commands.completion import complete_names
from anydet.commands.messages import say, warn
from anydet.commands.numbers import FiniteRange, read_numbers
from anydet.commands.paths import INPUT, OUTPUT
from anydet.commands.predictions import predictions_arguments
from anydet.commands.result_options import MAX_PIXELS
from anydet.text import counted

if TYPE_CHECKING:
    from anydet.adaptation.ensemble.fusing import FuseSummary
    from anydet.plugins.manager import Plugins


@click.command(
    "fuse",
    epilog=(
        "\b\n"
        "Example:\n"
        "  anydet synth --out data/scenes --images 16\n"
        "  anydet export-predictions --adapter toy --dataset data/scenes --wrap --output a.json\n"
        "  anydet export-predictions --adapter toy --dataset data/scenes --tta-views hflip --wrap "
        "--output b.json\n"
        "  anydet fuse a.json b.json --weights 2,1 --output fused.json"
    ),
)
@predictions_arguments("files", several=True, metavar="A B ...")
@click.option(
    "--method",
    default="wbf",
    show_default=True,
    metavar="NAME",
    shell_complete=complete_names("fusions"),
    help="How detections become one, see 'anydet adaptation list'.",
)
@click.option(
    "--weights", metavar="W,W,...", callback=read_numbers, help="Weight of each file.  [default: 1 each]"
)
@click.option(
    "--iou",
    type=FiniteRange(0, 1),
    help="IoU above which detections of a class are the same object.  [default: the method's iou_threshold]",
)
@click.option(
    "--option",
    "options",
    multiple=True,
    metavar="KEY=VALUE",
    help="Option of the method, see 'anydet adaptation show NAME'; repeatable.",
)
@click.option(
    "--dataset",
    type=INPUT,
    help="Data set of the predictions: for COCO results, and for sizes and class names that files lack.",
)
@click.option("--split", help="Split of the data set; chosen as by export-predictions if omitted.")
@click.option(
    "--missing",
    type=click.Choice(["error", "empty", "skip"]),
    default="error",
    show_default=True,
    help="Images that a file does not mention: an error; empty, that model found nothing on them; or skip, "
    "the other files' results count alone.",
)
@click.option(
    "--bbox-format",
    "box_format",
    type=click.Choice(BOX_FORMATS),
    help="Box format of all files.  [default: from each file's meta, else cxcywh_norm]",
)
@click.option(
    "--score-threshold",
    type=FiniteRange(0, 1),
    default=0.0,
    show_default=True,
    help="Lowest score of a detection that is written.",
)
@click.option(
    "--max-detections",
    type=click.IntRange(1, MOST_INTEGER),
    help="Highest-scoring detections kept per image.  [default: all]",
)
@click.option(
    "--output",
    type=OUTPUT,
    required=True,
    help="Predictions file to write: .json (with meta), .jsonl or .parquet.",
)
@MAX_PIXELS
@click.pass_obj
def command(plugins: Plugins, /, files: tuple[Path, ...], output: Path, **flags: Any) -> None:
    """Fuse predictions of several models on the same images into one file.

    Images are joined by key, classes by name. Masks, keypoints, states and poses of detections that become
    one are merged as those of views (--tta-fusion). meta.fusion of the output names the files and their
    digests.
    """
    if len(files) < 2:
        raise click.UsageError("give two predictions files or more")
    _print_summary(files, _fuse(plugins, files, output, flags))


def _fuse(plugins: Plugins, files: tuple[Path, ...], output: Path, flags: dict[str, Any]) -> FuseSummary:
    from anydet.adaptation.ensemble.fusing import fuse_files, settings_of
    from anydet.commands.progress import progress
    from anydet.data.opening import open_dataset
    from anydet.evaluation.engines import choose_engine
    from anydet.plugins.formats import installed_formats
    from anydet.plugins.options import parse_options

    names = ("iou", "missing", "score_threshold", "max_detections", "box_format")
    settings = settings_of(
        flags["method"],
        plugins,
        options=parse_options(flags["options"]),
        weights=flags["weights"] or (),
        **{name: flags[name] for name in names},
    )
    scanner = choose_engine(plugins).scanner
    dataset = None
    if flags["dataset"] is not None:
        formats = installed_formats(plugins)
        dataset = open_dataset(flags["dataset"], flags["split"], formats=formats, scanner=scanner)
    with ExitStack() as opened:
        bars: list[Callable[[int], None]] = []

        def advance(_done: int, total: int) -> None:
            # How many images there are is known when all files are read.
            if not bars:
                bars.append(opened.enter_context(progress("fuse", total)))
            bars[0](1)

        return fuse_files(
            files, output, settings, plugins, dataset=dataset, scanner=scanner, progress=advance
        )


def _print_summary(files: tuple[Path, ...], summary: FuseSummary) -> None:
    for path, count in zip(files, summary.lacking, strict=True):
        if count:
            warn(f"{path}: no result of {counted(count, 'image')}")
    for warning in summary.warnings:
        warn(warning)
    given = " + ".join(map(str, summary.given))
    say(
        f"{summary.output}: {counted(summary.images, 'image')}, {given} detections became "
        f"{summary.detections}, {summary.wall_s:.1f} s"
    )
