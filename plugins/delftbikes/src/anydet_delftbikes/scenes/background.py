"""What is behind a bicycle: a wall, a floor, dull things on both."""

from __future__ import annotations

import numpy as np
from PIL import Image

from anydet.data.scenes.textures import background
from anydet.types import FloatArray, Size
from anydet_delftbikes.scenes.curves import box, ellipse
from anydet_delftbikes.scenes.strokes import Color, Stroke, coverage, draw

_SHADOW = 0.62


def paint_background(
    rng: np.random.Generator, size_wh: Size, ground: FloatArray, samples: int
) -> Image.Image:
    """A canvas ``samples`` times as large as the picture.

    Args:
        rng: generator of all choices.
        size_wh: of the picture.
        ground: (2, 2) where the wheels stand, in pixels of the picture.
        samples: how many times larger the canvas is.
    """
    width, height = size_wh
    wall, floor = (np.clip(0.55 * background(rng, size_wh) + 95, 0, 255) for _ in range(2))
    horizon = int(np.clip(ground[:, 1].min() - rng.uniform(0.02, 0.2) * height, 1, height - 1))
    wall[horizon:] = floor[horizon:]
    picture = Image.fromarray(wall.round().astype(np.uint8)).resize((width * samples, height * samples))
    draw(picture, _clutter(rng, size_wh, horizon), samples)
    center, reach = ground.mean(axis=0) * samples, float(np.ptp(ground[:, 0])) * samples
    shadow = coverage([Stroke(ellipse(center, (0.8 * reach, 0.05 * reach)), (0, 0, 0))], picture.size)
    return Image.composite(picture.point(lambda value: value * _SHADOW), picture, shadow)


def _clutter(rng: np.random.Generator, size_wh: Size, horizon: int) -> list[Stroke]:
    """Panels and posts on the wall, up to four."""
    width, _ = size_wh
    strokes = []
    for _ in range(rng.integers(5)):
        level = int(rng.integers(100, 210))
        color: Color = (level, level + int(rng.integers(-8, 9)), level + int(rng.integers(-12, 13)))
        size = (rng.uniform(0.03, 0.25) * width, rng.uniform(0.2, 1.2) * horizon)
        place = (rng.uniform(0, width), horizon - size[1] / 2)
        strokes.append(Stroke(box(place, size), color, inked=bool(rng.integers(2))))
    return strokes
