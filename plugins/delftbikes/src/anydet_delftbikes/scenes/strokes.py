"""Strokes that drawings are made of: lines and filled outlines, and how they come onto a canvas."""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import dataclass, replace
from typing import TypeAlias

import numpy as np
from PIL import Image, ImageDraw

from anydet.types import FloatArray, Size

Color: TypeAlias = tuple[int, int, int]
"""Red, green, blue, 0..255."""

SAMPLES = 3
"""A picture is drawn so many times as large, then scaled down: that makes edges smooth."""
_INK: Color = (24, 24, 28)
_INK_PX = 0.7
_THINNEST_PX = 1.2


@dataclass(frozen=True, slots=True, eq=False)
class Stroke:
    """A stroke or a filled outline.

    Attributes:
        points: (N, 2) x, y; y points down.
        color: of the stroke or the area.
        width: of the stroke, in the units of ``points``; 0 fills the outline that the points make.
        inked: whether a dark line surrounds it.
    """

    points: FloatArray
    color: Color
    width: float = 0.0
    inked: bool = True


@dataclass(frozen=True, slots=True, eq=False)
class View:
    """How a drawing's plane is seen.

    Attributes:
        homography: (3, 3) from the plane to pixels of the picture.
        scale: pixels a unit, for the width of strokes.
    """

    homography: FloatArray
    scale: float

    def project(self, stroke: Stroke) -> Stroke:
        """The stroke in pixels."""
        points = np.column_stack([stroke.points, np.ones(len(stroke.points))]) @ self.homography.T
        # Thinner strokes would vanish when the canvas is scaled down.
        width = max(stroke.width * self.scale, _THINNEST_PX) if stroke.width else 0.0
        return replace(stroke, points=points[:, :2] / points[:, 2:], width=width)


def look(source: FloatArray, target: FloatArray) -> View:
    """The view that takes four corners of the plane to four points in pixels, both (4, 2)."""
    rows = []
    for (x, y), (u, v) in zip(source.tolist(), target.tolist(), strict=True):
        rows += [[x, y, 1, 0, 0, 0, -u * x, -u * y], [0, 0, 0, x, y, 1, -v * x, -v * y]]
    solved = np.linalg.solve(np.array(rows, np.float64), target.ravel())
    side = np.linalg.norm(target[1] - target[0]) / np.linalg.norm(source[1] - source[0])
    # Eight unknowns: the last entry of a homography is free, and set to 1.
    return View(np.append(solved, 1.0).reshape(3, 3), float(side))


def bounds_xyxy(strokes: Iterable[Stroke]) -> tuple[float, float, float, float]:
    """The smallest rectangle around projected strokes, in pixels."""
    low, high = np.full(2, np.inf), np.full(2, -np.inf)
    for stroke in strokes:
        reach = stroke.width / 2 + _INK_PX * stroke.inked
        low = np.minimum(low, stroke.points.min(axis=0) - reach)
        high = np.maximum(high, stroke.points.max(axis=0) + reach)
    return float(low[0]), float(low[1]), float(high[0]), float(high[1])


def draw(canvas: Image.Image, strokes: Iterable[Stroke], samples: int = SAMPLES) -> None:
    """Draw projected strokes on a canvas that is ``samples`` times as large as the picture."""
    pen = ImageDraw.Draw(canvas)
    for stroke in strokes:
        points = stroke.points * samples
        if stroke.inked:
            _trace(pen, points, _INK, (stroke.width + 2 * _INK_PX) * samples, close=not stroke.width)
        if stroke.width:
            _trace(pen, points, stroke.color, stroke.width * samples)
        else:
            pen.polygon(_flat(points), fill=stroke.color)


def coverage(strokes: Iterable[Stroke], size_wh: Size) -> Image.Image:
    """A picture with 255 where projected strokes are and 0 elsewhere."""
    canvas = Image.new("L", size_wh)
    pen = ImageDraw.Draw(canvas)
    for stroke in strokes:
        if stroke.width:
            _trace(pen, stroke.points, 255, stroke.width)
        else:
            pen.polygon(_flat(stroke.points), fill=255)
    return canvas


def _trace(
    pen: ImageDraw.ImageDraw, points: FloatArray, color: Color | int, width: float, *, close: bool = False
) -> None:
    """A line with round joints and ends."""
    if close:
        points = np.concatenate([points, points[:1]])
    pen.line(_flat(points), fill=color, width=max(1, round(width)), joint="curve")
    for x, y in (points[0], points[-1]):
        pen.ellipse([x - width / 2, y - width / 2, x + width / 2, y + width / 2], fill=color)


def _flat(points: FloatArray) -> list[float]:
    flat: list[float] = points.ravel().tolist()
    return flat
