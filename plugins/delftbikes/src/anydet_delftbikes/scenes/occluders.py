"""Things that stand or hang in front of a bicycle, in pixels of the picture."""

from __future__ import annotations

import colorsys

import numpy as np

from anydet_delftbikes.scenes.curves import box, ellipse, path
from anydet_delftbikes.scenes.strokes import Color, Stroke

Rectangle = tuple[float, float, float, float]
"""x1, y1, x2, y2 in pixels."""


def build_occluder(over: Rectangle, rng: np.random.Generator) -> list[Stroke]:
    """A bag, a box, a bush or a cloth that hides a rectangle."""
    return (_bag, _crate, _bush, _cloth)[rng.integers(4)](over, rng)


def _bag(over: Rectangle, rng: np.random.Generator) -> list[Stroke]:
    x1, y1, x2, y2 = over
    width, height, color = x2 - x1, y2 - y1, _color(rng, (0.3, 0.9))
    body = [(x1, y2), (x1 - 0.02 * width, y1 + 0.1 * height), (x1 + 0.1 * width, y1), (x2 - 0.1 * width, y1),
            (x2 + 0.02 * width, y1 + 0.1 * height), (x2, y2)]  # fmt: skip
    grip = [(x1 + 0.3 * width, y1), (x1 + 0.35 * width, y1 - 0.25 * height),
            (x1 + 0.65 * width, y1 - 0.25 * height), (x1 + 0.7 * width, y1)]  # fmt: skip
    seam = path((x1 + 0.1 * width, y1 + 0.3 * height), (x2 - 0.1 * width, y1 + 0.3 * height))
    return [
        Stroke(path(*grip), _darker(color), max(1.5, 0.05 * width)),
        Stroke(np.array(body), color),
        Stroke(seam, _darker(color), max(1.2, 0.04 * height), inked=False),
    ]


def _crate(over: Rectangle, rng: np.random.Generator) -> list[Stroke]:
    x1, y1, x2, y2 = over
    wood = _color(rng, (0.35, 0.6), (0.06, 0.11))
    size = (x2 - x1, y2 - y1)
    slats = [path((x1, y), (x2, y)) for y in np.linspace(y1, y2, 5)[1:-1]]
    corners = box(((x1 + x2) / 2, (y1 + y2) / 2), size, float(rng.uniform(-4, 4)))
    return [Stroke(corners, wood), *(Stroke(slat, _darker(wood), 1.5, inked=False) for slat in slats)]


def _bush(over: Rectangle, rng: np.random.Generator) -> list[Stroke]:
    x1, y1, x2, y2 = over
    width, height = x2 - x1, y2 - y1
    leaf = max(3.0, 0.2 * min(width, height))
    columns, rows = (max(2, int(np.ceil(side / leaf))) for side in (width, height))
    places = [(x, y) for y in np.linspace(y1, y2, rows + 1) for x in np.linspace(x1, x2, columns + 1)]
    leaves = []
    for at in rng.permutation(len(places)):
        radii = tuple(float(r) for r in leaf * rng.uniform(0.75, 1.1, 2))
        place = np.array(places[at]) + rng.uniform(-0.2, 0.2, 2) * leaf
        leaves.append(
            Stroke(ellipse(place, (radii[0], radii[1])), _color(rng, (0.4, 0.7), (0.24, 0.38)), inked=False)
        )
    return leaves


def _cloth(over: Rectangle, rng: np.random.Generator) -> list[Stroke]:
    x1, y1, x2, y2 = over
    color, stripe = _color(rng, (0.2, 0.8)), _color(rng, (0.2, 0.6))
    hem = np.linspace(x2, x1, 7)
    lower = [(x, y2 + (y2 - y1) * rng.uniform(0.0, 0.18)) for x in hem]
    outline = np.array(
        [(x1, y1 + 0.06 * (y2 - y1)), ((x1 + x2) / 2, y1 - 0.04 * (y2 - y1)), (x2, y1), *lower]
    )
    lines = [path((x, y1 + 1), (x, y2)) for x in np.linspace(x1, x2, 6)[1:-1]]
    width = max(1.2, 0.07 * (x2 - x1))
    return [Stroke(outline, color), *(Stroke(line, stripe, width, inked=False) for line in lines)]


def _color(
    rng: np.random.Generator, saturation: tuple[float, float], hue: tuple[float, float] = (0.0, 1.0)
) -> Color:
    rgb = colorsys.hsv_to_rgb(rng.uniform(*hue), rng.uniform(*saturation), rng.uniform(0.35, 0.85))
    red, green, blue = (round(255 * float(part)) for part in rgb)
    return red, green, blue


def _darker(color: Color) -> Color:
    red, green, blue = (round(0.6 * part) for part in color)
    return red, green, blue
