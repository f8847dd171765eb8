"""What became of every detection and every annotation, as small columns that a page can filter.

Each column agrees with the evaluator of the same name: counting its rows gives the numbers that
``anydet eval`` prints. A detection is right or wrong by COCO's greedy matching at IoU 0.5, in which a higher
threshold of scores takes detections away and changes nothing else; so one matching holds for all thresholds.
"""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

import numpy as np
from numpy.typing import NDArray

from anydet.dataclass import dataclass
from anydet.evaluation.analysis.calibration import CalibrationEvaluator
from anydet.evaluation.analysis.confusion import ConfusionEvaluator
from anydet.evaluation.analysis.tide import TideEvaluator
from anydet.evaluation.greedy_matching import Pairs, pair
from anydet.evaluation.pose_matches import camera_table, is_known, poses_of
from anydet.evaluation.protocol import AREAS
from anydet.geometry import pose_errors
from anydet.types import DetectionColumns, FloatArray, GroundTruthColumns, IntArray, ObjectModel

STEPS = 1000
"""Thresholds of scores that a page has: 0, 1 / 1000, ..., 1."""
WRONG, RIGHT, IGNORED = range(3)
"""By COCO's matching; ignored are those in crowds and those beyond 100 of a class on an image."""
NOT_JUDGED = 255
"""In ``error``: excused by a crowd, or not among the 100 best of its image, which TIDE looks at."""
NO_CELL = 65535
"""In ``cell``: not in the confusion matrix."""
SIZES = ("small", "medium", "large")
ASPECTS = (
    ("very tall", 0.0, 0.5),
    ("tall", 0.5, 0.8),
    ("squarish", 0.8, 1.25),
    ("wide", 1.25, 2.0),
    ("very wide", 2.0, np.inf),
)
"""Name, and the width by height from which on and below which a box has it."""
NO_STATE = 255
NO_ERROR = 65535

Column = NDArray[Any]


@dataclass(frozen=True, slots=True, eq=False)
class Judgements:
    """What became of the detections of one model, and of the annotations by it.

    Attributes:
        detections: name -> (N,) column.
        annotations: name -> (G,) column.
        pairs: COCO's matching, for pictures of a match.
    """

    detections: Mapping[str, Column]
    annotations: Mapping[str, Column]
    pairs: Pairs


def steps_of(scores: FloatArray) -> NDArray[np.int16]:
    """(N,) the highest k with a score of at least k / STEPS; -1 for scores below 0."""
    grid = np.arange(STEPS + 1) / STEPS
    return (np.searchsorted(grid, scores, side="right") - 1).astype(np.int16)


def judge(detections: DetectionColumns, ground_truth: GroundTruthColumns) -> Judgements:
    """The columns of one model.

    Detections have ``step`` (of the score), ``class``, ``outcome``, ``error`` (TIDE's), ``cell`` (true class
    in the confusion matrix, the number of classes for background), ``bin`` (of calibration), ``iou`` (with
    the annotation that it is matched to, in thousandths), ``size``, ``aspect``, and where there are any
    ``state``, ``true_state``, ``rotation`` (tenths of a degree) and ``translation`` (millimeters).
    Annotations have ``found`` (step of the detection that matches, or -1) and ``fate`` (bits: 1 TIDE's Miss,
    2 not found by TIDE's matching, 4 missed in the confusion matrix).

    Args:
        detections: over ``ground_truth.images``.
        ground_truth: the annotations.
    """
    pairs, steps = pair(detections, ground_truth), steps_of(detections.scores)
    outcome = np.full(len(detections), WRONG, np.uint8)
    outcome[pairs.hits] = RIGHT
    outcome[pairs.ignored] = IGNORED
    found = np.full(len(ground_truth), -1, np.int16)
    found[pairs.annotations[pairs.hits]] = steps[pairs.hits]
    fate = np.zeros(len(ground_truth), np.uint8)
    columns: dict[str, Column] = {
        "step": steps,
        "class": detections.class_ids.astype(np.uint16),
        "outcome": outcome,
        "error": _errors(detections, ground_truth, fate),
        "cell": _cells(detections, ground_truth, fate),
        "bin": _bins(detections, ground_truth),
        "iou": np.rint(1000 * pairs.iou).astype(np.uint16),
        **shapes_of(detections.areas, detections.boxes_xywh_px),
        **_states(detections, ground_truth, pairs),
        **_pose_errors(detections, ground_truth, pairs),
    }
    return Judgements(columns, {"found": found, "fate": fate}, pairs)


def annotation_columns(ground_truth: GroundTruthColumns) -> dict[str, Column]:
    """What annotations are, whatever a model finds: ``class``, ``crowd``, ``size``, ``aspect``."""
    labels = ground_truth.labels
    return {
        "class": labels.class_ids.astype(np.uint16),
        "crowd": labels.iscrowd.astype(np.uint8),
        **shapes_of(labels.areas, labels.boxes_xywh_px),
    }


def shapes_of(areas: FloatArray, boxes_xywh_px: FloatArray) -> dict[str, Column]:
    """Position in ``SIZES`` by COCO's areas, and in ``ASPECTS`` by width / height.

    Args:
        areas: (N,) square pixels.
        boxes_xywh_px: (N, 4).
    """
    size = np.searchsorted([AREAS[name][1] for name in SIZES[:-1]], areas, side="left")
    width, height = boxes_xywh_px[:, 2], boxes_xywh_px[:, 3]
    ratio = np.divide(width, height, out=np.full(len(width), np.inf), where=height > 0)
    aspect = np.searchsorted([low for _, low, _ in ASPECTS[1:]], ratio, side="right")
    return {"size": size.astype(np.uint8), "aspect": aspect.astype(np.uint8)}


def _errors(
    detections: DetectionColumns, ground_truth: GroundTruthColumns, fate: NDArray[np.uint8]
) -> NDArray[np.uint8]:
    """(N,) position in TIDE's ``ERRORS``, or ``TRUE``; fates are marked."""
    errors = TideEvaluator(ground_truth.classes).find_errors(detections, ground_truth)
    kinds = np.full(len(detections), NOT_JUDGED, np.uint8)
    kinds[errors.rows] = errors.kinds
    fate[errors.missed] |= 1
    fate[~errors.found & ~ground_truth.labels.iscrowd] |= 2
    return kinds


def _cells(
    detections: DetectionColumns, ground_truth: GroundTruthColumns, fate: NDArray[np.uint8]
) -> NDArray[np.uint16]:
    """(N,) true class of each detection in the confusion matrix; what it has as missed is marked."""
    at = ConfusionEvaluator(ground_truth.classes).assign(detections, ground_truth)
    cells = np.full(len(detections), NO_CELL, np.uint16)
    cells[at.detections] = ground_truth.labels.class_ids[at.annotations]
    cells[at.background] = len(ground_truth.classes)
    fate[at.missed] |= 4
    return cells


def _bins(detections: DetectionColumns, ground_truth: GroundTruthColumns) -> NDArray[np.uint8]:
    """(N,) bin of the calibration diagram."""
    bins = CalibrationEvaluator(ground_truth.classes).bins
    edges = np.linspace(0, 1, bins + 1)
    places = np.clip(np.searchsorted(edges, detections.scores, side="left") - 1, 0, bins - 1)
    return places.astype(np.uint8)


def _states(
    detections: DetectionColumns, ground_truth: GroundTruthColumns, pairs: Pairs
) -> dict[str, Column]:
    """Predicted and true state of matched detections, where both sides have states."""
    true = ground_truth.labels.states
    if true is None or detections.states is None or not (true >= 0).any():
        return {}
    columns = np.full((2, len(detections)), NO_STATE, np.uint8)
    hits = pairs.hits[true[pairs.annotations[pairs.hits]] >= 0]
    stated = detections.states[hits]
    columns[0, hits] = np.where(stated < 0, NO_STATE, stated)
    columns[1, hits] = true[pairs.annotations[hits]]
    return {"state": columns[0], "true_state": columns[1]}


def _pose_errors(
    detections: DetectionColumns, ground_truth: GroundTruthColumns, pairs: Pairs
) -> dict[str, Column]:
    """Errors of matched poses to the nearest pose in which the object looks the same, where there are any."""
    labels = ground_truth.labels
    if labels.poses is None or detections.poses is None:
        return {}
    ours, theirs = camera_table(detections, ground_truth)
    found = poses_of(detections.poses, detections.boxes_xywh_px, detections.image_index, ours)
    true = poses_of(labels.poses, labels.boxes_xywh_px, ground_truth.image_index, theirs)
    rows, to = pairs.hits, pairs.annotations[pairs.hits]
    known = is_known(found[rows]) & is_known(true[to])
    rows, to = rows[known], to[known]
    nearest = _nearest(found[rows], true[to], labels.class_ids[to], ground_truth.objects or {})
    columns = np.full((2, len(detections)), NO_ERROR, np.uint16)
    columns[0, rows] = np.rint(10 * pose_errors.rotation_error_deg(found[rows], nearest))
    columns[1, rows] = np.rint(
        np.minimum(1000 * pose_errors.translation_error_m(found[rows], nearest), NO_ERROR - 1)
    )
    return {"rotation": columns[0], "translation": columns[1]}


def _nearest(
    found: FloatArray, true: FloatArray, class_ids: IntArray, models: Mapping[int, ObjectModel]
) -> FloatArray:
    """(M, 4, 4) true poses, of symmetric objects the one nearest to the estimate."""
    nearest = np.array(true)
    for class_id in np.unique(class_ids).tolist():
        if class_id in models:
            rows = np.flatnonzero(class_ids == class_id)
            nearest[rows] = pose_errors.closest_equivalents(found[rows], true[rows], models[class_id])
    return nearest
