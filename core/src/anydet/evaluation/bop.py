"""Average recall of poses as the BOP Challenge defines it, which finds partners by pose and not by box."""

from __future__ import annotations

import numpy as np

from anydet.types import FloatArray, IntArray

MSSD_THRESHOLDS = np.arange(0.05, 0.51, 0.05)
"""Of the object's diameter."""
MSPD_THRESHOLDS_PX = np.arange(5.0, 51.0, 5.0)
"""In an image ``REFERENCE_WIDTH_PX`` wide; larger in wider ones."""
REFERENCE_WIDTH_PX = 640


def count_correct(errors: FloatArray, thresholds: FloatArray) -> IntArray:
    """(T,) true poses of one object on one image that are found at each threshold.

    At each threshold the estimate of the highest score picks first: the free true pose of the lowest error,
    if that is below. Source: ``pose_matching.match_poses`` of bop_toolkit.

    Args:
        errors: (E, G) of each estimate to each true pose, the best score first, no more rows than columns
            (``most_likely``); what is not finite matches nothing.
        thresholds: (T,).
    """
    counts = np.zeros(len(thresholds), np.int64)
    for t, threshold in enumerate(thresholds.tolist()):
        free = np.where(errors < threshold, errors, np.inf)
        for row in range(len(free)):
            best = int(np.argmin(free[row]))
            # Strictly below, as in bop_toolkit; COCO's thresholds count the threshold itself.
            if free[row, best] < threshold:
                counts[t] += 1
                free[:, best] = np.inf
    return counts


def most_likely(scores: FloatArray, count: int) -> IntArray:
    """Positions of as many estimates of one object on one image as it has true poses, best score first."""
    return np.argsort(-scores, kind="stable")[:count]


def average_recall(correct: IntArray, targets: int) -> float | None:
    """Mean over the thresholds of the recall over all true poses; ``None`` where there are none."""
    return float(np.mean(correct / targets)) if targets else None
