"""What damage does to a part: it is folded and cracked; a wheel is buckled."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass, replace
from typing import TypeAlias

import numpy as np

from anydet.types import FloatArray
from anydet_delftbikes.scenes.bicycle import Bicycle
from anydet_delftbikes.scenes.curves import turned
from anydet_delftbikes.scenes.strokes import Stroke

Warp: TypeAlias = Callable[[FloatArray], FloatArray]
"""Moves points, (N, 2) to (N, 2)."""
_BARE = (250, 250, 244)


@dataclass(frozen=True, slots=True, eq=False)
class Fold:
    """Turns everything beyond a line.

    Attributes:
        pivot: (2,) a point on the line.
        axis: (2,) unit vector across the line, towards what is turned.
        turn_deg: by how much; positive is clockwise.
    """

    pivot: FloatArray
    axis: FloatArray
    turn_deg: float

    def __call__(self, points: FloatArray) -> FloatArray:
        """(N, 2) points after it."""
        beyond = ((points - self.pivot) @ self.axis > 0)[:, None]
        folded: FloatArray = np.where(beyond, turned(points, self.pivot, self.turn_deg), points)
        return folded


@dataclass(frozen=True, slots=True, eq=False)
class Buckle:
    """Pushes one side of a wheel in and the sides beside it out.

    Attributes:
        hub: (2,) center.
        angle_rad: where it was hit.
        depth: fraction of the radius.
    """

    hub: FloatArray
    angle_rad: float
    depth: float

    def __call__(self, points: FloatArray) -> FloatArray:
        """(N, 2) points after it."""
        spoke = points - self.hub
        away = np.arctan2(spoke[:, 1], spoke[:, 0]) - self.angle_rad
        # The difference of two angles, into -pi..pi: the dent must not depend on where arctan2 jumps.
        away = (away + np.pi) % (2 * np.pi) - np.pi
        scale = 1 - self.depth * np.exp(-((away / 0.5) ** 2)) + 0.06 * np.cos(3 * away)
        buckled: FloatArray = self.hub + spoke * scale[:, None]
        return buckled


def damage(part: str, strokes: Sequence[Stroke], bicycle: Bicycle, rng: np.random.Generator) -> Warp:
    """What happens to a part; the same warp also moves what is mounted on it."""
    if part.endswith("_wheel"):
        hub = bicycle.back_hub if part.startswith("back") else bicycle.front_hub
        return Buckle(hub, float(rng.uniform(-np.pi, np.pi)), float(rng.uniform(0.4, 0.55)))
    center, axis, half = _long_axis(strokes)
    pivot = center + axis * half * rng.uniform(-0.2, 0.2)
    # A bent bar breaks on its line, which may run far from the middle of its bounds.
    if all(stroke.width for stroke in strokes):
        line = strokes[0].points
        pivot = line[np.abs((line - pivot) @ axis).argmin()]
    axis = axis * rng.choice([-1.0, 1.0])
    tip = pivot + 0.5 * half * axis
    turn = float(rng.uniform(50, 80))
    down = turned(tip[None], pivot, turn)[0, 1] > turned(tip[None], pivot, -turn)[0, 1]
    return Fold(pivot, axis, turn if down else -turn)


def warp(strokes: Sequence[Stroke], by: Warp) -> list[Stroke]:
    """The same strokes with their points moved."""
    return [replace(stroke, points=by(stroke.points)) for stroke in strokes]


def crack(strokes: Sequence[Stroke], by: Warp, rng: np.random.Generator) -> list[Stroke]:
    """A jagged bright line where a part is folded; nothing on a wheel."""
    if not isinstance(by, Fold):
        return []
    across = np.array([-by.axis[1], by.axis[0]])
    points = np.concatenate([stroke.points for stroke in strokes]) - by.pivot
    near = np.abs(points @ by.axis) < 0.05
    reach = max(0.03, float(np.abs(points[near] @ across).max(initial=0.0)))
    steps = np.linspace(-1, 1, 6)[:, None] * across * min(reach, 0.12)
    jags = np.where(np.arange(6) % 2, 1.0, -1.0)[:, None] * by.axis * rng.uniform(0.012, 0.02)
    return [Stroke(by.pivot + steps + jags, _BARE, 0.012)]


def _long_axis(strokes: Sequence[Stroke]) -> tuple[FloatArray, FloatArray, float]:
    """Center, direction of the longest extent, and half of that extent."""
    points = np.concatenate([stroke.points for stroke in strokes])
    center = (points.min(axis=0) + points.max(axis=0)) / 2
    axis = np.linalg.svd(points - points.mean(axis=0), full_matrices=False)[2][0]
    along = (points - center) @ axis
    return center, axis, float(np.ptp(along) / 2)
