"""AP of the same detections by each tool that is installed here, beside pycocotools'.

    anydet export-predictions --adapter onnxruntime --option preset=nanodet --checkpoint nanodet.onnx \
        --dataset coco128 --output nanodet.json
    anydet convert nanodet.json nanodet_coco.json --to coco --dataset coco128
    python benchmarks/agreement.py coco128/annotations/instances_train2017.json nanodet_coco.json

Both files are COCO's. Each tool is called as its documentation has it, with the defaults that it has for AP
of boxes at IoU 0.5 to 0.95; crowds are handed to those that know of them. Ultralytics' number is that of its
validator's own functions, which is what a training prints; with COCO's files it can call faster-coco-eval.
"""

from __future__ import annotations

import argparse
import contextlib
import io
import json
from collections import defaultdict
from collections.abc import Callable
from dataclasses import dataclass
from importlib.metadata import version
from importlib.util import find_spec
from pathlib import Path
from types import SimpleNamespace
from typing import Any

import numpy as np


@dataclass(frozen=True)
class Problem:
    """The files, and what is in them by image: annotations, and detections from the best score down."""

    truth: Path
    results: Path
    images: list[dict[str, Any]]
    annotations: dict[int, list[dict[str, Any]]]
    detections: dict[int, list[dict[str, Any]]]


def read(truth: Path, results: Path) -> Problem:
    """Both files."""
    content = json.loads(truth.read_text("utf-8"))
    annotations, detections = defaultdict(list), defaultdict(list)
    for annotation in content["annotations"]:
        annotations[annotation["image_id"]].append(annotation)
    for found in sorted(json.loads(results.read_text("utf-8")), key=lambda found: -found["score"]):
        detections[found["image_id"]].append(found)
    images = sorted(content["images"], key=lambda image: image["id"])  # ties of scores keep this order
    return Problem(truth, results, images, annotations, detections)


def corners(rows: list[dict[str, Any]]) -> np.ndarray:
    """Boxes of annotations or detections as (N, 4) left, top, right, bottom."""
    boxes = np.array([row["bbox"] for row in rows], float).reshape(-1, 4)
    return np.concatenate([boxes[:, :2], boxes[:, :2] + boxes[:, 2:]], axis=1)


def column(rows: list[dict[str, Any]], name: str, kind: type = int) -> np.ndarray:
    """A value of each row."""
    return np.array([row.get(name, 0) for row in rows], kind)


def by_interface(coco: Any, evaluation: Any) -> Callable[[Problem], float]:
    """Of a package with pycocotools' interface."""

    def run(problem: Problem) -> float:
        known = coco(str(problem.truth))
        load = getattr(known, "load_res", None) or known.loadRes
        evaluator = evaluation(known, load(str(problem.results)), "bbox")
        evaluator.evaluate()
        evaluator.accumulate()
        evaluator.summarize()
        return float(evaluator.stats[0])

    return run


def pycocotools(problem: Problem) -> float:
    """The reference."""
    from pycocotools.coco import COCO
    from pycocotools.cocoeval import COCOeval

    return by_interface(COCO, COCOeval)(problem)


def anydet(problem: Problem) -> float:
    """Ours."""
    import anydet

    ap = anydet.evaluate(problem.truth, problem.results).metrics["AP"]
    assert ap is not None
    return ap


def hotcoco(problem: Problem) -> float:
    """In Rust, behind pycocotools' interface."""
    from hotcoco import COCO, COCOeval

    return by_interface(COCO, COCOeval)(problem)


def faster_coco_eval(problem: Problem) -> float:
    """In C++, behind pycocotools' interface."""
    from faster_coco_eval import COCO, COCOeval_faster

    return by_interface(COCO, COCOeval_faster)(problem)


def torchmetrics(problem: Problem, **thresholds: Any) -> float:
    """A meter over tensors."""
    import torch
    from torchmetrics.detection import MeanAveragePrecision

    meter = MeanAveragePrecision(**thresholds)
    for image in problem.images:
        found, known = problem.detections[image["id"]], problem.annotations[image["id"]]
        meter.update(
            [
                {
                    "boxes": torch.tensor(corners(found)),
                    "scores": torch.tensor(column(found, "score", float)),
                    "labels": torch.tensor(column(found, "category_id")),
                }
            ],
            [
                {
                    "boxes": torch.tensor(corners(known)),
                    "labels": torch.tensor(column(known, "category_id")),
                    "iscrowd": torch.tensor(column(known, "iscrowd")),
                    "area": torch.tensor(column(known, "area", float)),
                }
            ],
        )
    return float(meter.compute()["map"])


def torchmetrics_in_double(problem: Problem) -> float:
    """The same with COCO's thresholds in double precision; by default they are rounded to single."""
    return torchmetrics(
        problem,
        iou_thresholds=np.linspace(0.5, 0.95, 10).tolist(),
        rec_thresholds=np.linspace(0, 1, 101).tolist(),
    )


def supervision(problem: Problem) -> float:
    """Of ``Detections``."""
    import supervision as sv
    from supervision.metrics import MeanAveragePrecision

    metric = MeanAveragePrecision()
    for image in problem.images:
        found, known = problem.detections[image["id"]], problem.annotations[image["id"]]
        metric.update(
            sv.Detections(
                corners(found),
                confidence=column(found, "score", float),
                class_id=column(found, "category_id"),
            ),
            sv.Detections(
                corners(known),
                class_id=column(known, "category_id"),
                data={"iscrowd": column(known, "iscrowd"), "area": column(known, "area", float)},
            ),
        )
    return metric.compute().map50_95


def ultralytics(problem: Problem) -> float:
    """What its validator does with detections and labels; its label files have no crowds."""
    import torch
    from ultralytics.engine.validator import BaseValidator
    from ultralytics.utils.metrics import ap_per_class, box_iou

    validator = SimpleNamespace(iouv=torch.linspace(0.5, 0.95, 10))
    right, scores, classes, true_classes = [], [], [], []
    for image in problem.images:
        found = problem.detections[image["id"]]
        known = [one for one in problem.annotations[image["id"]] if not one.get("iscrowd")]
        found_classes, known_classes = (
            torch.tensor(column(rows, "category_id")).float() for rows in (found, known)
        )
        overlaps = box_iou(torch.tensor(corners(known)), torch.tensor(corners(found)))
        right.append(
            BaseValidator.match_predictions(validator, found_classes, known_classes, overlaps).numpy()
            if found and known
            else np.zeros((len(found), 10), bool)
        )
        scores.append(column(found, "score", float))
        classes.append(found_classes.numpy())
        true_classes.append(known_classes.numpy())
    values = ap_per_class(*map(np.concatenate, (right, scores, classes, true_classes)))[5]
    return float(values.mean())


TOOLS: dict[str, tuple[str, Callable[[Problem], float]]] = {
    "pycocotools": ("pycocotools", pycocotools),
    "anydet": ("anydet", anydet),
    "hotcoco": ("hotcoco", hotcoco),
    "faster-coco-eval": ("faster_coco_eval", faster_coco_eval),
    "torchmetrics": ("torchmetrics", torchmetrics),
    "torchmetrics, thresholds in double precision": ("torchmetrics", torchmetrics_in_double),
    "supervision": ("supervision", supervision),
    "ultralytics": ("ultralytics", ultralytics),
}
"""Row -> module and function; the first is what the others are held to."""


def main() -> None:
    """Print a line a tool."""
    parser = argparse.ArgumentParser(description=(__doc__ or "").partition("\n")[0])
    parser.add_argument("truth", type=Path)
    parser.add_argument("results", type=Path)
    arguments = parser.parse_args()
    problem = read(arguments.truth, arguments.results)
    print("| tool | version | AP | less pycocotools' |\n|---|---|---|---|")
    reference = None
    for row, (module, tool) in TOOLS.items():
        if find_spec(module) is None:
            continue
        with contextlib.redirect_stdout(io.StringIO()):
            ap = tool(problem)
        reference = ap if reference is None else reference
        print(f"| {row} | {version(module.replace('_', '-'))} | {ap:.6f} | {ap - reference:+.1e} |")


if __name__ == "__main__":
    main()
