"""Class mask images: each pixel's value is the class it shows, 255 where it is not labeled."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from itertools import chain
from pathlib import Path
from typing import TYPE_CHECKING, Protocol

import numpy as np

from anydet.columns import LazyColumn
from anydet.dataclass import dataclass
from anydet.errors import DatasetError, ImageError
from anydet.geometry import masks
from anydet.types import RLE, ClassTable, IntArray

if TYPE_CHECKING:
    from typing_extensions import Self

# As in Pascal VOC and Cityscapes.
UNLABELED = 255
BACKGROUND = "background"
"""Name, in any case, of the class of pixels that show nothing; they are no objects."""


class ClassMask(Protocol):
    """Which class each pixel of an image shows. Only ``read`` opens a file; implementations are picklable."""

    def read(self) -> IntArray:
        """(H, W) class of each pixel, -1 where unlabeled."""


@dataclass(frozen=True, slots=True)
class ClassMaskFile:
    """A mask image whose values are the classes.

    Attributes:
        path: the file.
    """

    path: Path

    def read(self) -> IntArray:
        """(H, W) class of each pixel, -1 where unlabeled; raises as ``read_class_map``."""
        return read_class_map(self.path)


def background_of(classes: ClassTable | None) -> int | None:
    """Id of the class called background, where there is one."""
    names = [name.lower() for name in classes.names] if classes else []
    return names.index(BACKGROUND) if BACKGROUND in names else None


@dataclass(frozen=True, slots=True, eq=False)
class ClassMaskColumn(LazyColumn[Mapping[int, RLE] | None]):
    """Semantic masks; the mask of an image is read when its row is.

    Attributes:
        sources: class mask of each image, or ``None``.
    """

    sources: tuple[ClassMask | None, ...]

    def __len__(self) -> int:
        return len(self.sources)

    def row(self, index: int) -> Mapping[int, RLE] | None:
        """The object of one row."""
        classes = self.class_map(index)
        return None if classes is None else masks_of_classes(classes)

    def class_map(self, index: int) -> IntArray | None:
        """(H, W) class of each pixel, -1 where unlabeled: the row without the cost of encoding masks."""
        source = self.sources[index]
        return None if source is None else source.read()

    def take(self, rows: IntArray) -> Self:
        """Rows at these positions; nothing is read."""
        return type(self)(tuple(self.sources[row] for row in rows.tolist()))

    @classmethod
    def join(cls, parts: Sequence[Self]) -> Self:
        """All rows, one part after the other."""
        return cls(tuple(chain.from_iterable(part.sources for part in parts)))


def masks_of_classes(classes: IntArray) -> dict[int, RLE]:
    """Class id -> mask, for the classes that an (H, W) class map has; -1 is none."""
    # np.unique would sort all pixels.
    present = np.flatnonzero(np.bincount(classes.ravel() + 1)[1:])
    return {one: masks.encode(classes == one) for one in present.tolist()}


def read_class_map(path: Path) -> IntArray:
    """(H, W) class of each pixel of a mask image (grayscale or palette, 8 or 16 bits), -1 where unlabeled.

    Raises:
        ImageError: the file cannot be read.
        DatasetError: it is an image in colors.
    """
    from PIL import Image

    from anydet.data.record.image_formats import open_image

    try:
        with open_image(path) as image:
            mode, pixels = image.mode, np.array(image)
    except (OSError, SyntaxError, ValueError, Image.DecompressionBombError) as exc:
        raise ImageError(f"{path}: cannot be read as an image: {exc}", fix="write the mask again") from exc
    if pixels.ndim != 2:
        raise DatasetError(
            f"{path}: a class mask has one number a pixel, this image has {pixels.shape[2]} ({mode})",
            fix="write it in grayscale (PNG), each pixel's value being its class id, 255 for unlabeled",
        )
    return np.where(pixels == UNLABELED, -1, pixels.astype(np.int64))
