"""``anydet eval``: the metrics of all installed evaluators that apply to a predictions file."""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Mapping
from pathlib import Path
from typing import TYPE_CHECKING, Any, NoReturn

import click

from anydet.arguments import MOST_INTEGER
from anydet.commands.coco_options import BOX_AREA_FACTOR
from anydet.commands.completion import complete_names
from anydet.commands.dataset_options import (
    dataset_options,
    engine_options,
    open_data,
    read_predictions,
)
from anydet.commands.explanations import print_diagnosis, print_hint
from anydet.commands.gates import FAIL_UNDER, require_bounds, summary_options, write_summaries
from anydet.commands.json_output import write_json
from anydet.commands.messages import say, warn
from anydet.commands.numbers import FiniteRange
from anydet.commands.paths import INPUT, OUTPUT_FOLDER
from anydet.commands.predictions import ONE, predictions_arguments
from anydet.commands.tracker_options import log_metrics, require_trackers_named, tracker_options

if TYPE_CHECKING:
    from anydet.data.dataset.protocols import Dataset
    from anydet.errors import AnydetError
    from anydet.evaluation.evaluator import Engine
    from anydet.evaluation.gates import Gate
    from anydet.evaluation.matched_protocol import ProtocolOptions
    from anydet.evaluation.reading import Inputs
    from anydet.evaluation.run import EvaluationRun
    from anydet.evaluation.tables import Table
    from anydet.plugins.manager import Plugins
    from anydet.scanner import Scanner


@click.command(
    "eval",
    epilog=(
        "\b\n"
        "Example:\n"
        "  anydet synth --out data/scenes --images 16\n"
        "  anydet export-predictions --adapter toy --dataset data/scenes --output predictions.json\n"
        "  anydet eval --dataset data/scenes --predictions predictions.json --metrics coco,tide"
    ),
)
@predictions_arguments("predictions", what=ONE)
@dataset_options
@engine_options
@click.option(
    "--metrics",
    "names",
    metavar="NAME,...",
    shell_complete=complete_names("evaluators"),
    help="Evaluators to run.  [default: all that apply]",
)
@click.option(
    "--iou-threshold",
    type=FiniteRange(0, 1, min_open=True),
    metavar="T",
    help="Lowest IoU of a match for voc, dota, open-images and olrp.  [default: 0.5]",
)
@click.option(
    "--class-hierarchy",
    type=INPUT,
    metavar="JSON",
    help="open-images: classes above others, as Open Images publishes them (bbox_labels_600_hierarchy.json).",
)
@click.option(
    "--image-labels",
    type=INPUT,
    metavar="CSV",
    help="open-images: verified labels of images, with columns ImageID, LabelName and Confidence.",
)
@BOX_AREA_FACTOR
@click.option(
    "--intervals",
    "resamples",
    type=click.IntRange(1, MOST_INTEGER),
    metavar="N",
    help="95 % intervals of the COCO metrics from N bootstrap resamples of images; 1000 is usual.",
)
@click.option(
    "--seed",
    type=click.IntRange(0, MOST_INTEGER),
    default=0,
    show_default=True,
    help="Seed of the resamples.",
)
@click.option(
    "--slices",
    "slices_path",
    type=INPUT,
    help="COCO metrics on subsets of images: JSON or CSV that maps images to names of subsets.",
)
@click.option(
    "--corrupted",
    multiple=True,
    metavar="PATH",
    help="Predictions of corrupted images, for mPC and rPC: a file that states its corruption, a folder or "
    "'pattern*' of such, or NAME:SEVERITY=FILE; repeatable.",
)
@click.option(
    "--models",
    "models_dir",
    type=click.Path(path_type=Path),
    help="Object models for poses in BOP layout: models_info.json, obj_000001.ply, ...",
)
@click.option(
    "--plots",
    "plots_dir",
    metavar="DIR",
    type=OUTPUT_FOLDER,
    help="Draw the figures of all evaluators (curves, intervals, errors, confusions, ...) as PNG files "
    "(extra 'plot').",
)
@click.option(
    "--explain", is_flag=True, help="Test common mistakes, such as a wrong box format, as causes of a low AP."
)
@click.option(
    "--rows",
    type=click.IntRange(0, MOST_INTEGER),
    help="Rows printed of each table; implies --full.  [default: 10]",
)
@click.option(
    "--full", is_flag=True, help="Print all tables, and why evaluators do not apply, in place of one screen."
)
@FAIL_UNDER
@summary_options
@tracker_options
@click.pass_obj
def command(
    plugins: Plugins,
    /,
    *,
    names: str | None,
    models_dir: Path | None,
    rows: int | None,
    full: bool,
    json_path: Path | None,
    **flags: Any,
) -> None:
    """Evaluate predictions with all evaluators that apply to them and the data set.

    These compute the COCO metrics (boxes, masks, keypoints), error types (TIDE), confusions, the best score
    thresholds, calibration, and what other installed evaluators add. The JSON holds all tables, and under
    "metrics" the flat dictionary that --log-with gives to experiment trackers. An evaluator that fails leaves
    the numbers of the others, and exit code 1.

    Without --full one screen is printed: the metrics, the worst classes, and what to look at next. Of
    evaluators that are named with --metrics, tables are printed, too.
    """
    from anydet.evaluation.analysis.slices import read_slices
    from anydet.evaluation.evaluator import AnalysisSettings
    from anydet.evaluation.explanation.gather import Gathered
    from anydet.evaluation.run import run_evaluators

    require_bounds(flags, "fail_under")
    most = 10 if rows is None else rows
    require_trackers_named(flags)
    engine, scanner, dataset = open_data(plugins, flags)
    seen = Gathered()
    parts = seen.watch(read_predictions(dataset, flags["predictions"], flags, scanner))
    if models_dir is not None:
        parts = _with_models(parts, models_dir, plugins)
    chosen = None if names is None else names.split(",")
    if flags["corrupted"]:
        _require_clean(flags["predictions"])
    slices = {} if flags["slices_path"] is None else read_slices(flags["slices_path"])
    analysis = AnalysisSettings(flags["resamples"] or 0, seed=flags["seed"], slices=slices)
    run = run_evaluators(
        parts,
        chosen,
        plugins=plugins,
        engine=engine,
        analysis=analysis,
        options=_protocol_options(dataset, flags),
    )
    if flags["corrupted"]:
        run = _with_robustness(run, dataset, flags, plugins=plugins, engine=engine, scanner=scanner)
    diagnosis = seen.explain(engine) if flags["explain"] else None
    explained = {"explanation": diagnosis.as_dict()} if diagnosis else {}
    write_json({**run.as_dict(), **explained}, json_path)
    if json_path != Path("-"):
        if full or rows is not None or chosen is not None:
            _print_run(run, most)
        else:
            _print_screen(run)
        if diagnosis:
            print_diagnosis(diagnosis)
    if not diagnosis:
        print_hint(run.doubt, seen, engine)
    log_metrics(run.metrics, run.context, {**flags, "json_path": json_path})
    # Last, so that numbers are there where a figure cannot be drawn.
    if flags["plots_dir"] is not None:
        _draw(run, flags["plots_dir"], plugins)
    gates = _hold(run, flags["fail_under"])
    write_summaries("eval", _tables(run, most), gates, flags)
    if run.failed:
        _refuse(run.failed)
    if gates:
        from anydet.evaluation.gates import require_kept

        require_kept(gates)


def _hold(run: EvaluationRun, bounds: Mapping[str, float]) -> list[Gate]:
    """Metrics against their bounds; of the first evaluator that has one its name alone is enough."""
    if not bounds:
        return []
    from anydet.evaluation.gates import hold_metrics

    plain = {
        name: one for result in reversed([*run.results.values()]) for name, one in result.metrics.items()
    }
    return hold_metrics(bounds, {**plain, **run.metrics})


def _tables(run: EvaluationRun, rows: int) -> Iterator[Table]:
    """What is printed of each evaluator, as tables."""
    from dataclasses import replace

    from anydet.evaluation.tables import metrics_table

    for name, result in run.results.items():
        yield metrics_table(name, result.metrics)
        yield from (replace(table, rows=table.rows[:rows]) for table in result.tables)


def _require_clean(predictions: Path) -> None:
    from anydet.evaluation.robustness import require_clean

    require_clean(predictions)


def _with_robustness(
    run: EvaluationRun,
    dataset: Dataset,
    flags: Mapping[str, Any],
    *,
    plugins: Plugins,
    engine: Engine,
    scanner: Scanner | None,
) -> EvaluationRun:
    """The run with mPC and rPC as one more result; what lowers them without being an error goes to stderr."""
    from dataclasses import replace

    from anydet.commands.progress import progress
    from anydet.evaluation.robustness import (
        corrupted_files,
        evaluate_corrupted,
        flat_metrics,
        measure_robustness,
    )

    files = corrupted_files(flags["corrupted"])
    limits = {name: flags[name] for name in ("box_format", "max_images")}
    found = []
    with progress("evaluate", len(files), unit="files") as advance:
        for one, warnings in evaluate_corrupted(
            dataset, files, run, plugins=plugins, engine=engine, scanner=scanner, **limits
        ):
            found.append(one)
            for warning in warnings:
                warn(warning)
            advance(1)
    measured = measure_robustness(flat_metrics(run), found)
    missing = measured.protocol["missing"]
    if missing:
        warn(
            f"no results for {', '.join(missing)}; mPC is the mean of what is there, and not to be compared "
            "with that of all"
        )
    return replace(run, results={**run.results, "robustness": measured})


def _protocol_options(dataset: Dataset, flags: Mapping[str, Any]) -> ProtocolOptions:
    """What protocols other than COCO's are run with."""
    from anydet.evaluation.matched_protocol import ProtocolOptions

    hierarchy, labels = flags["class_hierarchy"], flags["image_labels"]
    given: dict[str, Any] = {name: flags[name] for name in ("iou_threshold", "box_area_factor")}
    if hierarchy is not None or labels is not None:
        from anydet.evaluation.open_images_files import read_hierarchy, read_image_labels

        classes = dataset.ground_truth(0).classes
        if hierarchy is not None:
            given["parents"] = read_hierarchy(hierarchy, classes)
        if labels is not None:
            given["image_labels"] = read_image_labels(labels, classes)
    return ProtocolOptions(**given)


def _with_models(parts: Iterable[Inputs], folder: Path, plugins: Plugins) -> Iterator[Inputs]:
    """Join the object models of a folder to the ground truth."""
    from dataclasses import replace

    from anydet.data.object_models import join_models
    from anydet.plugins.formats import object_model_format

    models = object_model_format(plugins).read_models(folder)
    for part in parts:
        objects = join_models(models, part.ground_truth.classes)
        yield replace(part, ground_truth=replace(part.ground_truth, objects=objects))


def _draw(run: EvaluationRun, folder: Path, plugins: Plugins) -> None:
    from anydet.report.charts import draw_charts

    for path in draw_charts(run, folder, plugins):
        say(f"wrote {path}")


def _refuse(failed: Mapping[str, AnydetError]) -> NoReturn:
    """End with the first failure; the others are lines before it."""
    first, *others = failed.values()
    for error in others:
        say(*f"Error: {error}".splitlines())
    raise first


def _print_run(run: EvaluationRun, rows: int) -> None:
    from anydet.commands.tables import print_result

    for name, result in run.results.items():
        # All corruptions are one table.
        print_result(name, result, max(rows, 15) if rows and name == "robustness" else rows)
    for name, reason in run.skipped.items():
        say(f"{name}: skipped, {reason}")


def _print_screen(run: EvaluationRun) -> None:
    from anydet.commands.eval_screen import print_screen

    print_screen(run, "--full")
    if run.skipped:
        say(f"{len(run.skipped)} evaluators do not apply (why: --full): {', '.join(run.skipped)}")
