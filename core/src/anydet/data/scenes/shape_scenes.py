"""Synthetic scenes: colored shapes on textured backgrounds, with exact ground truth.

Scene ``index`` of ``seed`` is the same whatever the number of scenes and whoever renders it: every random
choice comes from a generator seeded with (seed, index). Only NumPy and Pillow draw.

Every painted shape is labeled. One of which less than ``layers.MIN_VISIBLE`` could be seen, because others
cover it or because it leaves the image, is not painted at all. Mask, area and box are those of the visible
pixels, and the box is the smallest one around the mask. Gray bars above and below the shapes are clutter.

All shapes have the keypoints of ``shapes.KEYPOINTS`` and are lit from their tip: their rotation can be seen.
Visibility is COCO's: 2 seen, 1 covered, 0 outside the image (and then x = y = 0).
"""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass
from functools import partial
from pathlib import Path

import numpy as np

from anydet.data.record.record import Record
from anydet.data.scenes.dataset import SceneDataset, ScenePixels, key_of
from anydet.data.scenes.layers import CLUTTER, Item, Layer, lay_out, paint, place_bar, place_shape
from anydet.data.scenes.shapes import CLASSES, KEYPOINTS
from anydet.data.writing.coco import write_coco
from anydet.data.writing.images import Report
from anydet.geometry import masks
from anydet.types import BoolArray, ByteImage, FloatArray, Labels, Size


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
    # Painting has a generator of its own, so that labels are the same whether or not pixels are painted.
    layers = _lay_out(seed, index, size_wh)
    return Scene(paint(layers, np.random.default_rng([seed, index, 1]), size_wh), _label(layers, size_wh))


def label_scene(seed: int, index: int, size_wh: Size = (320, 240)) -> Labels:
    """The labels of ``render_scene`` without its pixels."""
    return _label(_lay_out(seed, index, size_wh), size_wh)


def _lay_out(seed: int, index: int, size_wh: Size) -> list[Layer]:
    return lay_out(_items(np.random.default_rng([seed, index, 0]), size_wh), size_wh)


def _items(rng: np.random.Generator, size_wh: Size) -> list[Item]:
    """Shapes and clutter, front one first; one image in ten has no shapes."""
    shapes = 0 if rng.random() < 0.1 else int(rng.integers(1, 9))
    items = [_shape(rng, size_wh) for _ in range(shapes)] + [
        place_bar(rng, size_wh) for _ in range(rng.integers(4))
    ]
    return [items[i] for i in rng.permutation(len(items))]


def _shape(rng: np.random.Generator, size_wh: Size) -> Item:
    class_id = int(rng.integers(len(CLASSES)))
    radius_px = min(size_wh) * float(np.exp(rng.uniform(np.log(0.05), np.log(0.3))))
    return place_shape(rng, size_wh, class_id, radius_px)


def _label(layers: list[Layer], size_wh: Size) -> Labels:
    """Ground truth of what can be seen, front to back."""
    shapes = [layer for layer in layers if layer.item.class_id != CLUTTER]
    visible = [layer.mask(size_wh) for layer in shapes]
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


def _visibility(points: FloatArray, visible: BoolArray) -> FloatArray:
    """(K, 3) x, y and COCO visibility of points, by the pixel that each is in."""
    height, width = visible.shape
    column, row = np.floor(points).astype(np.int64).T
    inside = (column >= 0) & (column < width) & (row >= 0) & (row < height)
    seen = inside & visible[row.clip(0, height - 1), column.clip(0, width - 1)]
    return np.concatenate([points * inside[:, None], (inside.astype(int) + seen)[:, None]], axis=1)


@dataclass(frozen=True, slots=True)
class SyntheticDataset(SceneDataset):
    """The first ``count`` scenes of a seed as a ``Dataset`` that needs no disk."""

    shown = "scenes"
    classes = CLASSES

    def record(self, position: int) -> Record:
        """Boxes, masks and keypoints of a scene."""
        return Record(
            key=key_of(position),
            pixels=ScenePixels(partial(_paint, self.seed, position, self.image_wh), self.image_wh),
            stated_wh=self.image_wh,
            labels=label_scene(self.seed, position, self.image_wh),
        )

    def annotations_of(self, position: int) -> Iterator[bytes]:
        """Classes and boxes."""
        labels = label_scene(self.seed, position, self.image_wh)
        yield labels.class_ids.tobytes()
        yield labels.boxes_xywh_px.tobytes()


def _paint(seed: int, index: int, image_wh: Size) -> ByteImage:
    return render_scene(seed, index, image_wh).image


def write_coco_shapes(
    dataset: SyntheticDataset, root: Path, split: str = "val", *, report: Report | None = None
) -> None:
    """``writing.coco.write_coco`` with the names of the keypoints that shapes have."""
    write_coco(dataset, root, split, keypoint_names=KEYPOINTS, report=report)
