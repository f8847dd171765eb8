"""Dull textured backgrounds of synthetic scenes, and light that falls off across the image."""

from __future__ import annotations

import colorsys

import numpy as np
from PIL import Image

from anydet.types import FloatArray, Size


def background(rng: np.random.Generator, size_wh: Size) -> FloatArray:
    """(H, W, 3) a dull color with texture at three scales."""
    hsv = rng.random(), rng.uniform(0.0, 0.25), rng.uniform(0.3, 0.8)
    image = np.tile(255.0 * np.array(colorsys.hsv_to_rgb(*hsv)), (size_wh[1], size_wh[0], 1))
    for cells, contrast in ((4, 30.0), (16, 20.0), (64, 15.0)):
        image += noise(rng, size_wh, cells)[..., None] * contrast * rng.random() * rng.uniform(0.85, 1.15, 3)
    return image


def noise(rng: np.random.Generator, size_wh: Size, cells: int) -> FloatArray:
    """(H, W) smooth noise of unit variance on a grid of ``cells`` x ``cells``."""
    grid = Image.fromarray(rng.normal(size=(cells, cells)).astype(np.float32))
    return np.asarray(grid.resize(size_wh, Image.Resampling.BICUBIC), np.float64)


def light(rng: np.random.Generator, size_wh: Size) -> FloatArray:
    """(H, W) brightness: a level, and a slope across the image."""
    level, slope_x, slope_y = rng.uniform(0.85, 1.1), *rng.uniform(-0.15, 0.15, 2)
    x, y = np.linspace(-1, 1, size_wh[0]), np.linspace(-1, 1, size_wh[1])
    brightness: FloatArray = level + slope_x * x[None, :] + slope_y * y[:, None]
    return brightness
