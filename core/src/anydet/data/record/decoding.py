"""Image files to pixels, by Pillow; imported when the first file is opened."""

from __future__ import annotations

from pathlib import Path

import numpy as np
from PIL import Image, ImageOps, UnidentifiedImageError

from anydet.errors import ImageError
from anydet.types import ByteImage, Size

_EXIF_ORIENTATION = 0x0112
_TRANSPOSED = frozenset({5, 6, 7, 8})
_REFUSED = (OSError, ValueError, SyntaxError, Image.DecompressionBombError)


def decode(path: Path, stated_wh: Size | None) -> ByteImage:
    """(H, W, 3) uint8 RGB, turned upright unless only the unrotated image has the stated size.

    Raises ``ImageError`` naming the file.
    """
    try:
        with Image.open(path) as image:
            upright = ImageOps.exif_transpose(image) if _turns(image, stated_wh) else image
            return np.array(_to_rgb(upright))
    except _REFUSED as exc:
        raise _unreadable(path, exc) from exc


def read_size(path: Path, stated_wh: Size | None) -> Size:
    """(width, height) as ``decode`` gives it, from the file's header."""
    try:
        with Image.open(path) as image:
            width, height = image.size
            swaps = image.getexif().get(_EXIF_ORIENTATION, 1) in _TRANSPOSED
            return (height, width) if swaps and _turns(image, stated_wh) else (width, height)
    except _REFUSED as exc:
        raise _unreadable(path, exc) from exc


def _turns(image: Image.Image, stated_wh: Size | None) -> bool:
    if stated_wh is None or image.getexif().get(_EXIF_ORIENTATION, 1) not in _TRANSPOSED:
        return True
    # Boxes were drawn on the image whose size is stated: tools that ignore EXIF state the unrotated one. A
    # square image has the same size either way, and is turned as viewers turn it.
    width, height = image.size
    return stated_wh != (width, height) or width == height


def _to_rgb(image: Image.Image) -> Image.Image:
    if image.mode in {"I", "I;16", "I;16B", "F"}:  # Pillow would clip 16-bit grayscale to white
        deep = np.asarray(image, np.float64)
        top = 65535.0 if deep.max(initial=0) > 255 else 255.0
        image = Image.fromarray((np.clip(deep, 0, top) * (255.0 / top)).astype(np.uint8))
    return image.convert("RGB")


def _unreadable(path: Path, exc: Exception) -> ImageError:
    if isinstance(exc, FileNotFoundError):
        return ImageError(f"{path}: no such image", fix="check the data set's image folder")
    why = "not an image of a known kind" if isinstance(exc, UnidentifiedImageError) else str(exc)
    return ImageError(f"{path}: cannot be decoded: {why}", fix="repair or remove it, or use --on-error skip")
