"""``anydet benchmark``: how fast adapters are, on the same images in turn."""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from contextlib import ExitStack
from pathlib import Path
from typing import TYPE_CHECKING, Any

import click

from anydet.arguments import MOST_INTEGER
from anydet.commands.json_output import json_option, write_json
from anydet.commands.messages import echo, say, warn
from anydet.commands.paths import CHART, DATASET
from anydet.commands.recipe_options import max_detections_option, score_threshold_option
from anydet.commands.result_options import MAX_PIXELS
from anydet.commands.sides import SidedCommand, read_sides, sided_options
from anydet.text import counted

if TYPE_CHECKING:
    from anydet.benchmark.contestant import Contestant
    from anydet.benchmark.report import BenchmarkReport
    from anydet.data.dataset.protocols import Dataset
    from anydet.data.record.record import Record
    from anydet.plugins.manager import Plugins
    from anydet.prediction.recipe import Recipe

_MOST_SIDES = 26
_MOST_IMAGES_A_BATCH = 1024


def _batch_sizes(ctx: click.Context, param: click.Parameter, value: str) -> tuple[int, ...]:
    """The numbers of ``1,4,16``, each once; a usage error for anything else."""
    try:
        sizes = tuple(dict.fromkeys(map(int, value.split(","))))
    except ValueError:
        sizes = ()
    if not sizes or not all(1 <= size <= _MOST_IMAGES_A_BATCH for size in sizes):
        raise click.BadParameter(
            f"give whole numbers from 1 to {_MOST_IMAGES_A_BATCH}, such as 1,4,16", ctx, param
        )
    return sizes


@click.command(
    "benchmark",
    cls=SidedCommand,
    epilog=(
        "\b\n"
        "Example:\n"
        "  anydet synth --out data/scenes --images 16\n"
        "  anydet benchmark --adapter toy --adapter toy --option smoothing_px=0 --dataset data/scenes"
    ),
)
@sided_options
@click.option(
    "--dataset",
    type=DATASET,
    required=True,
    help="Data set, or a folder of images, that all predict; with labels, AP is measured, too.",
)
@click.option("--split", help="Split of the data set; chosen as by export-predictions if omitted.")
@click.option(
    "--max-images",
    type=click.IntRange(1, MOST_INTEGER),
    default=64,
    show_default=True,
    help="The first N images of the data set.",
)
@click.option(
    "--batch-size",
    "batch_sizes",
    metavar="N,N,...",
    callback=_batch_sizes,
    default="1",
    show_default=True,
    help="Images of a call; several sizes are measured one beside the other, on as many images as fill calls "
    "of all of them.",
)
@click.option(
    "--rounds", type=click.IntRange(1, 1000), default=3, show_default=True, help="Times all images are run."
)
@click.option(
    "--block",
    type=click.IntRange(1, MOST_INTEGER),
    default=8,
    show_default=True,
    help="Images that one adapter predicts before the next one gets the same; at least a batch.",
)
@click.option(
    "--warm-up",
    type=click.IntRange(0, 1000),
    default=3,
    show_default=True,
    help="Calls of each adapter that do not count, before the others.",
)
@click.option(
    "--memory",
    is_flag=True,
    help="Measure the most memory each takes, in a process of its own that predicts a batch.",
)
@click.option(
    "--power",
    is_flag=True,
    help="Measure the power of processors (RAPL) and NVIDIA GPUs (nvidia-smi), where they can be read.",
)
@score_threshold_option(0.001, "kept")
@max_detections_option
@json_option()
@click.option(
    "--plot",
    type=CHART,
    help="Draw AP against latency as PNG or SVG (extra 'plot'); needs labels.",
)
@click.pass_context
@MAX_PIXELS
def command(ctx: click.Context, /, **flags: Any) -> None:
    """Measure latency, throughput and stages of adapters on the same images, in turn.

    A block of images goes to A, then to B, and so on, then the next block, so that a machine that is busy for
    a while slows all alike; ratios are of a block to the same block of A. A call is what one waits for:
    decoding, preprocessing, the model, and postprocessing up to finished detections.
    """
    sides = read_sides(ctx)
    if not sides:
        raise click.UsageError("give --adapter NAME, once for each adapter to measure")
    if len(sides) > _MOST_SIDES:
        raise click.UsageError(f"{len(sides)} adapters are more than the {_MOST_SIDES} that have a letter")
    result = _measured(ctx.obj, sides, flags)
    write_json(result.as_dict(), flags["json_path"])
    if flags["json_path"] != Path("-"):
        _print(result)
    for note in result.notes:
        warn(note, "note")
    if flags["plot"] is not None:
        _draw(result, flags["plot"])
    if result.measured.interrupted:
        raise SystemExit(130)


def _measured(
    plugins: Plugins, sides: Sequence[Mapping[str, Any]], flags: Mapping[str, Any]
) -> BenchmarkReport:
    from anydet.benchmark.power import PowerMeter
    from anydet.benchmark.report import report
    from anydet.benchmark.run import BenchmarkSettings, measure, whole_calls
    from anydet.commands.progress import progress
    from anydet.data.opening import open_dataset
    from anydet.evaluation.engines import choose_engine
    from anydet.plugins.formats import installed_formats

    dataset = open_dataset(flags["dataset"], flags["split"], formats=installed_formats(plugins))
    there = min(len(dataset), flags["max_images"])
    count, block = whole_calls(there, flags["batch_sizes"], flags["block"]) if there else (0, flags["block"])
    if count < there:
        say(f"{counted(there - count, 'image')} of {there} left out: they fill no call of the batch sizes")
    records = [dataset[i] for i in range(count)]
    labeled = any(record.labels is not None for record in records)
    _require_labels(labeled, dataset, flags["plot"])
    recipes = list(_recipes(plugins, sides, flags))
    settings = BenchmarkSettings(flags["rounds"], block, flags["warm_up"])
    gpu = any(recipe.settings.device != "cpu" for _, recipe in recipes)
    meter = PowerMeter(gpu=gpu) if flags["power"] else None
    with ExitStack() as stack:
        first = flags["batch_sizes"][0]
        contestants = [_opened(stack, label, recipe, plugins, first) for label, recipe in recipes]
        with progress("measure", settings.rounds * len(records)) as advance:
            measured = measure(contestants, records, settings, meter=meter, progress=advance)
        memory = _memory(recipes, records) if flags["memory"] and not measured.interrupted else None
        engine = choose_engine(plugins) if labeled else None
        return report(measured, settings, dataset, engine=engine, memory=memory)


def _require_labels(labeled: bool, dataset: Dataset, plot: Path | None) -> None:
    """Before anything is measured."""
    if plot is None:
        return
    from anydet.errors import DatasetError
    from anydet.report.charts import import_figure

    if not labeled:
        raise DatasetError(
            f"{dataset.root}: no labels, and so no AP to draw against latency",
            fix="leave --plot out, or name a data set with labels",
        )
    import_figure()


def _recipes(
    plugins: Plugins, sides: Sequence[Mapping[str, Any]], flags: Mapping[str, Any]
) -> Iterator[tuple[str, Recipe]]:
    """Each adapter with each batch size, and what tables call it."""
    from anydet.prediction.pipeline import Limits
    from anydet.prediction.recipe import Recipe

    limits = Limits(flags["score_threshold"], flags["max_detections"])
    for number, side in enumerate(sides):
        names = ("config", "checkpoint", "device", "options")
        file = Path(side["checkpoint"]).name if side.get("checkpoint") else ""
        label = " ".join(filter(None, (chr(ord("A") + number), side["adapter"], file)))
        for size in flags["batch_sizes"]:
            settings = plugins.settings(
                side["adapter"],
                **{name: side[name] for name in names if name in side},
                batch_size=size,
                score_floor=limits.score_threshold,
                max_detections=limits.max_detections,
            )
            yield label, Recipe(side["adapter"], settings, limits).resolve(plugins)


def _opened(stack: ExitStack, label: str, recipe: Recipe, plugins: Plugins, first: int) -> Contestant:
    """Open; what an adapter warns of is said once, with the first batch size."""
    from anydet.benchmark.contestant import Contestant
    from anydet.prediction.checks import check_notes

    pipeline = stack.enter_context(recipe.open(plugins))
    if recipe.settings.batch_size == first:
        for warning in check_notes(pipeline.adapter, plugins).warnings:
            warn(f"{label}: {warning}")
    return Contestant(label, pipeline.adapter, recipe.limits, plugins)


def _memory(recipes: Sequence[tuple[str, Recipe]], records: Sequence[Record]) -> list[float | str]:
    from anydet.benchmark.memory import peak_mib
    from anydet.commands.progress import progress

    found: list[float | str] = []
    with progress("memory", len(recipes), unit="processes") as advance:
        try:
            for _, recipe in recipes:
                found.append(peak_mib(recipe, list(records[: recipe.settings.batch_size])))
                advance(1)
        except KeyboardInterrupt:
            # What was measured before is there, and is worth more.
            found += ["interrupted"] * (len(recipes) - len(found))
    return found


def _print(result: BenchmarkReport) -> None:
    from anydet.commands.tables import print_result_table

    measured, machine = result.measured, result.measured.machine
    rounds = f"{measured.rounds} round(s)"
    if measured.interrupted:
        rounds = f"{result.rows[0].timing.images} of {measured.planned} predictions before the interruption"
    echo(
        f"{machine['processor']}, {machine['processors']} processor(s); {measured.images} images, "
        f"{rounds}, blocks of {result.settings.block}"
    )
    for table in result.tables:
        print_result_table(table, len(table.rows))
    echo(
        f"ratio: seconds of a block to those of A with batch {result.rows[0].batch_size}, median [quartiles]"
    )
    if result.measured.metered:
        echo(f"power: {result.measured.power_note}")


def _draw(result: BenchmarkReport, path: Path) -> None:
    from anydet.report.charts import draw_figure

    draw_figure(result.figure, path)
    say(f"wrote {path}")
