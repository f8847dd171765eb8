"""Pixels: decode files to (H, W, 3) uint8 RGB with the orientation that the data set means."""

from __future__ import annotations

from pathlib import Path
from typing import Protocol

from anydet.dataclass import dataclass
from anydet.types import ByteImage, Size

SUFFIXES = frozenset({".bmp", ".gif", ".jpeg", ".jpg", ".png", ".ppm", ".tif", ".tiff", ".webp"})


class Pixels(Protocol):
    """Where a record's pixels come from. Implementations are picklable."""

    def read(self) -> ByteImage:
        """(H, W, 3) uint8 RGB."""

    def size_wh(self) -> Size:
        """(width, height), without decoding where that is possible."""


@dataclass(frozen=True, slots=True)
class ImageFile:
    """An image file.

    EXIF orientation is applied, unless the data set states a size that only the unrotated image has.

    Attributes:
        path: the file.
        stated_wh: size that the data set states, or ``None``.
    """

    path: Path
    stated_wh: Size | None = None

    def read(self) -> ByteImage:
        """Decode to (H, W, 3) uint8 RGB; raises ``ImageError`` naming the file."""
        from anydet.data.record.decoding import decode

        return decode(self.path, self.stated_wh)

    def size_wh(self) -> Size:
        """Size after orientation, from the file's header; raises ``ImageError`` naming the file."""
        from anydet.data.record.decoding import read_size

        return read_size(self.path, self.stated_wh)


@dataclass(frozen=True, slots=True, eq=False)
class ImageArray:
    """Pixels already in memory: decoded ahead, rendered, or a video frame.

    Attributes:
        array: (H, W, 3) uint8 RGB.
    """

    array: ByteImage

    def read(self) -> ByteImage:
        """The array itself."""
        return self.array

    def size_wh(self) -> Size:
        """(width, height) of the array."""
        height, width = self.array.shape[:2]
        return int(width), int(height)
