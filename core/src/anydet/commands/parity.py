"""``anydet parity``: whether two sets of predictions are the same, and where they are not."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from pathlib import Path
from typing import TYPE_CHECKING, Any, TypeVar

import click

from anydet.arguments import MOST_INTEGER
from anydet.commands.coco_options import BOX_FORMATS
from anydet.commands.dataset_options import engine_options
from anydet.commands.json_output import json_option, write_json
from anydet.commands.messages import echo, say, warn
from anydet.commands.numbers import FiniteRange
from anydet.commands.paths import DATASET, OUTPUT_FOLDER
from anydet.commands.predictions import predictions_arguments
from anydet.commands.result_options import MAX_PIXELS
from anydet.commands.sides import SidedCommand, read_sides, sided_options
from anydet.text import counted

if TYPE_CHECKING:
    from anydet.crosscheck.locating.locate import Located, Predicted
    from anydet.crosscheck.parity import Parity, ParitySettings
    from anydet.data.dataset.protocols import Dataset
    from anydet.plugins.adapter import Adapter
    from anydet.plugins.manager import Plugins
    from anydet.prediction.pipeline import Limits

_F = TypeVar("_F", bound=Callable[..., Any])

_MOST_IMAGES = 32
"""That adapters predict, where nothing is said."""
TOLERANCES = {
    "box_px": ("box", "PX", 0.1, "Largest difference of a side of a box, in pixels."),
    "score": ("score", "S", 0.001, "Largest difference of a score."),
    "mask": ("mask", "D", 0.01, "Largest 1 - IoU of two masks."),
    "keypoint_px": ("keypoint", "PX", 0.1, "Largest distance of a keypoint, in pixels."),
    "rotation_deg": ("rotation", "DEG", 0.1, "Largest angle between two rotations, in degrees."),
    "translation_m": ("translation", "M", 0.001, "Largest distance of two translations, in meters."),
    "depth": ("depth", "D", 0.001, "Largest difference of the logarithm of depth, about a fraction of it."),
}
"""Field of ``Tolerances`` -> option, its unit, default and help."""


def tolerance_options(function: _F) -> _F:
    """Decorator: ``--tolerance-box`` and the others."""
    for field, (name, unit, default, text) in reversed(TOLERANCES.items()):
        function = click.option(
            f"--tolerance-{name}",
            field,
            metavar=unit,
            type=FiniteRange(min=0),
            default=default,
            show_default=True,
            help=text,
        )(function)
    return function


@click.command(
    "parity",
    cls=SidedCommand,
    epilog=(
        "\b\n"
        "Example:\n"
        "  anydet synth --out data/scenes --images 8\n"
        "  anydet export-predictions --adapter toy --dataset data/scenes --wrap --output a.json\n"
        "  anydet export-predictions --adapter toy --dataset data/scenes --wrap --output b.json "
        "--batch-size 1\n"
        "  anydet parity a.json b.json --dataset data/scenes\n"
        "  anydet parity --adapter toy --adapter toy --device cpu --dataset data/scenes --locate"
    ),
)
@predictions_arguments("a", "b", required=False)
@sided_options
@click.option(
    "--locate", is_flag=True, help="Find the step of a prediction at which the two adapters differ."
)
@click.option(
    "--max-images",
    type=click.IntRange(1, MOST_INTEGER),
    help="Only the first N images of the data set; of two files without one, of theirs.  [default: 32 for "
    "adapters, all of files]",
)
@click.option(
    "--dataset",
    type=DATASET,
    help="Data set of the predictions: for pictures, the difference of AP, COCO results, and sizes and class "
    "names that files lack.",
)
@click.option("--split", help="Split of the data set; chosen as by export-predictions if omitted.")
@click.option(
    "--bbox-format",
    "box_format",
    type=click.Choice(BOX_FORMATS),
    help="Box format of both files.  [default: from each file's meta, else cxcywh_norm]",
)
@tolerance_options
@click.option(
    "--tolerance-ap",
    metavar="D",
    type=FiniteRange(0, 1),
    help="Largest difference of AP, with --dataset; without it, AP does not count for the verdict.",
)
@click.option(
    "--score-threshold",
    type=FiniteRange(0, 1),
    help="Lowest score that is compared; a pair is, where either score reaches it.  [default: the higher "
    "one of those that the files state]",
)
@click.option(
    "--score-band",
    type=FiniteRange(0, 1),
    help="A detection may lack a partner so far above the lowest score that the other file keeps.  "
    "[default: --tolerance-score]",
)
@click.option(
    "--match-iou",
    type=FiniteRange(0, 1, min_open=True),
    default=0.5,
    show_default=True,
    help="Least IoU at which boxes beyond tolerance are a pair that differs, and not two without partner.",
)
@click.option(
    "--missing",
    type=click.Choice(["error", "empty", "skip"]),
    default="error",
    show_default=True,
    help="Images that a file does not mention: an error; empty, nothing was found on them; or skip, they are "
    "not compared.",
)
@click.option(
    "--iou-type",
    type=click.Choice(["bbox", "segm", "keypoints"]),
    default="bbox",
    show_default=True,
    help="Geometry of the difference of AP.",
)
@click.option(
    "--resamples",
    type=click.IntRange(0, MOST_INTEGER),
    default=1000,
    show_default=True,
    help="Bootstrap resamples of its interval; 0 leaves AP out.",
)
@engine_options
@click.option(
    "--output-dir",
    type=OUTPUT_FOLDER,
    help="Folder for parity.json, a histogram of each difference (extra 'plot'), and, with --dataset, the "
    "worst images.",
)
@click.option(
    "--worst",
    type=click.IntRange(0, MOST_INTEGER),
    default=12,
    show_default=True,
    help="Images with most failures that are drawn.",
)
@json_option()
@click.option(
    "--rows", type=click.IntRange(0, MOST_INTEGER), default=10, show_default=True, help="Images to print."
)
@click.pass_context
@MAX_PIXELS
def command(ctx: click.Context, /, a: Path | None, b: Path | None, **flags: Any) -> None:
    """Check that predictions A and B are the same within tolerances; exit 1 if they are not.

    Detections are matched one to one on each image and in each class, whatever their order. One that is
    moved, extra or missing is a failure, and so is a state, mask, keypoint or pose beyond its tolerance.

    With two --adapter in place of files, both predict the data set, and --locate finds the step at which they
    differ: pixels, resize, letterbox, channels, normalization, the model and its first node that differs,
    precision, activation, decoding of boxes, suppression, threshold, classes, rounding, masks, keypoints,
    poses, states. One of them may be a torch adapter and the other one run its exported file.
    """
    sides = read_sides(ctx)
    if flags["tolerance_ap"] is not None and (flags["dataset"] is None or not flags["resamples"]):
        raise click.UsageError("--tolerance-ap needs --dataset, and --resamples above 0")
    if not sides and a is not None and b is not None and not flags["locate"]:
        _compare_files(ctx.obj, a, b, flags)
        return
    if len(sides) != 2 or a is not None or flags["dataset"] is None:
        raise click.UsageError(
            "give two predictions files, or --adapter twice with --dataset (--locate needs the adapters)"
        )
    _compare_adapters(ctx.obj, sides, flags)


def _compare_files(plugins: Plugins, a: Path, b: Path, flags: dict[str, Any]) -> None:
    from anydet.crosscheck.files import ApSettings, compare_files
    from anydet.evaluation.engines import choose_engine

    engine = choose_engine(plugins, flags["engine"], flags["workers"])
    dataset = _dataset(plugins, flags)
    parity = compare_files(
        a,
        b,
        _settings(flags),
        dataset=dataset,
        missing=flags["missing"],
        max_images=flags["max_images"],
        box_format=flags["box_format"],
        ap=ApSettings(flags["iou_type"], flags["resamples"]),
        engine=engine,
        scanner=engine.scanner,
    )
    _require_ap(parity, flags)
    _print_hint(parity)
    _finish(parity, parity, dataset, flags)


def _require_ap(parity: Parity, flags: dict[str, Any]) -> None:
    from anydet.errors import OptionError

    if flags["tolerance_ap"] is not None and parity.comparison is None:
        raise OptionError(
            f"{flags['dataset']}: has no labels to measure AP on", fix="leave out --tolerance-ap"
        )


def _print_hint(parity: Parity) -> None:
    """What differences of many detections look like, on stderr."""
    if parity.ok:
        return
    from anydet.crosscheck.locating.predictions import explain_predictions

    for one in explain_predictions(parity)[:1]:
        warn(f"it looks as if {one.cause} ({one.evidence})", "hint")


def _compare_adapters(plugins: Plugins, sides: list[Mapping[str, Any]], flags: dict[str, Any]) -> None:
    from contextlib import ExitStack

    from anydet.commands.progress import progress
    from anydet.crosscheck.locating.locate import locate, predict_both, records_of
    from anydet.prediction.pipeline import Limits

    dataset = _dataset(plugins, flags)
    assert dataset is not None
    settings = _settings(flags)
    threshold = flags["score_threshold"]
    limits = Limits() if threshold is None else Limits(min(threshold, Limits().score_threshold))
    with ExitStack() as opened:
        a, b = (opened.enter_context(_adapter(plugins, side, limits)) for side in sides)
        records = list(records_of(dataset, flags["max_images"] or _MOST_IMAGES))
        with progress("predict", len(records)) as advance:
            both = predict_both(a, b, records, settings, limits=limits, progress=advance)
        both = _with_ap(plugins, both, dataset, flags)
        found: Located | Parity = locate(both) if flags["locate"] else both.parity
    _finish(found, both.parity, dataset, flags)


def _with_ap(plugins: Plugins, both: Predicted, dataset: Dataset, flags: dict[str, Any]) -> Predicted:
    """With the difference of AP on the images that both predicted."""
    from dataclasses import replace

    from anydet.crosscheck.files import ApSettings, with_ap
    from anydet.errors import AnydetError
    from anydet.evaluation.engines import choose_engine
    from anydet.evaluation.in_memory import read_results

    engine = choose_engine(plugins, flags["engine"], flags["workers"])
    sides = zip(both.results, (both.a, both.b), strict=True)
    ap = ApSettings(flags["iou_type"], flags["resamples"])
    parity = both.parity
    try:
        raws = [read_results(found, adapter.classes, engine.scanner) for found, adapter in sides]
        parity = with_ap(parity, raws, dataset, ap, engine=engine)
    except AnydetError as exc:
        # Of other classes than the data set's, say: predictions are compared all the same.
        if flags["tolerance_ap"] is not None:
            raise
        warn(f"no difference of AP: {exc.problem}")
    _require_ap(parity, flags)
    return replace(both, parity=parity)


def _adapter(plugins: Plugins, side: Mapping[str, Any], limits: Limits) -> Adapter:
    names = ("config", "checkpoint", "device", "options")
    settings = plugins.settings(
        side["adapter"],
        **{name: side[name] for name in names if name in side},
        batch_size=1,
        score_floor=limits.score_threshold,
        max_detections=limits.max_detections,
    )
    return plugins.adapter(side["adapter"], settings)


def _finish(result: Located | Parity, parity: Parity, dataset: Dataset | None, flags: dict[str, Any]) -> None:
    """Print and write what was found; exit 1 where both are not the same."""
    json_path = flags["json_path"]
    write_json(result.as_dict(), json_path)
    if json_path != Path("-"):
        _print_parity(parity, flags["rows"])
        if result is not parity:
            _print_located(result)  # type: ignore[arg-type]
        echo(result.reason)
    if flags["output_dir"] is not None:
        write_json(result.as_dict(), flags["output_dir"] / "parity.json")
        _draw(parity, dataset, flags["output_dir"], flags["worst"])
    if not result.ok:
        raise SystemExit(1)


def _print_located(located: Located) -> None:
    from anydet.commands.tables import print_result_table

    print_result_table(located.stage_table, len(located.stages))
    for one in located.findings:
        echo(f"  {one.step}: {one.cause}", f"      {one.evidence}")
    for note in located.notes:
        say(note)
    if located.cured is not None:
        equal = "are equal" if located.cured else "still differ: there is something else, too"
        echo(f"  with A's stages in the place of those that differ, both {equal}")


def _settings(flags: dict[str, Any]) -> ParitySettings:
    from anydet.crosscheck.parity import ParitySettings
    from anydet.crosscheck.tolerances import Tolerances

    tolerances = Tolerances(**{name: flags[name] for name in TOLERANCES}, ap=flags["tolerance_ap"])
    return ParitySettings(tolerances, flags["score_threshold"], flags["score_band"], flags["match_iou"])


def _dataset(plugins: Plugins, flags: dict[str, Any]) -> Dataset | None:
    if flags["dataset"] is None:
        return None
    from anydet.data.opening import open_dataset
    from anydet.plugins.formats import installed_formats

    return open_dataset(flags["dataset"], flags["split"], formats=installed_formats(plugins))


def _print_parity(parity: Parity, rows: int) -> None:
    from anydet.commands.tables import print_result_table
    from anydet.crosscheck.histograms import histogram

    echo(f"a: {parity.joined.names[0]}", f"b: {parity.joined.names[1]}")
    counts, quantities, images = parity.tables
    print_result_table(counts, len(counts.rows))
    print_result_table(quantities, len(quantities.rows))
    for one in (*parity.quantities, *parity.image_quantities):
        # A difference that is zero everywhere has nothing to see.
        if one.known.max(initial=0) > 0:
            echo(f"  differences of {one.name}{f' in {one.unit}' if one.unit else ''}, beyond tolerance as x")
            for line in histogram(one).lines():
                echo(f"    {line}")
    print_result_table(images, rows)
    _print_ap(parity)


def _print_ap(parity: Parity) -> None:
    if parity.comparison is None:
        return
    name, first = next(iter(parity.comparison.overall.items()))
    if first.difference is None:
        echo(f"{name}: not enough ground truth to compare")
        return
    interval = ""
    if first.low is not None and first.high is not None:
        interval = f", {100 * parity.comparison.level:g} % interval [{first.low:+.4f}, {first.high:+.4f}]"
    images = counted(len(parity.joined.a.images), "image")
    echo(f"{name} on {images}: {first.a:.4f} and {first.b:.4f}, difference {first.difference:+.4f}{interval}")


def _draw(parity: Parity, dataset: Dataset | None, folder: Path, worst: int) -> None:
    """Histograms, and the worst images where there is a data set."""
    from anydet.errors import AnydetError
    from anydet.report.charts import draw_figure

    for figure in parity.figures:
        try:
            draw_figure(figure, folder / f"{figure.name}.png")
        except AnydetError as exc:
            warn(f"no histograms: {exc.problem}; {exc.fix}")
            break
        say(f"wrote {folder / f'{figure.name}.png'}")
    if dataset is None or not worst:
        return
    from anydet.report.differences import draw_worst

    for path in draw_worst(parity, dataset, folder / "worst", worst):
        say(f"wrote {path}")
