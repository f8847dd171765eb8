"""``anydet eval-coco``: the COCO metrics of a predictions file."""

from __future__ import annotations

import os
from collections.abc import Mapping
from pathlib import Path
from typing import TYPE_CHECKING, Any

import click

from anydet.arguments import MOST_INTEGER
from anydet.commands.coco_options import BOX_FORMATS, coco_options, read_settings
from anydet.commands.dataset_options import open_data, read_predictions
from anydet.commands.explanations import print_diagnosis, print_hint
from anydet.commands.gates import (
    FAIL_UNDER,
    require_bounds,
    require_fractions,
    summary_options,
    write_summaries,
)
from anydet.commands.json_output import json_option, write_json
from anydet.commands.messages import echo, say
from anydet.commands.paths import DATASET, INPUT
from anydet.commands.predictions import ONE, predictions_arguments
from anydet.commands.result_options import CLASS_MAP, MAX_PIXELS, STRICT
from anydet.commands.tracker_options import log_metrics, require_trackers_named, tracker_options

if TYPE_CHECKING:
    from anydet.evaluation.coco import CocoEvaluator, CocoResult
    from anydet.evaluation.evaluator import Engine
    from anydet.evaluation.explanation.gather import Gathered
    from anydet.plugins.manager import Plugins


@click.command(
    "eval-coco",
    epilog=(
        "\b\n"
        "Example:\n"
        "  anydet synth --out data/scenes --images 16\n"
        "  anydet export-predictions --adapter toy --dataset data/scenes --output predictions.json\n"
        "  anydet eval-coco --dataset data/scenes --predictions predictions.json --per-class"
    ),
)
@click.option(
    "--dataset",
    type=DATASET,
    default=Path("data/coco128"),
    show_default=True,
    help="Data set in any format that is read (COCO, YOLO, Pascal VOC, CVAT, ...): its folder or file.",
)
@predictions_arguments("predictions", what=ONE)
@click.option(
    "--bbox-format",
    "box_format",
    type=click.Choice(BOX_FORMATS),
    help="Box format of the predictions.  [default: from the file's meta, else cxcywh_norm]",
)
@click.option(
    "--split", help="Split; the first of val2017, val, valid, validation, train2017, train by default."
)
@click.option(
    "--max-images",
    type=click.IntRange(1, MOST_INTEGER),
    help="Evaluate only the first N images of the data set.",
)
@CLASS_MAP
@STRICT
@click.option("--dry-run", is_flag=True, help="Read, check and join both sides without evaluating them.")
@click.option("--per-class", is_flag=True, help="Also print the metrics of each class.")
@coco_options
@click.option(
    "--explain", is_flag=True, help="Test common mistakes, such as a wrong box format, as causes of a low AP."
)
@click.option(
    "--reference",
    type=INPUT,
    help="With --explain: predictions of the model that this one was made of, such as the float one of a "
    "quantized one.",
)
@json_option()
@FAIL_UNDER
@summary_options
@tracker_options
@MAX_PIXELS
@click.pass_obj
def command(plugins: Plugins, /, **flags: Any) -> None:
    """Compute the 12 COCO metrics of predictions (10 for keypoints, 13 for LVIS).

    Image files are opened only if neither file states the size of an image.
    """
    # No linear algebra here: OpenBLAS's threads would only spin beside the engine's.
    os.environ.setdefault("OPENBLAS_NUM_THREADS", "1")
    if flags["reference"] is not None and not flags["explain"]:
        raise click.UsageError("--reference needs --explain")
    require_bounds(flags, "fail_under")
    require_fractions(flags["fail_under"], "--fail-under")
    require_trackers_named(flags)
    if flags["dry_run"] and any(flags[name] for name in ("fail_under", "markdown_path", "trackers")):
        left_out = "--fail-under, --markdown and --log-with"
        raise click.UsageError(f"--dry-run evaluates nothing: leave out {left_out}")
    engine, evaluator, seen, reference = _prepare(plugins, flags)
    if flags["dry_run"]:
        protocol = evaluator.protocol()
        write_json({"protocol": protocol}, flags["json_path"])
        if flags["json_path"] != Path("-"):
            _print_protocol(protocol)
        say("dry run: predictions match the data set; nothing was evaluated")
        return
    result = evaluator.result()
    diagnosis = seen.explain(engine, reference=reference) if flags["explain"] else None
    explained = {"explanation": diagnosis.as_dict()} if diagnosis else {}
    write_json({**result.as_dict(), **explained}, flags["json_path"])
    if flags["json_path"] != Path("-"):
        _print_result(result, per_class=flags["per_class"])
        _print_protocol(result.protocol)
        if diagnosis:
            print_diagnosis(diagnosis)
    if not diagnosis:
        print_hint(result.doubt, seen, engine)
    log_metrics(_named(result, flags["protocol"]), result.protocol, flags)
    _summarize(result, flags)


def _named(result: CocoResult, protocol: str) -> dict[str, float | None]:
    """Metrics under the names that ``anydet eval`` gives them."""
    kind = result.protocol["iou_type"]
    evaluator = protocol if kind == "bbox" or protocol == "crowdpose" else f"{protocol}-{kind}"
    return {f"{evaluator}/{name}": value for name, value in result.metrics.items()}


def _summarize(result: CocoResult, flags: Mapping[str, Any]) -> None:
    """Write summaries, then hold the metrics against their bounds."""
    if not any(flags[name] for name in ("fail_under", "markdown_path")):
        return
    from anydet.evaluation.gates import hold_metrics, require_kept
    from anydet.evaluation.tables import metrics_table

    gates = hold_metrics(flags["fail_under"], result.metrics)
    metrics = metrics_table(f"COCO metrics, {result.protocol['iou_type']}", result.metrics)
    write_summaries("eval-coco", [metrics, *(result.tables if flags["per_class"] else ())], gates, flags)
    require_kept(gates)


def _prepare(
    plugins: Plugins, flags: Mapping[str, Any]
) -> tuple[Engine, CocoEvaluator, Gathered, Gathered | None]:
    """The engine of boxes, an evaluator that has all predictions, and the columns that ``--explain`` needs.

    The last are those of ``--reference``.
    """
    engine, scanner, dataset = open_data(plugins, flags, ahead=flags["predictions"])
    from anydet.evaluation.explanation.gather import Gathered
    from anydet.evaluation.run import prepare_coco

    seen = Gathered()
    parts = seen.watch(read_predictions(dataset, flags["predictions"], flags, scanner))
    evaluator = prepare_coco(parts, read_settings(flags), engine=engine, dry=flags["dry_run"])
    reference = None
    if flags["reference"] is not None and not flags["dry_run"]:
        reference = Gathered()
        for _ in reference.watch(read_predictions(dataset, flags["reference"], flags, scanner)):
            pass
    return engine, evaluator, seen, reference


def _print_result(result: CocoResult, *, per_class: bool) -> None:
    for name, value in result.metrics.items():
        echo(f"{name:<6} {_number(value):>7}")
    if per_class:
        from anydet.commands.tables import print_table

        recall = [name for name in result.metrics if name[2:].isdecimal() or name == "AR"][-1]
        names = [name for name in result.metrics if name.startswith("AP")]
        names += [recall, "images", "annotations", "detections"]
        rows = [(row["name"], *(_number(row[name]) for name in names)) for row in result.per_class]
        print_table(("class", *names), rows)


def _number(value: float | None) -> str:
    """``None``, where COCO reports -1 because there is no ground truth, is printed as "n/a"."""
    if value is None:
        return "n/a"
    return str(value) if isinstance(value, int) else f"{value:.4f}"


def _print_protocol(protocol: Mapping[str, Any]) -> None:
    ious, engine = protocol["iou_thresholds"], protocol["engine"]
    limits = ", ".join(map(str, protocol["max_detections"]))
    echo(
        f"{protocol['iou_type']}, IoU {ious[0]:.2f}:{ious[-1]:.2f}, max detections {limits}, "
        f"crowd ignored; engine {engine['name']} {engine['version']}"
    )
    echo(
        f"{protocol['images']} images ({protocol['images_without_predictions']} without predictions), "
        f"{protocol['annotations']} annotations, {protocol['detections']} detections"
    )
    echo(
        f"ground truth: {protocol['ground_truth']}, boxes read as {protocol['box_format']}{_areas(protocol)}"
    )


def _areas(protocol: Mapping[str, Any]) -> str:
    """What ranges of sizes rest on where the source has no areas; keypoints have a warning of their own."""
    count, annotations = protocol["annotations_without_area"], protocol["annotations"]
    if not count or protocol["iou_type"] == "keypoints":
        return ""
    of = "" if count == annotations else f" of {count} annotations that state none"
    return f", areas{of} are width x height of boxes"
