"""Image files to pixels, by Pillow; imported when the first file is opened."""

from __future__ import annotations

import os
import struct
from pathlib import Path
from typing import IO

import numpy as np
from PIL import Image, ImageOps
from PIL.PngImagePlugin import PngImageFile

from anydet.data.record.frames import note_frames
from anydet.data.record.image_formats import open_image
from anydet.errors import ImageError
from anydet.types import ByteImage, FloatArray, IntArray, Size

_EXIF_ORIENTATION = 0x0112
_PNG_SIGNATURE = b"\x89PNG\r\n\x1a\n"
_PNG_METADATA = frozenset({b"eXIf", b"tEXt", b"zTXt", b"iTXt"})
"""Chunks in which Pillow looks for an orientation."""
_TURNED = frozenset(range(2, 9))
_TRANSPOSED = frozenset({5, 6, 7, 8})
_REFUSED = (OSError, ValueError, SyntaxError, Image.DecompressionBombError)
_DEEP = frozenset({"I", "I;16", "I;16L", "I;16B", "I;16N", "F"})
"""Modes of one number of more than 8 bits a pixel."""


def decode(path: Path, stated_wh: Size | None) -> ByteImage:
    """(H, W, 3) uint8 RGB, turned upright unless only the unrotated image has the stated size.

    Raises ``ImageError`` naming the file.
    """
    try:
        with open_image(path) as image:
            note_frames(image, path)
            # Pillow copies an image that is upright or RGB already: a third of the time of decoding it.
            turned = _orientation(image) in _TURNED and _turns(image, stated_wh)
            upright = ImageOps.exif_transpose(image) if turned else image
            return np.array(upright if upright.mode == "RGB" else _to_rgb(upright))
    except _REFUSED as exc:
        raise _unreadable(path, exc) from exc


def read_size(path: Path, stated_wh: Size | None) -> Size:
    """(width, height) as ``decode`` gives it, from the file's header."""
    try:
        with open_image(path) as image:
            note_frames(image, path)
            width, height = image.size
            swaps = _orientation(image) in _TRANSPOSED
            return (height, width) if swaps and _turns(image, stated_wh) else (width, height)
    except _REFUSED as exc:
        raise _unreadable(path, exc) from exc


def _turns(image: Image.Image, stated_wh: Size | None) -> bool:
    if stated_wh is None or _orientation(image) not in _TRANSPOSED:
        return True
    # Boxes were drawn on the image whose size is stated: tools that ignore EXIF state the unrotated one. A
    # square image has the same size either way, and is turned as viewers turn it.
    width, height = image.size
    return stated_wh != (width, height) or width == height


def _orientation(image: Image.Image) -> int:
    """EXIF orientation of an open image, 1 where it has none; pixels are decoded only if they must be."""
    # Pillow decodes a PNG before it looks for EXIF data, which may be behind the pixels but hardly ever are:
    # 8.5 ms instead of 0.06 for 640 x 480 pixels.
    behind = not isinstance(image, PngImageFile) or image.fp is None or _metadata_follows(image.fp)
    exif = image.getexif() if behind else Image.Image.getexif(image)
    orientation: int = exif.get(_EXIF_ORIENTATION, 1)
    return orientation


def _metadata_follows(png: IO[bytes]) -> bool:
    """Whether a PNG has metadata behind its first pixels; the file's position stays."""
    position = png.tell()
    png.seek(len(_PNG_SIGNATURE))
    pixels = False
    try:
        while len(head := png.read(8)) == 8:
            length, kind = struct.unpack(">I4s", head)
            if pixels and kind in _PNG_METADATA:
                return True
            pixels = pixels or kind == b"IDAT"
            png.seek(length + 4, os.SEEK_CUR)  # a checksum of 4 bytes ends each chunk
        return False
    finally:
        png.seek(position)


def _to_rgb(image: Image.Image) -> Image.Image:
    if image.mode in _DEEP:  # Pillow would clip their numbers to 255
        image = Image.fromarray(_as_bytes(np.asarray(image)))
    return image.convert("RGB")


def _as_bytes(values: IntArray | FloatArray) -> ByteImage:
    """(H, W) numbers of more than 8 bits as 0 to 255: parts of the least range that holds all of them.

    The ranges are 0..1 (floats alone), 0..255, and 0..65535, of which the high byte counts, as Pillow and
    OpenCV take it of colors of 16 bits; beyond, the largest number is white. NaN and what is negative is
    black, infinity white.
    """
    finite = values[np.isfinite(values)]
    top = float(finite.max(initial=0))
    deep = np.clip(np.nan_to_num(values, nan=0.0, posinf=top, neginf=0.0).astype(np.float64), 0.0, top)
    if top <= 1.0 and values.dtype.kind == "f":
        scaled = np.round(deep * 255.0)
    elif top <= 255.0:
        scaled = np.round(deep)
    else:
        scaled = np.floor(deep / 256.0) if top <= 65535.0 else np.round(deep * (255.0 / top))
    return scaled.astype(np.uint8)


def _unreadable(path: Path, exc: Exception) -> ImageError:
    if isinstance(exc, FileNotFoundError):
        return ImageError(f"{path}: no such image", fix="check the data set's image folder")
    if isinstance(exc, PermissionError):
        return ImageError(f"{path}: cannot be read: {exc.strerror}", fix="change its permissions")
    return ImageError(f"{path}: cannot be decoded: {exc}", fix="repair or remove it")
