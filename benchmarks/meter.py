#!/usr/bin/env python3
"""What a meter costs in a training loop: ``anydet.Meter`` beside torchmetrics and faster-coco-eval.

    python benchmarks/meter.py                                 # val2017's size
    python benchmarks/meter.py --images 500 --detections 20
    python benchmarks/meter.py --skip torchmetrics-pycocotools # the slowest by far

Predictions and targets are tensors of the CPU in batches, as a validation loop has them. "update" is the sum
over all batches, "compute" what the end of the epoch costs; faster-coco-eval has no meter and is given
dictionaries batch by batch, as rfdetr's evaluator does. All take turns in this process, round by round. The
AP of all must agree to 1e-6, as torchmetrics rounds it to float32.
"""

from __future__ import annotations

import argparse
import contextlib
import io
import statistics
import sys
import time
import warnings
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from importlib.util import find_spec
from typing import Any

import numpy as np
import torch

import anydet

CLASSES = 80
SIDE = 640


@dataclass(frozen=True)
class Timing:
    """Seconds of one epoch."""

    update: float
    compute: float
    ap: float

    @property
    def total(self) -> float:
        """Of both."""
        return self.update + self.compute


Batches = list[tuple[list[dict[str, Any]], list[dict[str, Any]]]]


def make_batches(images: int, detections: int, annotations: int, batch: int, seed: int = 0) -> Batches:
    """Targets, and detections around them: the better the score, the nearer."""
    rng = np.random.default_rng(seed)
    predictions, targets = [], []
    for image in range(images):
        count = int(rng.poisson(annotations))
        sides = np.exp(rng.uniform(np.log(8), np.log(300), (count, 2)))
        corner = rng.uniform(0, SIDE - 8, (count, 2))
        boxes = np.concatenate([corner, corner + sides], axis=1)
        labels = rng.integers(0, CLASSES, count)
        score = rng.uniform(0.001, 1, detections)
        near = rng.integers(0, max(1, count), detections)
        if count:
            shift = rng.normal(0, 1, (detections, 4)) * 0.2 * (1.1 - score[:, None]) * np.tile(sides[near], 2)
            found = boxes[near] + shift
            guess = np.where(
                rng.random(detections) < score, labels[near], rng.integers(0, CLASSES, detections)
            )
        else:
            found, guess = (
                np.tile([0.0, 0.0, 20.0, 20.0], (detections, 1)),
                rng.integers(0, CLASSES, detections),
            )
        # Corners of quarters of pixels, which float32 subtracts without rounding.
        found = np.round(found * 4) / 4
        found[:, 2:] = np.maximum(found[:, 2:], found[:, :2] + 1)
        predictions.append(
            {
                "boxes": torch.tensor(found, dtype=torch.float32),
                "scores": torch.tensor(score, dtype=torch.float32),
                "labels": torch.tensor(guess),
            }
        )
        targets.append(
            {
                "boxes": torch.tensor(np.round(boxes * 4) / 4, dtype=torch.float32),
                "labels": torch.tensor(labels),
                "image_id": image,
            }
        )
    return [(predictions[i : i + batch], targets[i : i + batch]) for i in range(0, images, batch)]


def run_anydet(batches: Batches) -> Timing:
    """Ours."""
    meter = anydet.Meter(CLASSES)
    start = time.perf_counter()
    for batch in batches:
        meter.update(*batch)
    middle = time.perf_counter()
    ap = meter.compute().metrics["AP"]
    return Timing(middle - start, time.perf_counter() - middle, ap or 0.0)


def run_torchmetrics(batches: Batches, backend: str) -> Timing:
    """``MeanAveragePrecision`` with COCO's thresholds."""
    from torchmetrics.detection import MeanAveragePrecision

    # Its own thresholds are rounded to float32, which changes the third digit of AP.
    metric = MeanAveragePrecision(
        iou_thresholds=np.linspace(0.5, 0.95, 10).tolist(),
        rec_thresholds=np.linspace(0, 1, 101).tolist(),
        backend=backend,
    )
    metric.warn_on_many_detections = False
    start = time.perf_counter()
    for batch in batches:
        metric.update(*batch)
    middle = time.perf_counter()
    ap = float(metric.compute()["map"])
    return Timing(middle - start, time.perf_counter() - middle, ap)


def run_faster(batches: Batches) -> Timing:
    """``COCOeval_faster`` on dictionaries that are made batch by batch."""
    from faster_coco_eval import COCO, COCOeval_faster

    found: list[dict[str, Any]] = []
    known: list[dict[str, Any]] = []
    start = time.perf_counter()
    for predictions, targets in batches:
        for one, target in zip(predictions, targets, strict=True):
            image = target["image_id"]
            columns = (_xywh(one["boxes"]), one["scores"].tolist(), one["labels"].tolist())
            found += [
                {"image_id": image, "category_id": label, "bbox": box, "score": score}
                for box, score, label in zip(*columns, strict=True)
            ]
            columns = (_xywh(target["boxes"]), target["labels"].tolist())
            known += [
                {"image_id": image, "category_id": label, "bbox": box, "area": box[2] * box[3], "iscrowd": 0}
                for box, label in zip(*columns, strict=True)
            ]
    middle = time.perf_counter()
    for i, one in enumerate(known, start=1):
        one["id"] = i
    images = [{"id": i} for i in range(sum(len(targets) for _, targets in batches))]
    categories = [{"id": c, "name": str(c)} for c in range(CLASSES)]
    truth = COCO({"images": images, "annotations": known, "categories": categories})
    run = COCOeval_faster(truth, truth.loadRes(found), "bbox")
    run.run()
    return Timing(middle - start, time.perf_counter() - middle, float(run.stats[0]))


def _xywh(boxes: Any) -> list[list[float]]:
    boxes = boxes.clone()
    boxes[:, 2:] -= boxes[:, :2]
    listed: list[list[float]] = boxes.tolist()
    return listed


def contestants() -> Iterator[tuple[str, Callable[[Batches], Timing]]]:
    """Those that are installed, by name."""
    yield "anydet", run_anydet
    if find_spec("faster_coco_eval"):
        yield "faster-coco-eval", run_faster
    if find_spec("torchmetrics"):
        if find_spec("faster_coco_eval"):
            yield "torchmetrics-faster", lambda batches: run_torchmetrics(batches, "faster_coco_eval")
        yield "torchmetrics-pycocotools", lambda batches: run_torchmetrics(batches, "pycocotools")


def main() -> None:
    """Measure those that are installed, and print the table."""
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    parser.add_argument("--images", type=int, default=5000)
    parser.add_argument("--detections", type=int, default=100, help="of an image")
    parser.add_argument("--annotations", type=float, default=7.3, help="of an image, on average")
    parser.add_argument("--batch", type=int, default=16)
    parser.add_argument("--rounds", type=int, default=3)
    parser.add_argument("--skip", action="append", default=[])
    given = parser.parse_args()
    # torchmetrics warns of much that has nothing to do with time.
    warnings.simplefilter("ignore")
    batches = make_batches(given.images, given.detections, given.annotations, given.batch)
    runs = {name: run for name, run in contestants() if name not in given.skip}
    found: dict[str, list[Timing]] = {name: [] for name in runs}
    for _ in range(given.rounds):
        for name, run in runs.items():
            with contextlib.redirect_stdout(io.StringIO()):
                found[name].append(run(batches))
    aps = [timings[0].ap for timings in found.values()]
    if max(aps) - min(aps) > 1e-6:
        sys.exit(f"the contestants do not agree on AP: {dict(zip(found, aps, strict=True))}")
    show(found)


def show(found: dict[str, list[Timing]]) -> None:
    """Medians, and how many times as long as ours."""
    ours = {
        name: statistics.median(getattr(one, name) for one in found["anydet"])
        for name in ("compute", "total")
    }
    print("| | update | compute | compute, ratio | both, ratio |\n|---|---:|---:|---:|---:|")
    for name, timings in found.items():
        update, compute, total = (
            statistics.median(getattr(one, part) for one in timings)
            for part in ("update", "compute", "total")
        )
        ratios = f"{compute / ours['compute']:.1f} | {total / ours['total']:.1f}"
        print(f"| {name} | {update:.2f} s | {compute:.2f} s | {ratios} |")


if __name__ == "__main__":
    main()
