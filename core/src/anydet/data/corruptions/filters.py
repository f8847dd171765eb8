"""Filters that several corruptions use: Gaussian and motion blur, and linear interpolation.

Each adds and multiplies in the order of the routine of SciPy that it stands for, so that results have the
same bits where the compiler of SciPy fuses no operations. Rows are filtered in blocks
that fit into the cache.
"""

from __future__ import annotations

import math
from collections.abc import Iterator
from typing import Literal, TypeVar

import numpy as np
from numpy.typing import NDArray

from anydet.types import FloatArray, IntArray

_Float = TypeVar("_Float", np.float32, np.float64)
_BLOCK = 1 << 15
"""Numbers that a block has at most, so that it and its intermediate results stay in the cache."""


def row_blocks(shape: tuple[int, ...]) -> Iterator[slice]:
    """Slices of rows, of which each has about ``_BLOCK`` numbers and at least one row."""
    height, width = shape[0], math.prod(shape[1:])
    step = max(1, _BLOCK // max(1, width))
    return (slice(top, min(top + step, height)) for top in range(0, height, step))


def gaussian_blur(
    image: FloatArray, sigmas: tuple[float, float], *, edges: Literal["edge", "symmetric"], truncate: float
) -> FloatArray:
    """(H, W) or (H, W, C) blurred along both axes, as ``scipy.ndimage.gaussian_filter`` does it.

    Args:
        image: what to blur.
        sigmas: standard deviations in pixels, of the rows and of the columns.
        edges: how the image goes on beyond its edges, as ``numpy.pad`` calls it.
        truncate: where the kernel ends, in standard deviations.
    """
    for axis, sigma in enumerate(sigmas):
        image = _convolved(image, _half_gaussian(sigma, truncate), axis, edges)
    return image


def _half_gaussian(sigma: float, truncate: float) -> list[float]:
    """The kernel from its center to its end."""
    radius = int(truncate * sigma + 0.5)
    kernel = np.exp(-0.5 / (sigma * sigma) * np.arange(-radius, radius + 1) ** 2)
    half: list[float] = (kernel / kernel.sum())[radius:].tolist()
    return half


def _convolved(
    image: FloatArray, half: list[float], axis: int, edges: Literal["edge", "symmetric"]
) -> FloatArray:
    radius = len(half) - 1
    margins = [(0, 0)] * image.ndim
    margins[axis] = (radius, radius)
    padded = np.pad(image, margins, mode=edges)
    result = np.empty(image.shape)
    for rows in row_blocks(image.shape):
        total = result[rows]
        np.multiply(_shifted(padded, rows, radius, axis, image.shape), half[0], out=total)
        pair = np.empty_like(total)
        # From the ends to the center, as SciPy adds them.
        for distance in range(radius, 0, -1):
            before = _shifted(padded, rows, radius - distance, axis, image.shape)
            after = _shifted(padded, rows, radius + distance, axis, image.shape)
            np.add(before, after, out=pair)
            pair *= half[distance]
            total += pair
    return result


def _shifted(padded: FloatArray, rows: slice, shift: int, axis: int, shape: tuple[int, ...]) -> FloatArray:
    """The window of an image's size in the padded image, moved along an axis, of which some rows."""
    if axis == 0:
        return padded[rows.start + shift : rows.stop + shift]
    return padded[rows, shift : shift + shape[1]]


def motion_blur(
    image: NDArray[np.uint8] | FloatArray, radius: int, sigma: float, angle_degrees: float
) -> FloatArray:
    """(H, W) or (H, W, C) smeared along a direction by a half Gaussian; edges go on beyond the image.

    The smear ends where it would leave the image, as in the original, which makes small images darker.

    Args:
        image: of any scale, which the result has too.
        radius: the smear is twice as long, plus one, in pixels.
        sigma: standard deviation of the Gaussian in pixels.
        angle_degrees: 0 smears towards the left, 90 upwards.
    """
    steps = _smear(image.shape, radius, sigma, angle_degrees)
    up, down = (max(0, *(sign * dy for dy, _, _ in steps)) for sign in (1, -1))
    left, right = (max(0, *(sign * dx for _, dx, _ in steps)) for sign in (1, -1))
    margins = [(up, down), (left, right), (0, 0)][: image.ndim]
    padded = np.pad(image, margins, mode="edge")
    result = np.zeros(image.shape)
    for rows in row_blocks(image.shape):
        total = result[rows]
        part = np.empty_like(total)
        for dy, dx, weight in steps:
            top, start = up - dy, left - dx
            window = padded[rows.start + top : rows.stop + top, start : start + image.shape[1]]
            total += np.multiply(window, weight, out=part)
    return result


def _smear(shape: tuple[int, ...], radius: int, sigma: float, angle: float) -> list[tuple[int, int, float]]:
    """(dy, dx, weight) of each copy of the image that is added."""
    width = 2 * radius + 1
    kernel = np.exp(-((np.arange(width) - 0) ** 2) / (2 * (sigma**2))) / (np.sqrt(2 * np.pi) * sigma)
    kernel /= np.sum(kernel)
    along_y, along_x = width * np.sin(np.deg2rad(angle)), width * np.cos(np.deg2rad(angle))
    length = math.hypot(along_y, along_x)
    steps = []
    for i, weight in enumerate(kernel.tolist()):
        dy, dx = -math.ceil(i * along_y / length - 0.5), -math.ceil(i * along_x / length - 0.5)
        if abs(dy) >= shape[0] or abs(dx) >= shape[1]:
            break
        steps.append((dy, dx, weight))
    return steps


def zoom_center(image: NDArray[_Float], factor: float, out: NDArray[_Float] | None = None) -> NDArray[_Float]:
    """The middle of an image (H, W, ...), magnified linearly to its size or a little more.

    Args:
        image: (H, W, ...).
        factor: how much, above 1 or 1.
        out: (H, W, ...) to which the upper left part of the result is added, or ``None``.

    Returns:
        ``out``, or the result, of the type of ``image``.
    """
    (top, rows), (left, columns) = (_middle(side, factor) for side in image.shape[:2])
    channels = math.prod(image.shape[2:])
    middle = image[top : top + rows, left : left + columns].reshape(rows, columns * channels)
    height, width = (round(side * factor) for side in (rows, columns))
    y0, y1, wy0, wy1 = _linear(rows, height)
    if out is None:
        out = np.zeros((height, width, *image.shape[2:]), image.dtype)
    height, width = min(height, out.shape[0]), min(width, out.shape[1])
    x0, x1, wx0, wx1 = _linear(columns, round(columns * factor))
    places = [column_places(x[:width], channels) for x in (x0, x1)]
    weights = np.repeat([wx0[:width], wx1[:width]], channels, axis=1)
    target = out.reshape(len(out), -1)[:, : width * channels]
    for block in row_blocks((height, width * channels)):
        # Along rows first, of which there are fewer before they are magnified.
        first = y0[block.start]
        source = middle[first : y1[block.stop - 1] + 1]
        wide = np.take(source, places[0], axis=1) * weights[0]
        wide += np.take(source, places[1], axis=1) * weights[1]
        part = np.take(wide, y0[block] - first, axis=0) * wy0[block][:, None]
        part += np.take(wide, y1[block] - first, axis=0) * wy1[block][:, None]
        target[block] += part.astype(out.dtype)
    return out


def column_places(columns: IntArray, channels: int) -> IntArray:
    """(N * C,) where columns (N,) of an image (H, W, C) are in one of (H, W * C).

    Numbers are taken, not pixels: NumPy takes and multiplies rows of three at a fraction of the speed.
    """
    places: IntArray = np.repeat(columns * channels, channels) + np.tile(np.arange(channels), len(columns))
    return places


def _middle(side: int, factor: float) -> tuple[int, int]:
    """Start and length of the part that is magnified to the whole side."""
    length = math.ceil(side / factor)
    return (side - length) // 2, length


def _linear(source: int, target: int) -> tuple[IntArray, IntArray, FloatArray, FloatArray]:
    """Indices and weights of the two samples from which each of ``target`` is interpolated."""
    step = (source - 1) / (target - 1) if target > 1 else 1.0
    at = step * np.arange(target)
    first = np.floor(at).astype(np.int64)
    second_weight = at - first
    first_weight = 1 - second_weight
    # SciPy gives zero where rounding puts the last sample beyond the image.
    outside = at > source - 1
    first_weight[outside] = second_weight[outside] = 0
    return np.minimum(first, source - 1), np.minimum(first + 1, source - 1), first_weight, second_weight


def sample_linear(
    image: NDArray[np.float32], dy: NDArray[np.float32], dx: NDArray[np.float32]
) -> NDArray[np.float32]:
    """(H, W, C) whose pixel (y, x) is interpolated at (y + dy, x + dx); edges are mirrored.

    Args:
        image: (H, W, C).
        dy: (H, W) float32, how far down each pixel is taken from.
        dx: (H, W) float32, how far to the right.
    """
    height, width, channels = image.shape
    # Planes of channels: NumPy takes and multiplies pixels of three numbers at a fraction of the speed.
    planes = np.ascontiguousarray(np.moveaxis(image, -1, 0)).reshape(channels, -1)
    result = np.empty_like(image)
    for rows in row_blocks(image.shape):
        y = np.arange(rows.start, rows.stop)[:, None] + dy[rows]
        x = np.arange(width) + dx[rows]
        top, left = np.floor(y), np.floor(x)
        below, right = y - top, x - left
        y0, x0 = top.astype(np.int64), left.astype(np.int64)
        y0, y1 = (_mirrored(at, height) * width for at in (y0, y0 + 1))
        x0, x1 = (_mirrored(at, width) for at in (x0, x0 + 1))
        above, before = 1 - below, 1 - right
        corners = [(y0 + x0, above, before), (y0 + x1, above, right)]
        corners += [(y1 + x0, below, before), (y1 + x1, below, right)]
        for channel, plane in enumerate(planes):
            total = np.zeros(y.shape)
            for at, weight_y, weight_x in corners:
                part = np.take(plane, at) * weight_y
                part *= weight_x
                total += part
            result[rows, :, channel] = total
    return result


def _mirrored(at: IntArray, side: int) -> IntArray:
    """Indices inside of a side, on which it goes on mirrored: 1, 0, 0, 1, 2."""
    if at.min() >= 0 and at.max() < side:
        return at
    at = at % (2 * side)
    return np.minimum(at, 2 * side - 1 - at)
