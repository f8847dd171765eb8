"""Pixels: decode files to (H, W, 3) uint8 RGB with the orientation that the data set means."""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path
from typing import Protocol

import numpy as np
from PIL import Image, ImageOps, UnidentifiedImageError

from anydet.errors import ImageError
from anydet.types import ByteImage, Size

SUFFIXES = frozenset({".bmp", ".jpeg", ".jpg", ".png", ".ppm", ".tif", ".tiff", ".webp"})
_EXIF_ORIENTATION = 0x0112
_TRANSPOSED = frozenset({5, 6, 7, 8})


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
        try:
            with Image.open(self.path) as image:
                upright = ImageOps.exif_transpose(image) if self._turns(image) else image
                return np.array(_to_rgb(upright))
        except (OSError, ValueError, SyntaxError, Image.DecompressionBombError) as exc:
            raise _unreadable(self.path, exc) from exc

    def size_wh(self) -> Size:
        """Size after orientation, from the file's header."""
        try:
            with Image.open(self.path) as image:
                width, height = image.size
                swaps = image.getexif().get(_EXIF_ORIENTATION, 1) in _TRANSPOSED
                return (height, width) if swaps and self._turns(image) else (width, height)
        except (OSError, ValueError, SyntaxError, Image.DecompressionBombError) as exc:
            raise _unreadable(self.path, exc) from exc

    def _turns(self, image: Image.Image) -> bool:
        if self.stated_wh is None or image.getexif().get(_EXIF_ORIENTATION, 1) not in _TRANSPOSED:
            return True
        width, height = image.size
        return self.stated_wh != (width, height) or width == height


def _to_rgb(image: Image.Image) -> Image.Image:
    if image.mode in {"I", "I;16", "I;16B", "F"}:  # Pillow would clip 16-bit greyscale to white
        deep = np.asarray(image, np.float64)
        top = 65535.0 if deep.max(initial=0) > 255 else 255.0
        image = Image.fromarray((np.clip(deep, 0, top) * (255.0 / top)).astype(np.uint8))
    return image.convert("RGB")


def _unreadable(path: Path, exc: Exception) -> ImageError:
    if isinstance(exc, FileNotFoundError):
        return ImageError(f"{path}: no such image", fix="check the data set's image folder")
    why = "not an image of a known kind" if isinstance(exc, UnidentifiedImageError) else str(exc)
    return ImageError(f"{path}: cannot be decoded: {why}", fix="repair or remove it, or use --on-error skip")


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
