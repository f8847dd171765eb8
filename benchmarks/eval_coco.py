#!/usr/bin/env python3
"""Time and memory of `anydet eval-coco` beside pycocotools itself, on made-up work of val2017's size.

    python benchmarks/eval_coco.py --runs 1

Both are whole processes from JSON files to the 12 numbers, run in turn; the numbers must agree in every bit.
The predictions are the same boxes twice: a file of the contract for anydet, COCO results for pycocotools.
"""

from __future__ import annotations

import argparse
import json
import os
import statistics
import subprocess
import sys
import tempfile
import time
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np

CLASSES = 80
WIDTH, HEIGHT = 640, 480

PYCOCOTOOLS = """
import json, sys
from pycocotools.coco import COCO
from pycocotools.cocoeval import COCOeval
truth = COCO(sys.argv[1])
run = COCOeval(truth, truth.loadRes(sys.argv[2]), "bbox")
run.evaluate(); run.accumulate(); run.summarize()
json.dump(run.stats.tolist(), open(sys.argv[3], "w"))
"""


@dataclass(frozen=True)
class Work:
    """The files of one problem."""

    truth: Path
    results: Path
    predictions: Path


def make_work(folder: Path, images: int, annotations: int, detections: int, seed: int = 0) -> Work:
    """Ground truth, COCO results and a predictions file with the same boxes.

    Half of the detections lie around an annotation of their image, of its class more often than not.
    """
    rng = np.random.default_rng(seed)
    truth_image = np.sort(rng.integers(0, images, annotations))
    truth_class = (CLASSES * rng.random(annotations) ** 2).astype(np.int64)
    truth_boxes = _boxes(rng, annotations)
    image = np.repeat(np.arange(images), detections // images)
    first = np.searchsorted(truth_image, np.arange(images + 1))
    count = np.diff(first)[image]
    near = (rng.random(len(image)) < 0.5) & (count > 0)
    target = first[image] + (rng.random(len(image)) * np.maximum(count, 1)).astype(np.int64)
    target = np.minimum(target, annotations - 1)
    jitter = truth_boxes[target] + rng.normal(0, 0.1, (len(image), 4)) * truth_boxes[target][:, [2, 3, 2, 3]]
    boxes = np.where(near[:, None], jitter, _boxes(rng, len(image)))
    boxes[:, 2:] = np.maximum(boxes[:, 2:], 1)
    same = near & (rng.random(len(image)) < 0.8)
    classes = np.where(same, truth_class[target], rng.integers(0, CLASSES, len(image)))
    scores = np.round(np.where(same, rng.beta(2, 2, len(image)), rng.beta(1, 6, len(image))), 4)
    boxes, truth_boxes = np.round(boxes, 2), np.round(truth_boxes, 2)
    return Work(
        _write(folder / "instances_val.json", _truth(images, truth_image, truth_class, truth_boxes, rng)),
        _write(folder / "results.json", _results(image, classes, boxes, scores)),
        _write(folder / "predictions.json", _predictions(images, image, classes, boxes, scores)),
    )


def _boxes(rng: np.random.Generator, count: int) -> Any:
    """(N, 4) x, y, width, height; sizes log-uniform from 8 to 400 pixels."""
    size = np.exp(rng.uniform(np.log(8), np.log(400), (count, 2)))
    return np.concatenate([rng.random((count, 2)) * np.maximum([WIDTH, HEIGHT] - size, 1), size], axis=1)


def _truth(images: int, image: Any, classes: Any, boxes: Any, rng: np.random.Generator) -> dict[str, Any]:
    areas = np.round(boxes[:, 2] * boxes[:, 3] * rng.uniform(0.4, 1, len(boxes)), 2).tolist()
    crowd = (rng.random(len(boxes)) < 0.01).astype(int).tolist()
    rows = zip(image.tolist(), classes.tolist(), boxes.tolist(), areas, crowd, strict=True)
    return {
        "images": [
            {"id": i + 1, "file_name": f"{i:012}.jpg", "width": WIDTH, "height": HEIGHT}
            for i in range(images)
        ],
        "categories": [{"id": i + 1, "name": f"class {i}"} for i in range(CLASSES)],
        "annotations": [
            {"id": i, "image_id": m + 1, "category_id": c + 1, "bbox": b, "area": a, "iscrowd": k}
            for i, (m, c, b, a, k) in enumerate(rows, start=1)
        ],
    }


def _results(image: Any, classes: Any, boxes: Any, scores: Any) -> list[dict[str, Any]]:
    rows = zip(image.tolist(), classes.tolist(), boxes.tolist(), scores.tolist(), strict=True)
    return [{"image_id": m + 1, "category_id": c + 1, "bbox": b, "score": s} for m, c, b, s in rows]


def _predictions(images: int, image: Any, classes: Any, boxes: Any, scores: Any) -> list[dict[str, Any]]:
    entries: list[dict[str, Any]] = [{"image": f"{i:012}.jpg", "detections": []} for i in range(images)]
    rows = zip(image.tolist(), classes.tolist(), boxes.tolist(), scores.tolist(), strict=True)
    for m, c, b, s in rows:
        entries[m]["detections"].append({"class_id": c, "score": s, "bbox": b})
    return entries


def _write(path: Path, value: Any) -> Path:
    path.write_text(json.dumps(value))
    return path


def measure(command: Sequence[str | Path]) -> tuple[float, float]:
    """Wall seconds and peak resident MB of one process; raises where it fails."""
    start = time.perf_counter()
    process = subprocess.Popen(
        [str(part) for part in command], stdout=subprocess.DEVNULL, stderr=subprocess.DEVNULL
    )
    _, status, usage = os.wait4(process.pid, 0)
    seconds = time.perf_counter() - start
    process.returncode = os.waitstatus_to_exitcode(status)
    if process.returncode:
        raise SystemExit(f"exit code {process.returncode}: {' '.join(map(str, command))}")
    return seconds, usage.ru_maxrss / 1024


def main() -> None:
    """Make the work, run everything in turn, print a table."""
    parser = argparse.ArgumentParser(description=(__doc__ or "").partition("\n")[0])
    parser.add_argument("--images", type=int, default=5_000)
    parser.add_argument("--annotations", type=int, default=36_000)
    parser.add_argument("--detections", type=int, default=500_000)
    parser.add_argument("--runs", type=int, default=1)
    arguments = parser.parse_args()
    with tempfile.TemporaryDirectory() as temporary:
        folder = Path(temporary)
        work = make_work(folder, arguments.images, arguments.annotations, arguments.detections)
        ours, theirs = folder / "ours.json", folder / "theirs.json"
        anydet = [sys.executable, "-m", "anydet.cli", "eval-coco", "--dataset", work.truth]
        anydet += ["--predictions", work.predictions, "--bbox-format", "xywh_abs"]
        contestants = {
            "pycocotools": [sys.executable, "-c", PYCOCOTOOLS, work.truth, work.results, theirs],
            "anydet eval-coco": [*anydet, "--json", ours],
            "anydet eval-coco --dry-run": [*anydet, "--dry-run"],
        }
        found: dict[str, list[tuple[float, float]]] = {name: [] for name in contestants}
        for _ in range(arguments.runs):
            for name, command in contestants.items():
                found[name].append(measure(command))
        metrics = [-1 if v is None else v for v in json.loads(ours.read_text())["metrics"].values()]
        equal = metrics == json.loads(theirs.read_text())
        megabytes = work.predictions.stat().st_size / 1e6
    print(
        f"{arguments.images} images, {arguments.annotations} annotations, {arguments.detections} detections "
        f"({megabytes:.0f} MB), {arguments.runs} runs in turn"
    )
    base = statistics.median(seconds for seconds, _ in found["pycocotools"])
    for name, runs in found.items():
        seconds, memory = (statistics.median(column) for column in zip(*runs, strict=True))
        print(f"{name:28} {seconds:7.2f} s  {seconds / base:5.2f}x  {memory:6.0f} MB")
    print(f"AP {metrics[0]:.6f}; all 12 numbers {'equal in every bit' if equal else 'DIFFER'}")
    raise SystemExit(not equal)


if __name__ == "__main__":
    main()
