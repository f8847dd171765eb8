"""Synthetic scenes: coloured shapes on textured backgrounds, with exact ground truth.

Scene ``index`` of ``seed`` is the same whatever the number of scenes and whoever renders it: every random
choice comes from a generator seeded with (seed, index). Only NumPy and Pillow draw.

Every painted shape is labelled. One of which less than ``MIN_VISIBLE`` could be seen, because others cover it
or because it leaves the image, is not painted at all. Mask, area and box are those of the visible pixels, and
the box is the smallest one around the mask. Grey bars above and below the shapes are clutter.

All shapes have the keypoints of ``shapes.KEYPOINTS`` and are lit from their tip: their rotation can be seen.
Visibility is COCO's: 2 seen, 1 covered, 0 outside the image (and then x = y = 0).
"""

from __future__ import annotations

import colorsys
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path

import numpy as np
from PIL import Image, ImageDraw

from anydet.data.columns import ground_truth_columns
from anydet.data.fingerprint import Fingerprint
from anydet.data.record import Record
from anydet.data.shapes import CLASSES, HUE_JITTER_DEG, HUES_DEG, KEYPOINTS, KEYPOINTS_OF, OUTLINES
from anydet.data.textures import background, light
from anydet.data.writers import Report, write_coco
from anydet.geometry import masks
from anydet.types import BoolArray, ByteImage, ClassTable, FloatArray, GroundTruthColumns, Labels, Size

MIN_VISIBLE = 0.25
"""Share of a shape's whole area that must be seen."""
MIN_VISIBLE_PX = 12
"""Number of its pixels that must be seen."""

_CLUTTER = -1
_SAMPLES = 4  # coverage is counted on 4 x 4 points a pixel


@dataclass(frozen=True, slots=True, eq=False)
class Scene:
    """One rendered scene.

    Attributes:
        image: (H, W, 3) uint8 RGB.
        labels: what is in it; masks as RLE, keypoints (N, 5, 3).
    """

    image: ByteImage
    labels: Labels


def render_scene(seed: int, index: int, size_wh: Size = (320, 240)) -> Scene:
    """Scene ``index`` of ``seed``; its layout scales with the image's size in pixels."""
    layers = _lay_out(seed, index, size_wh)
    return Scene(_paint(layers, np.random.default_rng([seed, index, 1]), size_wh), _label(layers, size_wh))


def label_scene(seed: int, index: int, size_wh: Size = (320, 240)) -> Labels:
    """The labels of ``render_scene`` without its pixels."""
    return _label(_lay_out(seed, index, size_wh), size_wh)


@dataclass(frozen=True, slots=True, eq=False)
class _Item:
    """A shape or a bar of clutter, in pixels of the image.

    Attributes:
        class_id: its class, or ``_CLUTTER``.
        outline: (V, 2) polygon.
        keypoints: (K, 2).
        tip: (2,) from the centre to the tip.
        hsv: mean colour.
    """

    class_id: int
    outline: FloatArray
    keypoints: FloatArray
    tip: FloatArray
    hsv: tuple[float, float, float]


@dataclass(frozen=True, slots=True, eq=False)
class _Layer:
    """An item that gets painted: how much of each pixel it covers, and what can be seen of it."""

    item: _Item
    x_px: int
    y_px: int
    coverage: FloatArray
    visible: BoolArray


def _lay_out(seed: int, index: int, size_wh: Size) -> list[_Layer]:
    """What gets painted, front to back: an item is dropped where those before it leave too little of it."""
    covered = np.zeros((size_wh[1], size_wh[0]), np.bool_)
    layers = []
    for item in _items(np.random.default_rng([seed, index, 0]), size_wh):
        x, y, coverage = _cover(item.outline)
        window, inside = _window(x, y, coverage, size_wh)
        solid = coverage[inside] >= 0.5
        visible = solid & ~covered[window]
        enough = max(MIN_VISIBLE_PX, MIN_VISIBLE * float(coverage.sum()))
        if item.class_id != _CLUTTER and visible.sum() < enough:
            continue
        covered[window] |= solid
        layers.append(_Layer(item, window[1].start, window[0].start, coverage[inside], visible))
    return layers


def _items(rng: np.random.Generator, size_wh: Size) -> list[_Item]:
    """Shapes and clutter, front one first; one image in ten has no shapes."""
    shapes = 0 if rng.random() < 0.1 else int(rng.integers(1, 9))
    items = [_shape(rng, size_wh) for _ in range(shapes)] + [
        _bar(rng, size_wh) for _ in range(rng.integers(4))
    ]
    return [items[i] for i in rng.permutation(len(items))]


def _shape(rng: np.random.Generator, size_wh: Size) -> _Item:
    class_id = int(rng.integers(len(CLASSES)))
    name = CLASSES.names[class_id]
    radius = min(size_wh) * float(np.exp(rng.uniform(np.log(0.05), np.log(0.3))))
    place = _placement(rng, size_wh, radius * np.array([rng.uniform(0.8, 1.0), 1.0]))
    hue = (HUES_DEG[name] + rng.uniform(-HUE_JITTER_DEG, HUE_JITTER_DEG)) % 360.0 / 360.0
    hsv = (hue, float(rng.uniform(0.65, 0.95)), float(rng.uniform(0.65, 0.9)))
    return _placed(class_id, OUTLINES[name], KEYPOINTS_OF[name], place, hsv)


def _bar(rng: np.random.Generator, size_wh: Size) -> _Item:
    length, thickness = min(size_wh) * rng.uniform(0.2, 0.6), min(size_wh) * rng.uniform(0.01, 0.03)
    place = _placement(rng, size_wh, np.array([thickness, length]))
    hsv = (float(rng.random()), float(rng.uniform(0.0, 0.2)), float(rng.uniform(0.2, 0.8)))
    corners = np.array([[-1.0, -1.0], [1.0, -1.0], [1.0, 1.0], [-1.0, 1.0]])
    return _placed(_CLUTTER, corners, np.zeros((0, 2)), place, hsv)


def _placement(
    rng: np.random.Generator, size_wh: Size, scale_px: FloatArray
) -> tuple[FloatArray, FloatArray]:
    """A (2, 2) matrix that scales and turns, and a (2,) centre in the image."""
    angle = rng.uniform(0, 2 * np.pi)
    turn = np.array([[np.cos(angle), -np.sin(angle)], [np.sin(angle), np.cos(angle)]])
    return turn * scale_px, rng.uniform(0.0, 1.0, 2) * np.array(size_wh)


def _placed(
    class_id: int,
    outline: FloatArray,
    keypoints: FloatArray,
    place: tuple[FloatArray, FloatArray],
    hsv: tuple[float, float, float],
) -> _Item:
    matrix, centre = place
    return _Item(class_id, outline @ matrix.T + centre, keypoints @ matrix.T + centre, -matrix[:, 1], hsv)


def _cover(outline: FloatArray) -> tuple[int, int, FloatArray]:
    """Left, top and (h, w) share of each pixel that lies inside a polygon."""
    low, high = np.floor(outline.min(axis=0)).astype(int), np.ceil(outline.max(axis=0)).astype(int)
    width, height = (int(side) for side in np.maximum(high - low, 1))
    canvas = Image.new("L", (width * _SAMPLES, height * _SAMPLES))
    corners = (outline - low) * _SAMPLES - 0.5  # Pillow's integer coordinates are pixel centres
    ImageDraw.Draw(canvas).polygon([(float(x), float(y)) for x, y in corners], fill=1)
    samples = np.asarray(canvas, np.float64).reshape(height, _SAMPLES, width, _SAMPLES)
    return int(low[0]), int(low[1]), samples.mean(axis=(1, 3))


def _window(
    x: int, y: int, coverage: FloatArray, size_wh: Size
) -> tuple[tuple[slice, slice], tuple[slice, slice]]:
    """The part of a patch at (x, y) that lies in the image: where it is there, and where in the patch."""
    height, width = coverage.shape
    left, right = np.clip([x, x + width], 0, size_wh[0]).tolist()
    top, bottom = np.clip([y, y + height], 0, size_wh[1]).tolist()
    return (slice(top, bottom), slice(left, right)), (slice(top - y, bottom - y), slice(left - x, right - x))


def _label(layers: list[_Layer], size_wh: Size) -> Labels:
    """Ground truth of what can be seen, front to back."""
    shapes = [layer for layer in layers if layer.item.class_id != _CLUTTER]
    visible = [_whole(layer, size_wh) for layer in shapes]
    rles = tuple(masks.encode(mask) for mask in visible)
    points = [_visibility(layer.item.keypoints, mask) for layer, mask in zip(shapes, visible, strict=True)]
    return Labels(
        class_ids=np.array([layer.item.class_id for layer in shapes], np.int64),
        boxes_xywh_px=np.array([masks.bounds_xywh(rle) for rle in rles], np.float64).reshape(-1, 4),
        areas=np.array([masks.area(rle) for rle in rles], np.float64),
        iscrowd=np.zeros(len(shapes), np.bool_),
        segmentations=rles,
        keypoints=np.array(points, np.float64).reshape(-1, len(KEYPOINTS), 3),
    )


def _whole(layer: _Layer, size_wh: Size) -> BoolArray:
    mask = np.zeros((size_wh[1], size_wh[0]), np.bool_)
    height, width = layer.visible.shape
    mask[layer.y_px : layer.y_px + height, layer.x_px : layer.x_px + width] = layer.visible
    return mask


def _visibility(points: FloatArray, visible: BoolArray) -> FloatArray:
    """(K, 3) x, y and COCO visibility of points, by the pixel in which they lie."""
    height, width = visible.shape
    column, row = np.floor(points).astype(np.int64).T
    inside = (column >= 0) & (column < width) & (row >= 0) & (row < height)
    seen = inside & visible[row.clip(0, height - 1), column.clip(0, width - 1)]
    return np.concatenate([points * inside[:, None], (inside.astype(int) + seen)[:, None]], axis=1)


def _paint(layers: list[_Layer], rng: np.random.Generator, size_wh: Size) -> ByteImage:
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


def _shade(layer: _Layer) -> FloatArray:
    """(h, w, 3) colour of a layer's window: bright at the tip, dark at the tail."""
    height, width = layer.coverage.shape
    y, x = np.mgrid[:height, :width]
    centre, tip = layer.item.outline.mean(axis=0), layer.item.tip
    along = ((x + layer.x_px - centre[0]) * tip[0] + (y + layer.y_px - centre[1]) * tip[1]) / (tip @ tip)
    rgb = 255.0 * np.array(colorsys.hsv_to_rgb(*layer.item.hsv))
    shaded: FloatArray = (1.0 + 0.25 * along.clip(-1, 1))[..., None] * rgb
    return shaded


@dataclass(frozen=True, slots=True)
class ScenePixels:
    """Pixels of a scene, rendered when they are read."""

    seed: int
    index: int
    stated_wh: Size

    def read(self) -> ByteImage:
        """(H, W, 3) uint8 RGB."""
        return render_scene(self.seed, self.index, self.stated_wh).image

    def size_wh(self) -> Size:
        """(width, height)."""
        return self.stated_wh


@dataclass(frozen=True, slots=True)
class SyntheticDataset:
    """The first ``count`` scenes of a seed as a ``Dataset`` that needs no disk.

    Attributes:
        count: number of scenes.
        seed: owner of all random choices, 0 or more.
        image_wh: (width, height) of each scene in pixels.
        split: name of the split.
    """

    count: int
    seed: int = 0
    image_wh: Size = (320, 240)
    split: str = "val"

    @property
    def root(self) -> Path:
        """A name: there is no folder."""
        return Path("synthetic")

    @property
    def note(self) -> str:
        """What was chosen, for people."""
        return f"{self.count} {self.source}"

    @property
    def keys(self) -> tuple[str, ...]:
        """Names of the files that the scenes are written to."""
        return tuple(f"{index:06d}.png" for index in range(self.count))

    @property
    def classes(self) -> ClassTable:
        """The shapes."""
        return CLASSES

    @property
    def source(self) -> str:
        """Which scenes these are."""
        return f"synthetic scenes (seed {self.seed}, {self.image_wh[0]}x{self.image_wh[1]})"

    def __len__(self) -> int:
        return self.count

    def __getitem__(self, index: int) -> Record:
        index = range(self.count)[index]
        return Record(
            key=f"{index:06d}.png",
            pixels=ScenePixels(self.seed, index, self.image_wh),
            stated_wh=self.image_wh,
            labels=label_scene(self.seed, index, self.image_wh),
        )

    def __iter__(self) -> Iterator[Record]:
        return (self[index] for index in range(self.count))

    def fingerprint(self) -> str:
        """``sha256:...`` over the image keys in order and the annotations."""
        fingerprint = Fingerprint()
        for record in self:
            fingerprint.add(record.key)
            if record.labels is not None:
                fingerprint.add(record.labels.class_ids.tobytes())
                fingerprint.add(record.labels.boxes_xywh_px.tobytes())
        return str(fingerprint)

    def ground_truth(self, max_images: int | None = None) -> GroundTruthColumns:
        """Annotations of the first ``max_images`` scenes; renders no pixels."""
        rows = (
            (key, self.image_wh, label_scene(self.seed, index, self.image_wh))
            for index, key in enumerate(self.keys[:max_images])
        )
        return ground_truth_columns(rows, CLASSES, self.source)


def write_coco_shapes(
    dataset: SyntheticDataset, root: Path, split: str = "val", *, report: Report | None = None
) -> None:
    """``writers.write_coco`` with the names of the keypoints that shapes have."""
    write_coco(dataset, root, split, keypoint_names=KEYPOINTS, report=report)
