"""Outlines, colors and keypoints of the shapes in synthetic scenes.

All live in the shape's own frame: unit radius, tip at (0, -1), y points down.
"""

from __future__ import annotations

import numpy as np

from anydet.types import ClassTable, FloatArray

KEYPOINTS = ("center", "tip", "right", "tail", "left")
"""Names of the keypoints that every shape has."""


def _ring(radii: list[float], *, turn: float = 0.0) -> FloatArray:
    """(V, 2) vertices at these radii, evenly around the center, the first ``turn`` radians from the top."""
    angle = np.arange(len(radii)) * 2 * np.pi / len(radii) + turn
    vertices: FloatArray = np.stack([np.sin(angle), -np.cos(angle)], axis=1) * np.array(radii)[:, None]
    return vertices


_CROSS_X = [1, 1, 3, 3, 1, 1, -1, -1, -3, -3, -1, -1]
_CROSS_Y = [3, 1, 1, -1, -1, -3, -3, -1, -1, 1, 1, 3]

OUTLINES: dict[str, FloatArray] = {
    "circle": _ring([1.0] * 64),
    "square": _ring([1.0] * 4, turn=np.pi / 4),
    "triangle": _ring([1.0] * 3),
    "star": _ring([1.0, 0.45] * 5),
    "cross": np.stack([_CROSS_X, _CROSS_Y], axis=1) / np.hypot(3, 1),
    "hexagon": _ring([1.0] * 6),
}
"""Class name -> (V, 2) outline."""

HUES_DEG = {"circle": 0.0, "square": 120.0, "triangle": 220.0, "star": 50.0, "cross": 300.0, "hexagon": 175.0}
"""Class name -> mean hue; a painted shape's hue is within ``HUE_JITTER_DEG`` of it."""
HUE_JITTER_DEG = 10.0

CLASSES = ClassTable(tuple(OUTLINES))


def _reach(outline: FloatArray, direction: FloatArray) -> float:
    """Distance from the center to the outline in a direction: the ray against each edge."""
    start, edge = outline, np.roll(outline, -1, axis=0) - outline
    cross = direction[0] * edge[:, 1] - direction[1] * edge[:, 0]
    with np.errstate(divide="ignore", invalid="ignore"):
        distance = (start[:, 0] * edge[:, 1] - start[:, 1] * edge[:, 0]) / cross
        along = (start[:, 0] * direction[1] - start[:, 1] * direction[0]) / cross
    hits = distance[(distance > 0) & (along > -1e-9) & (along < 1 + 1e-9)]
    return float(hits.min())


def _keypoints(outline: FloatArray) -> FloatArray:
    """(5, 2) the center, then 80 % of the way to the outline at the tip, right, tail and left."""
    directions = np.array([[0.0, -1.0], [1.0, 0.0], [0.0, 1.0], [-1.0, 0.0]])
    points = [0.8 * _reach(outline, direction) * direction for direction in directions]
    return np.stack([np.zeros(2), *points])


KEYPOINTS_OF: dict[str, FloatArray] = {name: _keypoints(outline) for name, outline in OUTLINES.items()}
"""Class name -> (5, 2) where the points of ``KEYPOINTS`` are."""
