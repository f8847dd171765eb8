"""Curves as points: arcs, ellipses, rounded lines. All are (N, 2), y points down."""

from __future__ import annotations

import numpy as np

from anydet.types import FloatArray

Point = tuple[float, float]
_STEPS = 6


def near(point: FloatArray, dx: float, dy: float) -> FloatArray:
    """The point so far from another; positive ``dy`` is below it."""
    moved: FloatArray = point + np.array([dx, dy])
    return moved


def arc(center: FloatArray | Point, radius: float, start_deg: float, stop_deg: float) -> FloatArray:
    """Points on a circle; angles from the x axis, negative ones above it."""
    steps = max(8, int(abs(stop_deg - start_deg) / 6))
    angle = np.radians(np.linspace(start_deg, stop_deg, steps))
    points: FloatArray = np.asarray(center) + radius * np.column_stack([np.cos(angle), np.sin(angle)])
    return points


def ring(center: FloatArray | Point, radius: float) -> FloatArray:
    """A whole circle; its last point is its first."""
    return arc(center, radius, 0, 360)


def ellipse(center: FloatArray | Point, radii: Point) -> FloatArray:
    """An ellipse along the axes."""
    points: FloatArray = np.asarray(center) + ring((0.0, 0.0), 1.0) * np.array(radii)
    return points


def box(center: FloatArray | Point, size: Point, turn_deg: float = 0.0) -> FloatArray:
    """Corners of a rectangle of this width and height, turned about its center."""
    corners = np.array([[-1, -1], [1, -1], [1, 1], [-1, 1]]) * np.array(size) / 2
    return np.asarray(center) + turned(corners, (0.0, 0.0), turn_deg)


def path(*points: FloatArray | Point) -> FloatArray:
    """A line through points, with points between them, so that it can be bent."""
    corners = np.array([np.asarray(point) for point in points], np.float64)
    along = np.arange(_STEPS)[:, None] / _STEPS
    between = corners[:-1, None] + along * np.diff(corners, axis=0)[:, None]
    return np.concatenate([between.reshape(-1, 2), corners[-1:]])


def turned(points: FloatArray, pivot: FloatArray | Point, turn_deg: float) -> FloatArray:
    """Points turned about a pivot; positive is clockwise, as y points down."""
    c, s = np.cos(np.radians(turn_deg)), np.sin(np.radians(turn_deg))
    turned_points: FloatArray = (points - np.asarray(pivot)) @ np.array([[c, s], [-s, c]]) + np.asarray(pivot)
    return turned_points
