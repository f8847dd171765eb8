"""Noise: ``gaussian_noise``, ``shot_noise`` and ``impulse_noise``."""

from __future__ import annotations

import numpy as np

from anydet.data.corruptions.filters import row_blocks
from anydet.data.corruptions.levels import FRACTIONS, to_levels
from anydet.types import ByteImage

_GAUSSIAN_SCALES = (0.08, 0.12, 0.18, 0.26, 0.38)
_PHOTONS_OF_WHITE = (60, 25, 12, 5, 3)
_IMPULSES = (0.03, 0.06, 0.09, 0.17, 0.27)


def gaussian_noise(image: ByteImage, severity: int, rng: np.random.Generator) -> ByteImage:
    """Normal noise on each channel of each pixel, as of a sensor in the dark."""
    scale = _GAUSSIAN_SCALES[severity - 1]
    noisy = np.empty_like(image)
    for rows in row_blocks(image.shape):
        block = rng.standard_normal(image[rows].shape)
        block *= scale
        block += FRACTIONS[image[rows]]
        noisy[rows] = to_levels(block)
    return noisy


def shot_noise(image: ByteImage, severity: int, rng: np.random.Generator) -> ByteImage:
    """Poisson noise: the light of a channel is counted in photons."""
    white = _PHOTONS_OF_WHITE[severity - 1]
    expected = FRACTIONS * white
    levels = to_levels(np.arange(white + 1) / float(white))
    noisy = np.empty_like(image)
    for rows in row_blocks(image.shape):
        photons = rng.poisson(expected[image[rows]])
        noisy[rows] = levels[np.minimum(photons, white, out=photons)]
    return noisy


def impulse_noise(image: ByteImage, severity: int, rng: np.random.Generator) -> ByteImage:
    """Some channels of some pixels are black or white, each with the same probability."""
    amount = _IMPULSES[severity - 1]
    drawn = rng.random(image.shape, np.float32)
    noisy = np.where(drawn < amount, np.uint8(0), image)
    noisy[drawn < amount / 2] = 255
    return noisy
