"""What is measured in a scenario: AP, what is found and rejected at the score threshold, errors of poses."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, replace

import numpy as np

from anydet.errors import AnydetError
from anydet.evaluation.analysis.analyzed import AnalyzedResult
from anydet.evaluation.evaluator import Engine
from anydet.evaluation.greedy_matching import pair
from anydet.evaluation.reading import Inputs
from anydet.evaluation.run import run_evaluators
from anydet.plugins.manager import Plugins
from anydet.scenarios.scenario import Scenario
from anydet.scenarios.selections import select
from anydet.scenarios.setting import COCO
from anydet.types import DetectionColumns, GroundTruthColumns

IOU = 0.5
"""Lowest IoU at which a detection finds an object, for recall, precision and rejection rate."""
_OF_COCO = ("AP", "AP50", "AP75", "AR100")
_OF_POSES = {"rotation_error_deg": "rotation_deg_mean", "depth_error_m": "depth_m_mean"}


@dataclass(frozen=True, slots=True)
class Measures:
    """The numbers of a scenario.

    Attributes:
        images: that count.
        objects: annotations that count.
        ignored: annotations that count neither way.
        numbers: by short name (``thresholds.NUMBERS``) and by ``EVALUATOR/METRIC``; ``None`` where there is
            nothing to measure on.
        per_class: name -> AP of each class with objects.
        failed: what went wrong in evaluators.
    """

    images: int
    objects: int
    ignored: int
    numbers: Mapping[str, float | None]
    per_class: Mapping[str, float | None]
    failed: Mapping[str, AnydetError]


def measure(
    scenario: Scenario,
    inputs: Inputs,
    *,
    evaluators: tuple[str, ...],
    score_threshold: float,
    plugins: Plugins,
    engine: Engine,
) -> Measures | None:
    """The numbers of predictions; ``None`` where the scenario selects no object.

    Args:
        scenario: what is selected.
        inputs: predictions on the changed data set, and its labels.
        evaluators: that run where they apply.
        score_threshold: lowest score that recall, precision and rejection rate count.
        plugins: where evaluators come from.
        engine: matches boxes for AP.

    Raises:
        EvaluationError: the data set does not say what a selection needs.
    """
    found, truth = inputs.detections, inputs.ground_truth
    for selection in scenario.selections:
        found, truth = select(found, truth, selection)
    objects = int(np.count_nonzero(~truth.labels.iscrowd))
    if not objects:
        return None
    run = run_evaluators(
        [replace(inputs, detections=found, ground_truth=truth)],
        evaluators,
        required=False,
        plugins=plugins,
        engine=engine,
    )
    if COCO in run.failed:
        raise run.failed[COCO]
    # Without any object that counts in a class, COCO has no numbers.
    numbers = {**dict.fromkeys((f"{COCO}/{name}" for name in _OF_COCO), None), **run.metrics}
    short = {name: numbers[f"{COCO}/{name}"] for name in _OF_COCO}
    short |= at_threshold(found, truth, score_threshold)
    if "pose" in run.results:
        short |= {name: numbers[f"pose/{metric}"] for name, metric in _OF_POSES.items()}
    return Measures(
        len(truth.images),
        objects,
        len(truth) - objects,
        {**short, **numbers},
        _per_class(run.results.get(COCO), truth),
        run.failed,
    )


def at_threshold(
    found: DetectionColumns, truth: GroundTruthColumns, score_threshold: float
) -> dict[str, float | None]:
    """Recall, precision and rejection rate of the detections from a score on.

    A detection finds an object of its class at IoU 0.5, in COCO's greedy order. One that matches an
    annotation that is ignored, or is itself not looked at, is neither right nor wrong. An image is rejected
    where it has an object that counts and no detection at all.
    """
    sure = found.take(found.scores >= score_threshold)
    pairs = pair(sure, truth, iou_threshold=IOU, max_detections=None)
    hits = len(pairs.hits)
    counted = ~pairs.ignored
    if sure.lenient is not None:
        counted &= ~(sure.lenient & (pairs.annotations < 0))
    right = ~truth.labels.iscrowd
    shown = np.unique(truth.image_index[right])
    rejected = np.setdiff1d(shown, sure.image_index)
    objects, detections = int(np.count_nonzero(right)), int(np.count_nonzero(counted))
    return {
        "recall": hits / objects if objects else None,
        "precision": hits / detections if detections else None,
        "rejection_rate": len(rejected) / len(shown) if len(shown) else None,
    }


def _per_class(result: object, truth: GroundTruthColumns) -> dict[str, float | None]:
    if not isinstance(result, AnalyzedResult):
        return {}
    present = set(truth.labels.class_ids[~truth.labels.iscrowd].tolist())
    return {str(row["name"]): row["AP"] for row in result.result.per_class if row["class_id"] in present}
