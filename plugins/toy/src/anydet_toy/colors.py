"""What the detector knows of each class, and which color means which class."""

from __future__ import annotations

import numpy as np
from numpy.typing import NDArray

from anydet.dataclass import dataclass
from anydet.geometry.regions import BACKGROUND
from anydet.types import ByteImage, FloatArray


@dataclass(frozen=True, slots=True)
class Prototype:
    """What one class looks like.

    Attributes:
        name: class name.
        hue_deg: mean hue.
        fill: least and greatest fraction of its box that a whole shape covers, over all rotations.
    """

    name: str
    hue_deg: float
    fill: tuple[float, float]


PROTOTYPES = (
    Prototype("circle", 0.0, (0.75, 0.82)),
    Prototype("square", 120.0, (0.48, 1.0)),
    Prototype("triangle", 220.0, (0.40, 0.54)),
    Prototype("star", 50.0, (0.34, 0.44)),
    Prototype("cross", 300.0, (0.44, 0.60)),
    Prototype("hexagon", 175.0, (0.69, 0.80)),
)

_BITS = 5


@dataclass(frozen=True, slots=True, eq=False)
class ColorTable:
    """Class and fit of every color, looked up by the upper five bits of red, green and blue.

    Attributes:
        class_ids: (32768,) uint8, ``BACKGROUND`` where a color is of no class.
        fits: (32768,) float64, 1 at a class's own hue, falling to 0 at the tolerance.
    """

    class_ids: NDArray[np.uint8]
    fits: FloatArray

    @classmethod
    def build(cls, hue_tolerance_deg: float, min_saturation: float, min_chroma: float) -> ColorTable:
        """Nearest prototype by hue, with rejection of far hues and of dull colors."""
        levels = (np.arange(2**_BITS) + 0.5) * 2 ** (8 - _BITS)
        rgb = np.stack(np.meshgrid(levels, levels, levels, indexing="ij"), axis=-1).reshape(-1, 3)
        chroma = rgb.max(axis=1) - rgb.min(axis=1)
        prototypes = np.array([prototype.hue_deg for prototype in PROTOTYPES])
        away = np.abs((_hue_deg(rgb)[:, None] - prototypes + 180.0) % 360.0 - 180.0)
        fits = 1.0 - away.min(axis=1) / hue_tolerance_deg
        colorful = (chroma >= min_chroma) & (chroma >= min_saturation * rgb.max(axis=1))
        known = (fits >= 0) & colorful
        nearest = away.argmin(axis=1).astype(np.uint8)
        return cls(np.where(known, nearest, np.uint8(BACKGROUND)), fits)

    def index(self, image: ByteImage) -> NDArray[np.int32]:
        """(H, W) position of each pixel of (H, W, 3) in the table."""
        high = (image >> (8 - _BITS)).astype(np.int32)
        index: NDArray[np.int32] = (high[..., 0] << 2 * _BITS) | (high[..., 1] << _BITS) | high[..., 2]
        return index


def smooth(image: ByteImage, radius_px: int) -> ByteImage:
    """(H, W, 3) averaged over a square of 2 x ``radius_px`` + 1 pixels, edges repeated."""
    side = 2 * radius_px + 1
    total = np.pad(image, ((radius_px, radius_px), (radius_px, radius_px), (0, 0)), mode="edge").astype(
        np.uint32
    )
    for axis in (0, 1):
        length = total.shape[axis] - side + 1
        parts = [total.take(range(i, i + length), axis) for i in range(side)]
        total = np.sum(parts, axis=0, dtype=np.uint32)
    averaged: ByteImage = (total // side**2).astype(np.uint8)
    return averaged


def _hue_deg(rgb: FloatArray) -> FloatArray:
    """(N,) angle of (N, 3) colors around the gray axis: red at 0, green at 120, blue at 240."""
    red, green, blue = rgb.T
    hue: FloatArray = np.degrees(np.arctan2(np.sqrt(3.0) * (green - blue), 2.0 * red - green - blue))
    return hue
