"""How well scores put right ones before wrong ones, whatever threshold is chosen."""

from __future__ import annotations

import numpy as np

from anydet.types import BoolArray, FloatArray


def average_precision(scores: FloatArray, right: BoolArray) -> float:
    """Sum over distinct scores of the recall gained there times the precision reached; not interpolated.

    Equal scores form one step, so that scores all equal give the fraction of right ones.

    Args:
        scores: (N,) in any order; may be infinite.
        right: (N,) of which some are.
    """
    order = np.argsort(-scores, kind="stable")
    ranked = scores[order]
    last = np.append(ranked[1:] != ranked[:-1], True)  # of a run of equal scores
    hits, kept = np.cumsum(right[order])[last], np.flatnonzero(last) + 1
    gained = np.diff(hits, prepend=0) / hits[-1]
    return float((gained * hits / kept).sum())


def area_under_roc(scores: FloatArray, right: BoolArray) -> float:
    """How often a right one scores above a wrong one, a draw counting half (Mann and Whitney's U).

    Args:
        scores: (N,) in any order; may be infinite.
        right: (N,) of which some are and some are not.
    """
    wrong, rights = np.sort(scores[~right]), scores[right]
    below, reached = (np.searchsorted(wrong, rights, side) for side in ("left", "right"))
    return float((below + reached).sum() / (2 * len(wrong) * len(rights)))
