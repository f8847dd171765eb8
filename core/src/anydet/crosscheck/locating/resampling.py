"""Resizing as other programs do it, to find out which of them made an input."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from typing import Any

import numpy as np
from PIL import Image

from anydet.types import ByteImage, FloatArray, Size

Resample = Callable[[ByteImage, Size], ByteImage]


def _pillow(kind: Image.Resampling) -> Resample:
    def resample(image: ByteImage, size_wh: Size) -> ByteImage:
        return np.asarray(Image.fromarray(np.ascontiguousarray(image)).resize(size_wh, kind))

    return resample


def _nearest_floor(image: ByteImage, size_wh: Size) -> ByteImage:
    """The pixel at or before ``x * scale``, as OpenCV's ``INTER_NEAREST``."""
    rows, columns = (
        np.minimum(np.arange(target) * source // target, source - 1)
        for target, source in zip(size_wh[::-1], image.shape[:2], strict=True)
    )
    taken: ByteImage = image[rows][:, columns]
    return taken


def _bilinear(places: Callable[[int, int], Any]) -> Resample:
    """Linear between the two nearest pixels at ``places(target, source)``, without antialiasing."""

    def resample(image: ByteImage, size_wh: Size) -> ByteImage:
        mixed = image.astype(np.float64)
        for axis, target in ((0, size_wh[1]), (1, size_wh[0])):
            source = mixed.shape[axis]
            at = np.clip(places(target, source), 0, source - 1)
            low = np.minimum(at.astype(np.int64), max(source - 2, 0))
            shape = (-1, 1, 1) if axis == 0 else (1, -1, 1)
            part = (at - low).reshape(shape)
            high = np.minimum(low + 1, source - 1)
            mixed = np.take(mixed, low, axis) * (1 - part) + np.take(mixed, high, axis) * part
        return np.rint(mixed).astype(np.uint8)

    return resample


def _area(image: ByteImage, size_wh: Size) -> ByteImage:
    """Mean over the part of the image that a pixel covers, as OpenCV's ``INTER_AREA`` where it shrinks."""
    mixed = image.astype(np.float64)
    for axis, target in ((0, size_wh[1]), (1, size_wh[0])):
        source = mixed.shape[axis]
        edges = np.arange(target + 1) * (source / target)
        whole = np.minimum(edges.astype(np.int64), source - 1)
        ends = [(0, 0)] * 3
        ends[axis] = (1, 0)
        sums = np.pad(np.cumsum(mixed, axis=axis), ends)
        part = (edges - whole).reshape((-1, 1, 1) if axis == 0 else (1, -1, 1))
        upto = np.take(sums, whole, axis) + np.take(mixed, whole, axis) * part
        mixed = np.diff(upto, axis=axis) * (target / source)
    return np.rint(mixed).astype(np.uint8)


def _aligned_corners(target: int, source: int) -> FloatArray:
    at: FloatArray = np.arange(target, dtype=np.float64) * ((source - 1) / max(target - 1, 1))
    return at


def _without_half(target: int, source: int) -> FloatArray:
    at: FloatArray = np.arange(target, dtype=np.float64) * (source / target)
    return at


RESAMPLES: Mapping[str, Resample] = {
    "nearest neighbor": _nearest_floor,
    "nearest neighbor of pixel centers": _pillow(Image.Resampling.NEAREST),
    "area averaging": _area,
    "a box filter": _pillow(Image.Resampling.BOX),
    "bilinear with antialiasing": _pillow(Image.Resampling.BILINEAR),
    "bicubic with antialiasing": _pillow(Image.Resampling.BICUBIC),
    "Lanczos with antialiasing": _pillow(Image.Resampling.LANCZOS),
    "bilinear without antialiasing": _bilinear(
        lambda target, source: (np.arange(target) + 0.5) * (source / target) - 0.5
    ),
    "bilinear with aligned corners": _bilinear(_aligned_corners),
    "bilinear without the half-pixel offset": _bilinear(_without_half),
}
"""Name -> 8-bit image of another size."""
