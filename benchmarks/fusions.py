#!/usr/bin/env python3
"""Time of the fusions of test-time augmentation beside those of the package ensemble-boxes, in one run.

    python benchmarks/fusions.py                     # 3 views of 300 boxes, of 1, 20 and 80 classes
    python benchmarks/fusions.py --views 2 --boxes 1000 --rounds 21

Each object is found twice in each view, so that clusters are as many and as large as a detector's before its
own NMS. Ours is all that ``fuse`` does on results in pixels; theirs the call on arrays in normalized
coordinates, its compiler (numba) warm. Milliseconds are of the CPU, medians of rounds in turn; a ratio above
1 says how many times as fast ours is. Both results are compared, boxes in normalized coordinates and scores.
"""

from __future__ import annotations

import argparse
import time
import warnings
from collections.abc import Callable
from functools import partial
from statistics import median
from typing import Any

import numpy as np
from ensemble_boxes import nms, non_maximum_weighted, soft_nms, weighted_boxes_fusion

from anydet.plugins.manager import Plugins
from anydet.prediction.hooks import FusionSettings, ViewResult
from anydet.types import ImagePredictions

SIZE_WH = (640, 480)
SCALE = np.array([640.0, 480.0, 640.0, 480.0])
IOU = 0.55
METHODS: dict[str, tuple[dict[str, Any], Callable[..., Any]]] = {
    "wbf": (
        {"iou_threshold": IOU, "score_threshold": 0},
        partial(weighted_boxes_fusion, iou_thr=IOU, skip_box_thr=0.0),
    ),
    "nmw": (
        {"iou_threshold": IOU, "score_threshold": 0},
        partial(non_maximum_weighted, iou_thr=IOU, skip_box_thr=0.0),
    ),
    "soft-nms": (
        {"decay": "gaussian", "sigma": 0.5, "score_threshold": 0.001},
        partial(soft_nms, method=2, sigma=0.5, thresh=0.001),
    ),
    "nms": ({"iou_threshold": IOU}, partial(nms, iou_thr=IOU)),
}
"""Ours by options, and theirs."""


def make_views(views: int, boxes: int, classes: int) -> list[ViewResult]:
    """Results of several views of one image with ``boxes / 2`` objects."""
    rng = np.random.default_rng([views, boxes, classes])
    objects = boxes // 2
    corners, sides = rng.uniform(0.1, 0.7, (objects, 2)), rng.uniform(0.02, 0.2, (objects, 2))
    class_ids = rng.integers(0, classes, objects)
    found = []
    for _ in range(views):
        moved = np.repeat(np.concatenate([corners, corners + sides], axis=1), 2, axis=0)
        moved += rng.normal(0, 0.08, moved.shape) * np.repeat(np.tile(sides, 2), 2, axis=0)
        moved = np.concatenate([np.minimum(*np.split(moved, 2, 1)), np.maximum(*np.split(moved, 2, 1))], 1)
        scores = rng.uniform(0.01, 1, len(moved))
        one = ImagePredictions("a.jpg", SIZE_WH, moved * SCALE, scores, np.repeat(class_ids, 2))
        found.append(ViewResult(one, 1.0, (0.0, 0.0, 640.0, 480.0)))
    return found


def same(name: str, ours: ImagePredictions, theirs: Any) -> str:
    """Whether both found the same; their soft_nms gives scores as they were, so that boxes alone count."""
    boxes, scores, labels = map(np.asarray, theirs)
    if len(scores) != len(ours):
        return f"{len(ours)} and {len(scores)} detections"
    mine = np.column_stack([ours.scores, ours.class_ids, ours.boxes_xyxy_px / SCALE])
    other = np.column_stack([scores, labels, boxes])
    mine, other = (rows[np.lexsort((rows[:, 2], rows[:, 1]))] for rows in (mine, other))
    difference = np.abs(mine - other)[:, name == "soft-nms" :].max(initial=0)
    return "equal to 1e-6" if difference <= 1e-6 else f"differ by {difference:.1e}"


def race(ours: Callable[[], Any], theirs: Callable[[], Any], rounds: int) -> tuple[float, float]:
    """Median milliseconds of the CPU of both, run in turn."""
    times: list[list[float]] = [[], []]
    for run in (ours, theirs):
        run()
    for _ in range(rounds):
        for run, taken in zip((ours, theirs), times, strict=True):
            start = time.process_time()
            run()
            taken.append(1000 * (time.process_time() - start))
    return median(times[0]), median(times[1])


def main() -> None:
    """Race each fusion on each number of classes, and print a table."""
    parser = argparse.ArgumentParser(description=(__doc__ or "").partition("\n")[0])
    parser.add_argument("--views", type=int, default=3)
    parser.add_argument("--boxes", type=int, default=300, help="of each view")
    parser.add_argument("--classes", type=int, nargs="+", default=[1, 20, 80])
    parser.add_argument("--rounds", type=int, default=11)
    arguments = parser.parse_args()
    plugins = Plugins([])
    print(f"{arguments.views} views of {arguments.boxes} boxes, medians of {arguments.rounds} rounds")
    print(
        "| fusion | classes | anydet CPU ms | ensemble-boxes CPU ms | ratio | results |\n"
        "|---|---|---|---|---|---|"
    )
    for name, (options, theirs) in METHODS.items():
        fusion = plugins.build("fusions", name, FusionSettings(plugins.options("fusions", name, options)))
        for classes in arguments.classes:
            views = make_views(arguments.views, arguments.boxes, classes)
            found = [view.predictions for view in views]
            given = (
                [one.boxes_xyxy_px / SCALE for one in found],
                [one.scores for one in found],
                [one.class_ids for one in found],
            )
            with warnings.catch_warnings():
                warnings.simplefilter("ignore")  # numba's and theirs, of boxes at the border
                mine, other = race(lambda: fusion.fuse(views), lambda: theirs(*given), arguments.rounds)  # noqa: B023
                results = same(name, fusion.fuse(views), theirs(*given))
            print(f"| {name} | {classes} | {mine:.2f} | {other:.2f} | {other / mine:.1f} | {results} |")


if __name__ == "__main__":
    main()
