"""States of detections that two adapters give: their order, and what is done to their scores."""

from __future__ import annotations

from collections.abc import Callable, Mapping

import numpy as np

from anydet.crosscheck.locating.columns import EQUAL, error_of, ranges, relations
from anydet.crosscheck.locating.finding import Finding
from anydet.types import DetectionColumns, FloatArray


def softmax(x: FloatArray) -> FloatArray:
    """Of each row."""
    weights = np.exp(x - x.max(axis=1, keepdims=True))
    found: FloatArray = weights / weights.sum(axis=1, keepdims=True)
    return found


def one_hot(x: FloatArray) -> FloatArray:
    """1 for the largest number of each row, else 0."""
    found: FloatArray = (x == x.max(axis=1, keepdims=True)).astype(np.float64)
    return found


_ROWS: Mapping[str, Callable[[FloatArray, FloatArray], tuple[FloatArray, FloatArray]]] = {
    "a softmax is applied once more": lambda x, y: (softmax(x), y),
    "the softmax is missing": lambda x, y: (x, softmax(y)),
    "a sigmoid is applied in the place of the softmax": lambda x, y: (
        x,
        softmax(np.log(np.clip(y, 1e-12, 1)) - np.log(np.clip(1 - y, 1e-12, 1))),
    ),
    "the largest is 1, and the others are 0": lambda x, y: (one_hot(x), y),
}
"""What B may do to rows; A's and B's numbers are equal then."""


def explain_states(a: DetectionColumns, b: DetectionColumns) -> list[Finding]:
    """What B's states are of A's, row by row; nothing where they are equal."""
    x, y = a.state_scores, b.state_scores
    if x is not None and y is not None:
        found = compare_rows(x, y, "state")
        if found:
            return [
                Finding("states", text, where, certain=not text.endswith("differently"))
                for text, where in found
            ]
    return _numbers(a, b)


def compare_rows(x: FloatArray, y: FloatArray, noun: str) -> list[tuple[str, str]]:
    """Cause and evidence of what (N, C) probabilities of B are of those of A.

    Args:
        x: of A.
        y: of B.
        noun: what a column is of.
    """
    if x.shape != y.shape:
        return [(f"there are {y.shape[1]} {noun}s, not {x.shape[1]}", f"{len(x)} pairs")]
    known = np.isfinite(x).all(axis=1) & np.isfinite(y).all(axis=1)
    x, y = x[known], y[known]
    if not len(x) or error_of(x, y) <= EQUAL:
        return []
    where = f"{noun} scores of {len(x)} pairs differ by up to {np.abs(x - y).max():.3g}"
    for text, change in _ROWS.items():
        left, right = change(x, y)
        if error_of(left, right) <= 2 * EQUAL:
            return [(f"{text}, of {noun} scores", where)]
    found = []
    for one in relations(x, y):
        if one.kind == "order":
            moved = list(zip(one.columns, one.sources, strict=True))[:5]
            pairs = ", ".join(f"{column} is A's {source}" for column, source in moved)
            found.append((f"{noun}s are in another order: {pairs}", where))
        elif one.kind == "function":
            found.append((f"{one.text}, of {noun} scores", where))
        elif one.kind == "line":
            text = f"{noun} scores {ranges(one.columns)} are multiplied by {one.factor:.4g}"
            found.append((f"{text}, plus {one.offset:.4g}", where))
    return found or [(f"{noun} scores are decoded differently", where)]


def _numbers(a: DetectionColumns, b: DetectionColumns) -> list[Finding]:
    """The likeliest states, where scores are equal or nobody states them."""
    if a.states is None or b.states is None:
        return []
    known = (a.states >= 0) & (b.states >= 0)
    x, y = a.states[known], b.states[known]
    differ = np.count_nonzero(x != y)
    # Two states of nearly the same score may change places by rounding.
    if differ <= 0.02 * len(x):
        return []
    evidence = f"{differ} of {len(x)} pairs have another state"
    gaps = np.unique(y - x)
    if len(gaps) == 1:
        return [Finding("states", f"state ids are {int(gaps[0]):+d}", evidence)]
    mapped = {int(s): int(np.bincount(y[x == s]).argmax()) for s in np.unique(x)}
    if np.mean(np.array([mapped[s] for s in x.tolist()]) == y) > 0.97:
        moved = ", ".join(f"{s} is {to}" for s, to in mapped.items() if s != to)
        return [Finding("states", f"states are in another order: {moved}", evidence)]
    return [Finding("states", "states are chosen differently", evidence, certain=False)]
