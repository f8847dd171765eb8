"""Precision and recall from matches, in numpy; what engines without a faster way use."""

from __future__ import annotations

import numpy as np

from anydet.evaluation.evaluator import EngineArrays, EngineParams
from anydet.evaluation.matches import Matches
from anydet.types import BoolArray, FloatArray

# Added to the denominator of precision as pycocotools does; without it the last bits differ.
EPSILON = np.spacing(1)


def accumulate(matches: Matches, params: EngineParams) -> EngineArrays:
    """Arrays laid out, and equal in every bit, as those of ``COCOeval.accumulate`` of pycocotools."""
    counts = len(params.iou_thresholds), len(params.recall_thresholds), len(matches.positives)
    shape = (*counts, len(params.area_ranges_px), len(params.max_detections))
    precision, scores = np.full(shape, -1.0), np.full(shape, -1.0)
    recall = np.full((shape[0], *shape[2:]), -1.0)
    # Stable: of equal scores the earlier image leads, as in pycocotools' merge sort of each class.
    order = np.lexsort((-matches.scores, matches.class_ids))
    borders = np.searchsorted(matches.class_ids[order], np.arange(counts[2] + 1))
    for a in range(shape[3]):
        states = [matches.states(a * counts[0] + t, a) for t in range(counts[0])]
        true, false = (np.stack([state[i] for state in states]) for i in (0, 1))
        for c in np.flatnonzero(matches.positives[:, a]).tolist():
            rows = order[borders[c] : borders[c + 1]]
            for m, limit in enumerate(params.max_detections):
                # The limit is per image and class, so it cuts by rank on the image, not along the curve.
                used = rows[matches.ranks[rows] < limit]
                recall[:, c, a, m], precision[:, :, c, a, m], scores[:, :, c, a, m] = _curves(
                    true[:, used],
                    false[:, used],
                    matches.scores[used],
                    int(matches.positives[c, a]),
                    params.recall_thresholds,
                )
    return EngineArrays(precision, recall, scores)


def _curves(
    true: BoolArray, false: BoolArray, scores: FloatArray, positives: int, recall_thresholds: FloatArray
) -> tuple[FloatArray, FloatArray, FloatArray]:
    """(T,) highest recall; (T, R) interpolated precision, and the score where each is reached.

    ``true`` and ``false`` are (T, N), in descending score.
    """
    shape = (len(true), len(recall_thresholds))
    precision, reached = np.zeros(shape), np.zeros(shape)
    hits, misses = np.cumsum(true, axis=1, dtype=np.float64), np.cumsum(false, axis=1, dtype=np.float64)
    recall = hits / positives
    curve = hits / (misses + hits + EPSILON)
    curve = np.maximum.accumulate(curve[:, ::-1], axis=1)[:, ::-1]
    for t in range(len(true)):
        places = np.searchsorted(recall[t], recall_thresholds, side="left")
        known = places < len(scores)
        precision[t, known] = curve[t, places[known]]
        reached[t, known] = scores[places[known]]
    return recall[:, -1] if len(scores) else np.zeros(len(true)), precision, reached
