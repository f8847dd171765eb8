"""Class mask images: each pixel's value is the class it shows, 255 where nobody labelled it."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from itertools import chain
from pathlib import Path
from typing import TYPE_CHECKING, Any, overload

import numpy as np

from anydet.columns import LazyColumn
from anydet.errors import DatasetError, ImageError
from anydet.geometry import masks
from anydet.types import RLE, IntArray

if TYPE_CHECKING:
    from typing_extensions import Self

UNLABELLED = 255


@dataclass(frozen=True, slots=True, eq=False)
class ClassMaskFiles(LazyColumn[Mapping[int, RLE] | None]):
    """Semantic masks that are read from their files when asked for.

    Attributes:
        paths: the file of each image, or ``None``.
    """

    paths: tuple[Path | None, ...]

    def __len__(self) -> int:
        return len(self.paths)

    @overload
    def __getitem__(self, index: int) -> Mapping[int, RLE] | None: ...
    @overload
    def __getitem__(self, index: slice) -> tuple[Mapping[int, RLE] | None, ...]: ...
    def __getitem__(self, index: int | slice) -> Any:
        if isinstance(index, slice):
            return tuple(self[i] for i in range(*index.indices(len(self))))
        path = self.paths[index]
        return None if path is None else read_class_mask(path)

    def class_map(self, index: int) -> IntArray | None:
        """(H, W) class of each pixel, -1 where unlabelled; what the masks say, sooner read."""
        path = self.paths[index]
        return None if path is None else read_class_map(path)

    def take(self, rows: IntArray) -> Self:
        """Rows at these positions; nothing is read."""
        return type(self)(tuple(self.paths[row] for row in rows.tolist()))

    @classmethod
    def join(cls, parts: Sequence[Self]) -> Self:
        """All rows, one part after the other."""
        return cls(tuple(chain.from_iterable(part.paths for part in parts)))


def read_class_mask(path: Path) -> dict[int, RLE]:
    """The pixels of each class of a mask image; raises as ``read_class_map``."""
    classes = read_class_map(path)
    present = np.flatnonzero(np.bincount(classes.ravel() + 1)[1:])
    return {one: masks.encode(classes == one) for one in present.tolist()}


def read_class_map(path: Path) -> IntArray:
    """(H, W) class of each pixel of a mask image (greyscale or palette, 8 or 16 bits), -1 where unlabelled.

    Raises:
        ImageError: the file cannot be read.
        DatasetError: it is an image in colours.
    """
    from PIL import Image

    try:
        with Image.open(path) as image:
            mode, pixels = image.mode, np.array(image)
    except (OSError, SyntaxError, ValueError, Image.DecompressionBombError) as exc:
        raise ImageError(f"{path}: cannot be read as an image: {exc}", fix="write the mask again") from exc
    if pixels.ndim != 2:
        raise DatasetError(
            f"{path}: a class mask has one number a pixel, this image has {pixels.shape[2]} ({mode})",
            fix="write it in greyscale (PNG), each pixel's value being its class id, 255 for unlabelled",
        )
    return np.where(pixels == UNLABELLED, -1, pixels.astype(np.int64))
