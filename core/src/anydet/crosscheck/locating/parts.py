"""What belongs to detections and images beside boxes, scores and classes: states, keypoints, poses, masks."""

from __future__ import annotations

from collections.abc import Iterator, Sequence

import numpy as np

from anydet.crosscheck.locating.finding import Finding, Step
from anydet.crosscheck.locating.keypoints import explain_keypoints
from anydet.crosscheck.locating.masks import explain_class_masks, explain_masks
from anydet.crosscheck.locating.poses import explain_poses
from anydet.crosscheck.locating.states import compare_rows, explain_states
from anydet.crosscheck.matching import Pairs
from anydet.geometry.placement import Placement
from anydet.types import DetectionColumns

_FEWEST = 3
"""Pairs that an explanation needs."""


def explain_parts(
    a: DetectionColumns, b: DetectionColumns, pairs: Pairs, places: Sequence[Placement] | None = None
) -> list[Finding]:
    """What B's parts are of A's; nothing where they are equal.

    Args:
        a: detections.
        b: detections of the same images.
        pairs: rows that belong together.
        places: where each image stands in the input, where that is known.
    """
    found = list(_images(a, b))
    if found:
        # Objects are made of the classes of pixels; with others, they are others.
        return found
    one, other = a.take(pairs.a), b.take(pairs.b)
    found = list(_missing(one, other))
    if len(pairs) < _FEWEST:
        return found
    return [
        *found,
        *explain_states(one, other),
        *explain_keypoints(one, other, places),
        *explain_poses(one, other, places),
        *explain_masks(one, other),
    ]


def _missing(a: DetectionColumns, b: DetectionColumns) -> Iterator[Finding]:
    """Parts that one side alone gives."""
    columns: tuple[tuple[Step, str], ...] = (
        ("states", "states"),
        ("keypoints", "keypoints"),
        ("poses", "poses"),
        ("masks", "masks"),
    )
    for step, name in columns:
        there = [getattr(side, name) is not None for side in (a, b)]
        if there[0] != there[1]:
            verb = "are left out" if there[0] else "are given, and A has none"
            yield Finding(step, f"{name} {verb}", f"{len(a)} pairs")


def _images(a: DetectionColumns, b: DetectionColumns) -> Iterator[Finding]:
    """Classes of pixels, and of images as wholes."""
    yield from explain_class_masks(a, b)
    scores = [None if side.about is None else side.about.class_scores for side in (a, b)]
    if scores[0] is None or scores[1] is None or len(scores[0]) < _FEWEST:
        return
    rows = np.isfinite(scores[0]).all(axis=1) & np.isfinite(scores[1]).all(axis=1)
    for text, where in compare_rows(scores[0][rows], scores[1][rows], "image class"):
        step: Step = "activation" if "softmax" in text or "sigmoid" in text else "classes"
        yield Finding(step, text, where.replace("pairs", "images"))
