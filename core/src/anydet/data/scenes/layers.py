"""Layers: shapes and bars of clutter, laid out front to back and painted on a textured background.

Used by the kinds of synthetic scenes that show shapes. Every random choice comes from the generator that is
handed in.
"""

from __future__ import annotations

import colorsys
from collections.abc import Iterable, Sequence
from dataclasses import dataclass

import numpy as np
from PIL import Image, ImageDraw

from anydet.data.scenes.shapes import CLASSES, HUE_JITTER_DEG, HUES_DEG, KEYPOINTS_OF, OUTLINES
from anydet.data.scenes.textures import background, light
from anydet.types import BoolArray, ByteImage, FloatArray, Size

MIN_VISIBLE = 0.25
"""Fraction of a shape's whole area that must be seen."""
MIN_VISIBLE_PX = 12
"""Number of its pixels that must be seen."""

CLUTTER = -1
"""Class of what is painted and not labeled."""
_SAMPLES = 4  # coverage is counted on 4 x 4 points a pixel


@dataclass(frozen=True, slots=True, eq=False)
class Item:
    """A shape or a bar of clutter, in pixels of the image.

    Attributes:
        class_id: of ``shapes.CLASSES``, or ``CLUTTER``.
        outline: (V, 2) polygon.
        keypoints: (K, 2).
        tip: (2,) from the center to the tip.
        hsv: mean color.
    """

    class_id: int
    outline: FloatArray
    keypoints: FloatArray
    tip: FloatArray
    hsv: tuple[float, float, float]


@dataclass(frozen=True, slots=True, eq=False)
class Layer:
    """An item that gets painted.

    Attributes:
        item: the item.
        x_px: first column of it that is in the image.
        y_px: first row.
        coverage: (h, w) how much of each of its pixels it covers.
        visible: (h, w) which of them show it, and nothing before it.
    """

    item: Item
    x_px: int
    y_px: int
    coverage: FloatArray
    visible: BoolArray

    def mask(self, size_wh: Size) -> BoolArray:
        """(H, W) which pixels of the image show it."""
        mask = np.zeros((size_wh[1], size_wh[0]), np.bool_)
        height, width = self.visible.shape
        mask[self.y_px : self.y_px + height, self.x_px : self.x_px + width] = self.visible
        return mask


def lay_out(items: Iterable[Item], size_wh: Size) -> list[Layer]:
    """What gets painted of items, front to back: one is dropped where those before it leave too little."""
    covered = np.zeros((size_wh[1], size_wh[0]), np.bool_)
    layers = []
    for item in items:
        x, y, coverage = _cover(item.outline)
        window, inside = _window(x, y, coverage, size_wh)
        solid = coverage[inside] >= 0.5
        visible = solid & ~covered[window]
        enough = max(MIN_VISIBLE_PX, MIN_VISIBLE * float(coverage.sum()))
        if item.class_id != CLUTTER and visible.sum() < enough:
            continue
        # Only behind what is painted: an item that was dropped covers nothing.
        covered[window] |= solid
        layers.append(Layer(item, window[1].start, window[0].start, coverage[inside], visible))
    return layers


def place_shape(
    rng: np.random.Generator, size_wh: Size, class_id: int, radius_px: float, *, margin: float = 0.0
) -> Item:
    """A shape of a class of ``shapes.CLASSES``, turned, a little flattened and colored at random.

    Args:
        rng: generator of these choices.
        size_wh: of the image.
        class_id: of the shape.
        radius_px: of the circle around it.
        margin: least distance of its center from the edges, as a fraction of the image's sides.
    """
    name = CLASSES.names[class_id]
    place = _placement(rng, size_wh, radius_px * np.array([rng.uniform(0.8, 1.0), 1.0]), margin)
    hue = (HUES_DEG[name] + rng.uniform(-HUE_JITTER_DEG, HUE_JITTER_DEG)) % 360.0 / 360.0
    hsv = (hue, float(rng.uniform(0.65, 0.95)), float(rng.uniform(0.65, 0.9)))
    return _placed(class_id, OUTLINES[name], KEYPOINTS_OF[name], place, hsv)


def place_bar(rng: np.random.Generator, size_wh: Size) -> Item:
    """A thin grayish bar of clutter."""
    length, thickness = min(size_wh) * rng.uniform(0.2, 0.6), min(size_wh) * rng.uniform(0.01, 0.03)
    place = _placement(rng, size_wh, np.array([thickness, length]))
    hsv = (float(rng.random()), float(rng.uniform(0.0, 0.2)), float(rng.uniform(0.2, 0.8)))
    corners = np.array([[-1.0, -1.0], [1.0, -1.0], [1.0, 1.0], [-1.0, 1.0]])
    return _placed(CLUTTER, corners, np.zeros((0, 2)), place, hsv)


def _placement(
    rng: np.random.Generator, size_wh: Size, scale_px: FloatArray, margin: float = 0.0
) -> tuple[FloatArray, FloatArray]:
    """A (2, 2) matrix that scales and turns, and a (2,) center in the image."""
    angle = rng.uniform(0, 2 * np.pi)
    turn = np.array([[np.cos(angle), -np.sin(angle)], [np.sin(angle), np.cos(angle)]])
    return turn * scale_px, rng.uniform(margin, 1.0 - margin, 2) * np.array(size_wh)


def _placed(
    class_id: int,
    outline: FloatArray,
    keypoints: FloatArray,
    place: tuple[FloatArray, FloatArray],
    hsv: tuple[float, float, float],
) -> Item:
    matrix, center = place
    return Item(class_id, outline @ matrix.T + center, keypoints @ matrix.T + center, -matrix[:, 1], hsv)


def _cover(outline: FloatArray) -> tuple[int, int, FloatArray]:
    """Left, top and (h, w) fraction of each pixel inside a polygon."""
    low, high = np.floor(outline.min(axis=0)).astype(int), np.ceil(outline.max(axis=0)).astype(int)
    width, height = (int(side) for side in np.maximum(high - low, 1))
    canvas = Image.new("L", (width * _SAMPLES, height * _SAMPLES))
    corners = (outline - low) * _SAMPLES - 0.5  # Pillow's integer coordinates are pixel centers
    ImageDraw.Draw(canvas).polygon([(float(x), float(y)) for x, y in corners], fill=1)
    samples = np.asarray(canvas, np.float64).reshape(height, _SAMPLES, width, _SAMPLES)
    return int(low[0]), int(low[1]), samples.mean(axis=(1, 3))


def _window(
    x: int, y: int, coverage: FloatArray, size_wh: Size
) -> tuple[tuple[slice, slice], tuple[slice, slice]]:
    """Slices of a patch at (x, y) that are in the image: of the image, and of the patch."""
    height, width = coverage.shape
    left, right = np.clip([x, x + width], 0, size_wh[0]).tolist()
    top, bottom = np.clip([y, y + height], 0, size_wh[1]).tolist()
    return (slice(top, bottom), slice(left, right)), (slice(top - y, bottom - y), slice(left - x, right - x))


def paint(layers: Sequence[Layer], rng: np.random.Generator, size_wh: Size) -> ByteImage:
    """Background, items back to front, light that falls off across the image, sensor noise."""
    image = background(rng, size_wh)
    for layer in reversed(layers):
        height, width = layer.coverage.shape
        window = image[layer.y_px : layer.y_px + height, layer.x_px : layer.x_px + width]
        window += layer.coverage[..., None] * (_shade(layer) - window)
    image *= light(rng, size_wh)[..., None]
    image += rng.normal(0.0, rng.uniform(2.0, 12.0), image.shape)
    pixels: ByteImage = np.clip(image, 0.0, 255.0).round().astype(np.uint8)
    return pixels


def _shade(layer: Layer) -> FloatArray:
    """(h, w, 3) color of a layer's window: bright at the tip, dark at the tail."""
    height, width = layer.coverage.shape
    y, x = np.mgrid[:height, :width]
    center, tip = layer.item.outline.mean(axis=0), layer.item.tip
    along = ((x + layer.x_px - center[0]) * tip[0] + (y + layer.y_px - center[1]) * tip[1]) / (tip @ tip)
    rgb = 255.0 * np.array(colorsys.hsv_to_rgb(*layer.item.hsv))
    shaded: FloatArray = (1.0 + 0.25 * along.clip(-1, 1))[..., None] * rgb
    return shaded
