"""``Bicycle``: the measures and colors of one bicycle, and the frame that holds its parts.

Its plane: the ground is y = 0, y points down, the back wheel stands at x = 0, the front wheel to the right; a
unit is about a meter.
"""

from __future__ import annotations

import colorsys
from dataclasses import dataclass

import numpy as np

from anydet.types import FloatArray
from anydet_delftbikes.scenes.curves import near, path, ring
from anydet_delftbikes.scenes.strokes import Color, Stroke

STEEL: Color = (176, 180, 186)
RUBBER: Color = (44, 44, 48)


@dataclass(frozen=True, slots=True)
class Paint:
    """Colors that differ between bicycles."""

    frame: Color
    tire: Color
    mudguard: Color
    leather: Color
    case: Color
    guard: Color
    lock: Color


@dataclass(frozen=True, slots=True)
class Bicycle:
    """One bicycle.

    Attributes:
        radius: of the wheels.
        length: between the hubs.
        saddle: height of the saddle above the ground.
        crank_deg: where the front pedal is, 0 being straight ahead.
        step: how far the top tube hangs down, 0 (diamond frame) to 1 (step-through).
        paint: its colors.
    """

    radius: float
    length: float
    saddle: float
    crank_deg: float
    step: float
    paint: Paint

    @property
    def back_hub(self) -> FloatArray:
        """Center of the back wheel."""
        return np.array([0.0, -self.radius])

    @property
    def front_hub(self) -> FloatArray:
        """Center of the front wheel."""
        return np.array([self.length, -self.radius])

    @property
    def crank(self) -> FloatArray:
        """Center of the cranks."""
        return np.array([0.43 * self.length, -0.28])

    @property
    def pedals(self) -> tuple[FloatArray, FloatArray]:
        """Where the front and the back pedal are."""
        angle = np.radians(self.crank_deg)
        arm = 0.17 * np.array([np.cos(angle), np.sin(angle)])
        return self.crank + arm, self.crank - arm

    @property
    def seat(self) -> FloatArray:
        """Middle of the saddle."""
        return np.array([0.24 * self.length, -self.saddle])

    @property
    def seat_cluster(self) -> FloatArray:
        """Top of the seat tube."""
        joint: FloatArray = self.crank + 0.74 * (self.seat - self.crank)
        return joint

    @property
    def head(self) -> tuple[FloatArray, FloatArray]:
        """Top and bottom of the head tube."""
        return np.array([self.length - 0.22, -0.87]), np.array([self.length - 0.17, -0.71])

    @property
    def stem(self) -> FloatArray:
        """Where the steer is clamped."""
        return np.array([self.length - 0.25, -1.0])

    @property
    def rack(self) -> FloatArray:
        """End of the rack, which holds light and reflector."""
        return np.array([-self.radius - 0.03, -0.7])

    def frame(self) -> list[Stroke]:
        """What is always there: tubes, cranks, rack."""
        top, bottom = self.head
        joint = near(top, 0.01, 0.04)
        low = self.seat_cluster + 0.75 * self.step * (self.crank - self.seat_cluster)
        tubes = [
            path(self.seat, self.crank),
            path(self.crank, bottom),
            path(low, near(0.5 * (low + joint), 0, 0.1 * self.step), joint),
            path(self.back_hub, self.crank),
            path(self.back_hub, self.seat_cluster),
            path(self.stem, top, bottom, near(bottom, 0.03, 0.08), self.front_hub),
        ]
        rack = [path(self.seat_cluster, self.rack), path(self.rack, near(self.rack, -0.05, 0.3))]
        front, back = self.pedals
        chainring = [Stroke(ring(self.crank, 0.075), STEEL, 0.018), Stroke(path(front, back), STEEL, 0.026)]
        bars = [*rack, path(near(top, 0.02, 0.08), near(bottom, 0.06, -0.09))]
        return (
            [Stroke(bar, RUBBER, 0.016) for bar in bars]
            + [Stroke(tube, self.paint.frame, 0.034) for tube in tubes]
            + chainring
        )


def build_bicycle(rng: np.random.Generator) -> Bicycle:
    """A bicycle of random measures and colors."""
    return Bicycle(
        radius=rng.uniform(0.31, 0.35),
        length=rng.uniform(1.0, 1.12),
        saddle=rng.uniform(0.86, 0.96),
        crank_deg=rng.uniform(-55, -12),
        step=float(rng.choice([0.0, 0.45, 0.9])),
        paint=_mix(rng),
    )


def _mix(rng: np.random.Generator) -> Paint:
    frame = _color(rng, (0.0, 1.0), (0.55, 0.95), (0.35, 0.8))
    dark = _color(rng, (0.0, 1.0), (0.0, 0.2), (0.15, 0.3))
    cream = _color(rng, (0.1, 0.16), (0.1, 0.3), (0.8, 0.95))
    return Paint(
        frame=frame,
        tire=RUBBER if rng.random() < 0.8 else cream,
        mudguard=(frame, dark, cream, STEEL)[rng.integers(4)],
        leather=(dark, _color(rng, (0.04, 0.09), (0.5, 0.8), (0.3, 0.55)))[rng.integers(2)],
        case=(frame, dark, cream)[rng.integers(3)],
        guard=(dark, cream, _color(rng, (0.0, 1.0), (0.4, 0.9), (0.4, 0.8)))[rng.integers(3)],
        lock=(dark, _color(rng, (0.0, 1.0), (0.6, 0.9), (0.4, 0.8)))[rng.integers(2)],
    )


def _color(
    rng: np.random.Generator,
    hue: tuple[float, float],
    saturation: tuple[float, float],
    value: tuple[float, float],
) -> Color:
    """A color at random within limits of 0..1."""
    red, green, blue = colorsys.hsv_to_rgb(
        *(float(rng.uniform(*limits)) for limits in (hue, saturation, value))
    )
    return round(255 * red), round(255 * green), round(255 * blue)
