"""Synthetic scenes for segmentation: shapes with class masks, and the class that fills most of the image.

Four of the shapes of ``shapes`` and the background are the classes, of pixels and of images alike. The class
of an image is the one whose shapes cover most pixels, ``background`` where there are none; it covers at least
``MARGIN`` times as many as the next. The five are equally likely. Clutter is behind the shapes.
"""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass

import numpy as np

from anydet.data.class_masks.dataset import with_regions
from anydet.data.dataset.columns import columns_of_records
from anydet.data.record.class_mask import BACKGROUND
from anydet.data.record.record import Record
from anydet.data.scenes import shapes
from anydet.data.scenes.dataset import SceneDataset, ScenePixels, key_of
from anydet.data.scenes.layers import CLUTTER, Item, Layer, lay_out, paint, place_bar, place_shape
from anydet.types import ByteImage, ClassTable, GroundTruthColumns, IntArray, Size

SHAPES = ("circle", "square", "triangle", "star")
CLASSES = ClassTable((BACKGROUND, *SHAPES))
MARGIN = 1.5
"""How many times as many pixels as the next class the class of an image covers."""
_MOST_OTHERS = 3


@dataclass(frozen=True, slots=True)
class MaskScene:
    """One scene; its layers are laid out on access.

    Attributes:
        seed: of all random choices, 0 or more.
        index: which scene of the seed.
        image_wh: (width, height) in pixels.
    """

    seed: int
    index: int
    image_wh: Size

    def pixels(self) -> ByteImage:
        """(H, W, 3) uint8 RGB."""
        layers, _ = self._lay_out()
        return paint(layers, np.random.default_rng([self.seed, self.index, 1]), self.image_wh)

    def classes(self) -> IntArray:
        """(H, W) class of each pixel."""
        return _class_map(self._lay_out()[0], self.image_wh)

    def class_id(self) -> int:
        """What the image as a whole shows."""
        return self._lay_out()[1]

    def _lay_out(self) -> tuple[list[Layer], int]:
        """What is painted, front to back, and the class of the image."""
        rng = np.random.default_rng([self.seed, self.index, 0])
        class_id = int(rng.integers(len(CLASSES)))
        bars = [place_bar(rng, self.image_wh) for _ in range(rng.integers(3))]
        if class_id == 0:
            return lay_out(bars, self.image_wh), 0
        items = [_shape(rng, self.image_wh, class_id, 0.26, 0.38, margin=0.3)]
        for _ in range(rng.integers(_MOST_OTHERS + 1)):
            other = _shape(rng, self.image_wh, int(rng.integers(1, len(CLASSES))), 0.1, 0.2)
            tried = [*items, other]  # behind the others, so that none of these loses a pixel
            if _leads(class_id, lay_out(tried, self.image_wh), self.image_wh):
                items = tried
        return lay_out([*items, *bars], self.image_wh), class_id


@dataclass(frozen=True, slots=True)
class SceneMask:
    """Classes of the pixels of a scene."""

    scene: MaskScene

    def read(self) -> IntArray:
        """(H, W) class of each pixel."""
        return self.scene.classes()


@dataclass(frozen=True, slots=True)
class SyntheticMasks(SceneDataset):
    """The first ``count`` scenes of a seed, with a class of each pixel and of the image."""

    image_wh: Size = (224, 224)

    shown = "segmentation scenes"
    classes = CLASSES

    def scene(self, index: int) -> MaskScene:
        """What a record shows."""
        return MaskScene(self.seed, index, self.image_wh)

    def record(self, position: int) -> Record:
        """Class mask of a scene, and its class as a whole."""
        scene = self.scene(position)
        return Record(
            key=key_of(position),
            pixels=ScenePixels(scene.pixels, self.image_wh),
            stated_wh=self.image_wh,
            class_mask=SceneMask(scene),
            extra={"classification": {"class_id": scene.class_id()}},
        )

    def annotations_of(self, position: int) -> Iterator[bytes]:
        """Classes of the pixels."""
        yield self.scene(position).classes().tobytes()

    def ground_truth(self, max_images: int | None = None) -> GroundTruthColumns:
        """Masks, classes and connected regions of the first ``max_images`` scenes; renders no pixels."""
        records = map(self.record, range(self.count)[:max_images])
        labeled = ((with_regions(record, self.image_wh, 0), self.image_wh) for record in records)
        return columns_of_records(labeled, CLASSES, self.source)


def _shape(
    rng: np.random.Generator, size_wh: Size, class_id: int, least: float, most: float, *, margin: float = 0.0
) -> Item:
    """A shape whose radius is between two fractions of the shorter side."""
    radius_px = min(size_wh) * float(rng.uniform(least, most))
    name = CLASSES.names[class_id]
    return place_shape(rng, size_wh, shapes.CLASSES.names.index(name), radius_px, margin=margin)


def _class_map(layers: list[Layer], size_wh: Size) -> IntArray:
    classes = np.zeros(size_wh[::-1], np.int64)
    for layer in layers:
        if layer.item.class_id != CLUTTER:
            classes[layer.mask(size_wh)] = 1 + SHAPES.index(shapes.CLASSES.names[layer.item.class_id])
    return classes


def _leads(class_id: int, layers: list[Layer], size_wh: Size) -> bool:
    """Whether a class covers so many more pixels than every other that it is the image's."""
    counts = np.bincount(_class_map(layers, size_wh).ravel(), minlength=len(CLASSES))[1:]
    others = np.delete(counts, class_id - 1)
    return bool(counts[class_id - 1] >= MARGIN * others.max())
