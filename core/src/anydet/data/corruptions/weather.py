"""Weather: ``snow``, ``frost``, ``fog`` and ``brightness``."""

from __future__ import annotations

from functools import lru_cache
from importlib.resources import files

import numpy as np
from numpy.typing import NDArray
from PIL import Image

from anydet.data.corruptions import filters
from anydet.data.corruptions.levels import FRACTIONS, to_levels
from anydet.types import ByteImage, FloatArray, IntArray

_SNOW = (
    (0.1, 0.3, 3, 0.5, 10, 4, 0.8),
    (0.2, 0.3, 2, 0.5, 12, 4, 0.7),
    (0.55, 0.3, 4, 0.9, 12, 8, 0.7),
    (0.55, 0.3, 4.5, 0.85, 12, 8, 0.65),
    (0.55, 0.3, 2.5, 0.85, 12, 12, 0.55),
)
"""(mean and deviation of the noise that becomes flakes, their size, the least that is a flake, radius and
deviation of the smear in pixels, how much of the image's brightness stays)"""
_FROST = ((1, 0.4), (0.8, 0.6), (0.7, 0.7), (0.65, 0.7), (0.6, 0.75))
"""(weight of the image, weight of the texture)"""
# The third is the second again, in the original too, which makes it twice as likely.
_TEXTURES = ("frost1.webp", "frost2.webp", "frost2.webp", "frost4.jpg", "frost5.jpg", "frost6.jpg")
_FOG = ((1.5, 2.0), (2.0, 2.0), (2.5, 1.7), (2.5, 1.5), (3.0, 1.4))
"""(weight of the fog, by what the size of its details is divided from one scale to the next)"""
_BRIGHTER = (0.1, 0.2, 0.3, 0.4, 0.5)
_GRAY = np.array([0.299, 0.587, 0.114], np.float32).astype(np.float64)
_CUBIC = -0.75
"""Parameter of the cubic interpolation, as in OpenCV."""
# Which of value, t, p and q is red, green and blue in each sixth of the circle of hues.
_SECTORS = np.array([[0, 1, 2], [3, 0, 2], [2, 0, 1], [2, 3, 0], [1, 2, 0], [0, 2, 3]], np.uint8)


def snow(image: ByteImage, severity: int, rng: np.random.Generator) -> ByteImage:
    """Falling flakes over a paler image."""
    mean, deviation, size, least, radius, sigma, kept = _SNOW[severity - 1]
    height, width = image.shape[:2]
    noise = rng.standard_normal((height, width))
    noise *= deviation
    noise += mean
    flakes = filters.zoom_center(noise, size)
    flakes[flakes < least] = 0
    smeared = filters.motion_blur(
        np.clip(flakes, 0, 1).astype(np.float64), int(radius), sigma, rng.uniform(-135, -45)
    )
    layer = np.round(smeared[:height, :width] * 255).astype(np.uint8)
    clean = FRACTIONS.astype(np.float32)[image]
    pale = (_gray(clean) * np.float32(1.5) + np.float32(0.5))[..., None]
    snowy: FloatArray = (kept * clean + (1 - kept) * np.maximum(clean, pale)).astype(np.float64)
    snowy += FRACTIONS[layer][..., None]
    # Once more turned upside down, so that not all flakes fall the same way.
    snowy += FRACTIONS[layer[::-1, ::-1]][..., None]
    return to_levels(snowy)


def _gray(rgb: NDArray[np.float32]) -> NDArray[np.float32]:
    """(H, W) of (H, W, 3), rounded where OpenCV rounds: green first, then red and blue by fused additions."""
    gray: NDArray[np.float32] = (rgb[..., 1] * _GRAY[1]).astype(np.float32)
    for channel in (0, 2):
        gray = (rgb[..., channel] * _GRAY[channel] + gray).astype(np.float32)
    return gray


def frost(image: ByteImage, severity: int, rng: np.random.Generator) -> ByteImage:
    """Under a part of a photograph of frost."""
    of_image, of_texture = _FROST[severity - 1]
    texture = _texture(_TEXTURES[int(rng.integers(0, len(_TEXTURES)))])
    (height, width), (tall, wide) = image.shape[:2], texture.shape[:2]
    scale = 1.1 * max(1.0, height / tall, width / wide)
    tall, wide = int(np.ceil(tall * scale)), int(np.ceil(wide * scale))
    top, left = int(rng.integers(0, tall - height)), int(rng.integers(0, wide - width))
    ice = _resized_part(texture, (tall, wide), (top, left), (height, width))
    shades = np.arange(256.0)
    frosty = (of_image * shades)[image]
    frosty += (of_texture * shades)[ice]
    return np.clip(frosty, 0, 255, out=frosty).astype(np.uint8)


@lru_cache(maxsize=len(_TEXTURES))
def _texture(name: str) -> ByteImage:
    file = files("anydet.data.corruptions") / "textures" / name
    with file.open("rb") as stream, Image.open(stream) as texture:
        return np.array(texture.convert("RGB"))


def _resized_part(
    image: ByteImage, size_hw: tuple[int, int], corner: tuple[int, int], part_hw: tuple[int, int]
) -> ByteImage:
    """A window of the image, had it been resized by OpenCV's cubic interpolation.

    OpenCV rounds the weights on some processors and not on others, by which 4 % of the numbers differ by one.
    Here they are not rounded.
    """
    channels = image.shape[2]
    columns, by_column = _cubic(image.shape[1], size_hw[1], slice(corner[1], corner[1] + part_hw[1]))
    rows, by_row = _cubic(image.shape[0], size_hw[0], slice(corner[0], corner[0] + part_hw[0]))
    first, last = int(rows.min()), int(rows.max()) + 1
    source = image[first:last].reshape(last - first, -1)
    wide = np.zeros((last - first, part_hw[1] * channels), np.float32)
    for tap in range(4):
        taken = np.take(source, filters.column_places(columns[tap], channels), axis=1)
        wide += taken * np.repeat(by_column[tap], channels)
    resized = np.empty((part_hw[0], wide.shape[1]), np.uint8)
    for block in filters.row_blocks(resized.shape):
        total = np.zeros(resized[block].shape, np.float32)
        for tap in range(4):
            total += np.take(wide, rows[tap][block] - first, axis=0) * by_row[tap][block][:, None]
        resized[block] = np.clip(np.rint(total, out=total), 0, 255, out=total)
    return resized.reshape(*part_hw, channels)


def _cubic(source: int, target: int, window: slice) -> tuple[IntArray, NDArray[np.float32]]:
    """(4, N) indices of samples, and their weights, of the part ``window`` of a side that is resized."""
    at = ((np.arange(window.start, window.stop) + 0.5) * (1.0 / (target / source)) - 0.5).astype(np.float32)
    left = np.floor(at)
    x, a = at - left, np.float32(_CUBIC)
    outer = ((a * (x + 1) - 5 * a) * (x + 1) + 8 * a) * (x + 1) - 4 * a
    near, far = (((a + 2) * t - (a + 3)) * t * t + 1 for t in (x, 1 - x))
    indices = left.astype(np.int64) + np.arange(-1, 3)[:, None]
    return np.clip(indices, 0, source - 1), np.stack([outer, near, far, 1 - outer - near - far])


def fog(image: ByteImage, severity: int, rng: np.random.Generator) -> ByteImage:
    """Under plasma, a random landscape of brightness."""
    weight, decay = _FOG[severity - 1]
    height, width = image.shape[:2]
    side = 1 << (max(image.shape) - 1).bit_length()
    fogged = plasma(side, decay, rng)[:height, :width] * np.float32(weight)
    brightest = FRACTIONS[image.max()]
    result = np.empty_like(image)
    for rows in filters.row_blocks(image.shape):
        block = FRACTIONS[image[rows]]
        block += fogged[rows, :, None]
        block *= brightest
        block /= brightest + weight
        result[rows] = to_levels(block)
    return result


def plasma(side: int, decay: float, rng: np.random.Generator) -> NDArray[np.float32]:
    """(side, side) a random landscape from 0 to 1, which goes on at the opposite edge: diamond-square.

    Args:
        side: a power of two.
        decay: by what the height of details is divided from one scale to the next.
        rng: draws the heights.
    """
    land = np.zeros((side, side), np.float32)
    step, height = side, 100.0
    while step >= 2:
        half = step // 2

        def raised(total: NDArray[np.float32], height: float = height) -> FloatArray:
            # As uniform(-height, height), whose sum of two terms has these bits.
            heights = rng.random(total.shape)
            heights *= 2 * height
            heights += -height
            heights *= height
            heights += total / 4
            return heights

        corners = land[::step, ::step]
        total = corners + np.roll(corners, -1, axis=0)
        total += np.roll(total, -1, axis=1)
        land[half::step, half::step] = raised(total)
        centers = land[half::step, half::step]
        across = corners + np.roll(corners, -1, axis=1)
        down = corners + np.roll(corners, -1, axis=0)
        land[::step, half::step] = raised(centers + np.roll(centers, 1, axis=0) + across)
        land[half::step, ::step] = raised(centers + np.roll(centers, 1, axis=1) + down)
        step, height = half, height / decay
    land -= land.min()
    land /= land.max()
    return land


def brightness(image: ByteImage, severity: int, rng: np.random.Generator) -> ByteImage:
    """The value of hue, saturation and value is raised."""
    del rng
    added = _BRIGHTER[severity - 1]
    result = np.empty_like(image)
    for rows in filters.row_blocks(image.shape):
        result[rows] = _brighter(FRACTIONS[np.moveaxis(image[rows], -1, 0)], added)
    return result


def _brighter(rgb: FloatArray, added: float) -> ByteImage:
    """(3, H, W) to (H, W, 3), in the operations of scikit-image's ``rgb2hsv`` and ``hsv2rgb``."""
    red, green, blue = rgb
    value, least = rgb.max(axis=0), rgb.min(axis=0)
    delta = value - least
    with np.errstate(invalid="ignore", divide="ignore"):  # of gray and black pixels, put right below
        hue = np.where(
            blue == value,
            4.0 + (red - green) / delta,
            np.where(green == value, 2.0 + (blue - red) / delta, (green - blue) / delta),
        )
        saturation = delta / value
    hue = hue / 6.0 % 1.0
    gray = delta == 0.0
    hue[gray] = saturation[gray] = 0.0
    value = np.clip(value + added, 0, 1)
    hue *= 6
    sector = np.floor(hue)
    fraction = hue - sector
    choices = (
        value,
        value * (1 - (1 - fraction) * saturation),
        value * (1 - saturation),
        value * (1 - fraction * saturation),
    )
    which = _SECTORS[sector.astype(np.uint8) % 6]
    channels = [np.choose(which[..., channel], choices) for channel in range(3)]
    return to_levels(np.stack(channels, axis=-1))
