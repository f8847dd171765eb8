"""Scores beyond 0..1, which a repair brings into it: a few are wrong, most of a file are of another kind."""

from __future__ import annotations

from typing import Literal

import numpy as np

from anydet.contract.locations import show
from anydet.text import counted
from anydet.types import FloatArray

_PERCENT = 20.0
"""Scores of which none is below 0 and one is above this are hardly logits, but percent."""
_ROUNDING = 0.01
"""What low precision may put beyond 0..1."""
Change = Literal["", "clamp", "percent", "logits"]
_WORDS = {
    "clamp": "clamped to 0 or 1; the others stay",
    "percent": "taken for percent, all are divided by 100, which keeps their order",
    "logits": "taken for logits, a sigmoid is applied to all, which keeps their order",
}


def change_of(scores: FloatArray) -> Change:
    """What brings finite scores into 0..1, "" where they are; where most are beyond, all change alike."""
    beyond = int(np.count_nonzero((scores < 0) | (scores > 1)))
    if not beyond:
        return ""
    rounding = scores.min() >= -_ROUNDING and scores.max() <= 1 + _ROUNDING
    if rounding or beyond == 1 or 2 * beyond <= len(scores):
        return "clamp"
    return "percent" if scores.min() >= 0 and _PERCENT < scores.max() <= 100 else "logits"


def changed(scores: FloatArray, change: Change) -> FloatArray:
    """(N,) scores after a change."""
    if change == "percent":
        return scores / 100
    if change == "logits":
        with np.errstate(over="ignore"):
            return 1 / (1 + np.exp(-scores))
    return np.clip(scores, 0, 1) if change else scores


def words(scores: FloatArray, change: Change, first: str = "") -> str:
    """A line on a change; ``first`` is the place of the first score beyond 0..1."""
    beyond = np.flatnonzero((scores < 0) | (scores > 1))
    value = show(float(scores[beyond[0]]))
    there = f"{value} at {first}" if first else value
    return (
        f"{counted(len(beyond), 'score')} of {len(scores)} beyond 0..1, the first {there}: {_WORDS[change]}"
    )
