"""Digital: ``contrast``, ``elastic_transform``, ``pixelate`` and ``jpeg_compression``."""

from __future__ import annotations

from io import BytesIO

import numpy as np
from PIL import Image

from anydet.data.corruptions.filters import gaussian_blur, sample_linear
from anydet.data.corruptions.levels import FRACTIONS, to_levels
from anydet.types import ByteImage

_CONTRASTS = (0.4, 0.3, 0.2, 0.1, 0.05)
_ELASTIC = (250 * 0.05, 250 * 0.065, 250 * 0.085, 250 * 0.1, 250 * 0.12)
"""By what the smoothed shifts are multiplied."""
_RESOLUTIONS = (0.6, 0.5, 0.4, 0.3, 0.25)
_JPEG_QUALITIES = (25, 18, 15, 10, 7)


def contrast(image: ByteImage, severity: int, rng: np.random.Generator) -> ByteImage:
    """Each channel comes closer to its mean."""
    del rng
    factor = _CONTRASTS[severity - 1]
    result = np.empty_like(image)
    means = FRACTIONS[image].mean(axis=(0, 1))
    for channel, mean in enumerate(means):
        levels = to_levels((FRACTIONS - mean) * factor + mean)
        result[..., channel] = levels[image[..., channel]]
    return result


def elastic_transform(image: ByteImage, severity: int, rng: np.random.Generator) -> ByteImage:
    """Pixels are taken from places nearby, which vary smoothly over the image."""
    height, width = image.shape[:2]
    reach, sigmas = height * 0.005, (height * 0.01, width * 0.01)
    shifts = []
    for _ in range(2):
        drawn = rng.random((height, width))
        drawn *= reach - -reach
        drawn += -reach
        smooth = gaussian_blur(drawn, sigmas, edges="symmetric", truncate=3)
        smooth *= _ELASTIC[severity - 1]
        shifts.append(smooth.astype(np.float32))
    dx, dy = shifts
    return to_levels(sample_linear(FRACTIONS.astype(np.float32)[image], dy, dx))


def pixelate(image: ByteImage, severity: int, rng: np.random.Generator) -> ByteImage:
    """As of a camera with fewer pixels."""
    del rng
    height, width = image.shape[:2]
    factor = _RESOLUTIONS[severity - 1]
    small = (int(width * factor), int(height * factor))
    coarse = Image.fromarray(image).resize(small, Image.Resampling.BOX)
    return np.array(coarse.resize((width, height), Image.Resampling.NEAREST))


def jpeg_compression(image: ByteImage, severity: int, rng: np.random.Generator) -> ByteImage:
    """Written as JPEG of low quality and read again."""
    del rng
    stream = BytesIO()
    Image.fromarray(image).save(stream, "JPEG", quality=_JPEG_QUALITIES[severity - 1])
    return np.array(Image.open(stream))
