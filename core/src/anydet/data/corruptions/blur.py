"""Blur: ``defocus_blur``, ``glass_blur``, ``motion_blur`` and ``zoom_blur``."""

from __future__ import annotations

from functools import lru_cache

import numpy as np
from numpy.typing import NDArray

from anydet.data.corruptions import filters
from anydet.data.corruptions.levels import FRACTIONS, to_levels
from anydet.types import ByteImage, FloatArray, IntArray

_DEFOCUS = ((3, 0.1), (4, 0.5), (6, 0.5), (8, 0.5), (10, 0.5))
"""(radius of the disk in pixels, standard deviation by which its edge is smoothed)"""
_GLASS = ((0.7, 1, 2), (0.9, 2, 1), (1, 2, 3), (1.1, 3, 2), (1.5, 4, 2))
"""(standard deviation in pixels, reach of a shift, passes)"""
_MOTION = ((10, 3), (15, 5), (15, 8), (15, 12), (20, 15))
"""(radius, standard deviation), both in pixels"""
_ZOOMS = ((1, 1.11, 0.01), (1, 1.16, 0.01), (1, 1.21, 0.02), (1, 1.26, 0.02), (1, 1.31, 0.03))
"""(first, end, step) of the factors"""


def defocus_blur(image: ByteImage, severity: int, rng: np.random.Generator) -> ByteImage:
    """The image of a lens out of focus: each point is a disk."""
    del rng
    radius, (height, width) = _disk(*_DEFOCUS[severity - 1]).shape[0] // 2, image.shape[:2]
    padded = np.pad(image, [(radius, radius), (radius, radius), (0, 0)], mode="reflect")
    shape = tuple(_fast_length(side) for side in padded.shape[:2])
    spectrum = _spectrum(severity, shape)
    blurred = np.empty_like(image)
    for channel in range(image.shape[2]):
        transformed = np.fft.rfft2(np.take(FRACTIONS, padded[..., channel]), shape)
        transformed *= spectrum
        whole = np.fft.irfft2(transformed, shape)
        valid = whole[2 * radius : 2 * radius + height, 2 * radius : 2 * radius + width]
        blurred[..., channel] = to_levels(valid)
    return blurred


@lru_cache(maxsize=8)
def _spectrum(severity: int, shape: tuple[int, ...]) -> NDArray[np.complex128]:
    """Transform of a kernel; images of a data set have few shapes."""
    return np.fft.rfft2(_disk(*_DEFOCUS[severity - 1]), shape)


@lru_cache(maxsize=len(_DEFOCUS))
def _disk(radius: int, sigma: float) -> FloatArray:
    """A disk with a smooth edge, rounded where OpenCV rounds, by which white stays white or becomes gray."""
    reach, half = (8, 1) if radius <= 8 else (radius, 2)
    at = np.arange(-reach, reach + 1)
    disk = (at[:, None] ** 2 + at**2 <= radius**2).astype(np.float32)
    disk /= disk.sum()
    smooth = np.exp(-(np.arange(-half, half + 1) ** 2) / (2 * sigma**2))
    center, *outer = (smooth / smooth.sum()).astype(np.float32)[half:].astype(np.float64).tolist()
    padded = np.pad(disk, half, mode="reflect")

    def shifted(rows: NDArray[np.float32], by: int) -> FloatArray:
        return rows[half + by : half + by + len(disk)].astype(np.float64)

    def fused(*terms: FloatArray) -> FloatArray:
        # A sum in double precision, rounded once, is what a fused multiply-add gives.
        total = terms[0].astype(np.float32)
        for term in terms[1:]:
            total = (total + term).astype(np.float32)
        return total.astype(np.float64)

    def pairs(rows: NDArray[np.float32]) -> list[FloatArray]:
        sums = [(shifted(rows, by) + shifted(rows, -by)).astype(np.float32) for by in range(1, half + 1)]
        return [total.astype(np.float64) * weight for total, weight in zip(sums, outer, strict=True)]

    columns = padded.T
    wide = fused(*pairs(columns), shifted(columns, 0) * center).astype(np.float32).T
    return fused(shifted(wide, 0) * center, *pairs(wide))


def _fast_length(side: int) -> int:
    """The smallest number from ``side`` on with no prime factor above 5, of which transforms are fast."""
    while True:
        rest = side
        for factor in (2, 3, 5):
            while rest % factor == 0:
                rest //= factor
        if rest == 1:
            return side
        side += 1


def glass_blur(image: ByteImage, severity: int, rng: np.random.Generator) -> ByteImage:
    """As seen through frosted glass: pixels are taken from places nearby, between two Gaussian blurs."""
    sigma, reach, passes = _GLASS[severity - 1]
    smooth = (_blurred(image, sigma) * 255).astype(np.uint8)
    height, width = image.shape[:2]
    source = np.arange(height * width)
    for _ in range(passes):
        rows, columns = (max(0, side - 2 * reach) for side in (height, width))
        dy, dx = rng.integers(-reach, reach, (2, rows, columns), np.int8)
        source = source[scatter_sources(dy, dx, (height, width), reach).ravel()]
    return to_levels(_blurred(np.take(smooth.reshape(-1, 3), source, axis=0).reshape(image.shape), sigma))


def scatter_sources(
    dy: NDArray[np.int8], dx: NDArray[np.int8], size_hw: tuple[int, int], reach: int
) -> IntArray:
    """(H, W) index of the pixel whose value each has after one pass of shifts, in row-major order.

    The pass goes from the last pixel to the first and gives each the value that the one at (dy, dx) from it
    has by then. Shifts to pixels behind it are chains, which end at one that points ahead; all of them are
    followed at once. (The original means to swap the two pixels; its assignment of views copies one.)

    Args:
        dy: (H - 2 reach, W - 2 reach) of the pixels whose shifts stay inside: rows ``reach + 1`` to
            ``H - reach`` of the image.
        dx: the same to the right.
        size_hw: of the image.
        reach: shifts are ``-reach`` to ``reach - 1``.
    """
    height, width = size_hw
    pixels = np.arange(height * width).reshape(height, width)
    source = pixels.copy()
    inside = slice(reach + 1, height - reach + 1), slice(reach + 1, width - reach + 1)
    source[inside] += dy.astype(np.int64) * width + dx
    target = source.ravel()
    moved = np.zeros(size_hw, np.bool_)
    moved[inside] = True
    # Whether the value comes from a pixel that has got its own by then.
    chained = moved.ravel() & moved.ravel()[target] & (target > pixels.ravel())
    ends: IntArray = target.copy()
    waiting = np.flatnonzero(chained)
    at = target[waiting]
    while len(waiting):
        ends[waiting] = target[at]
        longer = chained[at]
        waiting, at = waiting[longer], target[at[longer]]
    return ends.reshape(height, width)


def motion_blur(image: ByteImage, severity: int, rng: np.random.Generator) -> ByteImage:
    """Smeared along a direction within 45 degrees of the horizontal."""
    radius, sigma = _MOTION[severity - 1]
    smeared = filters.motion_blur(image, radius, sigma, rng.uniform(-45, 45))
    return np.clip(smeared, 0, 255, out=smeared).astype(np.uint8)


def zoom_blur(image: ByteImage, severity: int, rng: np.random.Generator) -> ByteImage:
    """The mean of the image and magnified ones, as of a camera that moves towards the scene."""
    del rng
    factors = np.arange(*_ZOOMS[severity - 1])
    clean = FRACTIONS.astype(np.float32)[image]
    total = np.zeros_like(clean)
    for factor in factors.tolist():
        filters.zoom_center(clean, factor, out=total)
    return to_levels((clean + total) / (len(factors) + 1))


def _blurred(image: ByteImage, sigma: float) -> FloatArray:
    return filters.gaussian_blur(FRACTIONS[image], (sigma, sigma), edges="edge", truncate=4)
