"""``MaskFileColumn``: masks of objects, each in an image file of its own, read on access."""

from __future__ import annotations

from collections.abc import Sequence
from itertools import chain
from pathlib import Path
from typing import TYPE_CHECKING

import numpy as np

from anydet.columns import LazyColumn
from anydet.dataclass import dataclass
from anydet.errors import DatasetError, ImageError
from anydet.geometry import masks
from anydet.types import RLE, IntArray, Segmentation

if TYPE_CHECKING:
    from typing_extensions import Self


@dataclass(frozen=True, slots=True, eq=False)
class MaskFileColumn(LazyColumn[Segmentation]):
    """One mask image a row, or ``None``; every value but 0 belongs to the object.

    Attributes:
        files: one a row.
    """

    files: tuple[Path | None, ...]

    def __len__(self) -> int:
        return len(self.files)

    def row(self, index: int) -> Segmentation:
        """The object of one row."""
        file = self.files[index]
        return None if file is None else read_mask(file)

    def take(self, rows: IntArray) -> Self:
        """Rows at these positions; nothing is read."""
        return type(self)(tuple(self.files[row] for row in rows.tolist()))

    @classmethod
    def join(cls, parts: Sequence[Self]) -> Self:
        """All rows, one column after the other."""
        return cls(tuple(chain.from_iterable(part.files for part in parts)))


def read_mask(path: Path) -> RLE:
    """The pixels of a grayscale image that are not 0.

    Raises:
        ImageError: the file cannot be read.
        DatasetError: it has several channels.
    """
    from PIL import Image

    from anydet.data.record.image_formats import open_image

    try:
        with open_image(path) as image:
            pixels = np.array(image)
    except (OSError, SyntaxError, ValueError, Image.DecompressionBombError) as exc:
        raise ImageError(f"{path}: cannot be read as a mask: {exc}", fix="write the mask again") from exc
    if pixels.ndim != 2:
        raise DatasetError(f"{path}: a mask has one number a pixel", fix="write it in grayscale: 0 and 255")
    return masks.encode(pixels != 0)
