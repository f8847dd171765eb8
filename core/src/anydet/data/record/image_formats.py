"""Opening images by the decoders of image formats alone."""

from __future__ import annotations

import io
import os
import re
import stat
import warnings
from pathlib import Path

from PIL import Image, UnidentifiedImageError

from anydet.arguments import MOST_INTEGER
from anydet.errors import ImageSizeError, OptionError
from anydet.inputs import kind_of
from anydet.text import shortened

MAX_PIXELS = "ANYDET_MAX_PIXELS"
"""Environment variable: the most pixels of an image that is opened, by default Pillow's 178,956,970."""

_FORMATS = ("JPEG", "PNG", "BMP", "GIF", "PPM", "TIFF", "WEBP", "JPEG2000")
"""Pillow's names; those that it loads at once come first, and MPO is found by its JPEG decoder. It can open
more: PostScript, for one, starts a program that runs what the file says."""

_SIGNATURES = (
    (b"%!PS", "PostScript"),
    (b"%PDF", "PDF"),
    (b"8BPS", "a Photoshop document"),
    (b"version https://git-lfs", "a pointer of Git LFS: run 'git lfs pull'"),
    (b"PK\x03\x04", "a zip archive"),
    (b"\x1f\x8b", "gzip"),
    (b"<svg", "SVG"),
    (b"<?xml", "XML"),
    (b"<!DOC", "a web page"),
    (b"<html", "a web page"),
    (b"DDS ", "DDS"),
    (b"II*\0", "TIFF of a kind that is not read, such as colors in floats: write 8 or 16 bits"),
    (b"MM\0*", "TIFF of a kind that is not read, such as colors in floats: write 8 or 16 bits"),
)


def open_image(path: Path) -> Image.Image:
    """An image file, opened and not decoded yet; a context manager.

    Raises:
        OSError: it is not there, no regular file, or of no format that is read, which the text names.
        ImageSizeError: it has more pixels than are opened, which a small file may have to fill the memory.
        OptionError: ``ANYDET_MAX_PIXELS`` is no number.
    """
    mode = os.stat(path).st_mode  # noqa: PTH116 - as fast as it gets: once for each image
    if not stat.S_ISREG(mode):
        # Opening a pipe would wait for somebody to write.
        raise OSError(f"no file but {kind_of(mode)}")
    most = _most_pixels()
    if most is not None and most > (Image.MAX_IMAGE_PIXELS or most):
        # Of the process: Pillow looks at it again where it decodes. Here an image above it is refused.
        Image.MAX_IMAGE_PIXELS = most
        warnings.filterwarnings("ignore", category=Image.DecompressionBombWarning)
    try:
        image = Image.open(path, formats=_FORMATS)
    except Image.DecompressionBombError as exc:
        found = re.search(r"\d+", str(exc))
        raise _too_large(path, int(found[0]) if found else 0, 2 * (Image.MAX_IMAGE_PIXELS or 0)) from exc
    except UnidentifiedImageError:
        with path.open("rb") as file:
            head = file.read(32)
        if head[4:12] == b"ftypavif":
            return _open_avif(path)
        raise UnidentifiedImageError(_described(head)) from None
    pixels = image.width * image.height
    if most is not None and pixels > most:
        image.close()
        raise _too_large(path, pixels, most)
    return image


def _most_pixels() -> int | None:
    """What the environment variable says; ``None`` where it is not set."""
    given = os.environ.get(MAX_PIXELS)
    if not given:
        return None
    if not (given.isascii() and given.isdecimal() and len(given) < 20 and 0 < int(given) <= MOST_INTEGER):
        raise OptionError(
            f"{MAX_PIXELS}: {shortened(given)} is no number of pixels", fix="set a whole number above 0"
        )
    return int(given)


def _too_large(path: Path, pixels: int, most: int) -> ImageSizeError:
    return ImageSizeError(
        f"{path}: {pixels} pixels, which exceeds limit {most}",
        fix=f"allow them (environment {MAX_PIXELS}={pixels}), or cut it into smaller images",
        pixels=pixels,
    )


def open_png(content: bytes) -> Image.Image:
    """A PNG file in memory, opened and not decoded yet; a context manager. ``OSError`` where it is none."""
    return Image.open(io.BytesIO(content), formats=("PNG",))


def _open_avif(path: Path) -> Image.Image:
    Image.init()
    if "AVIF" not in Image.OPEN:
        raise UnidentifiedImageError("it holds AVIF, which Pillow reads from version 11.3 on")
    return Image.open(path, formats=("AVIF",))


def _described(head: bytes) -> str:
    if not head:
        return "the file is empty"
    found = next((name for start, name in _SIGNATURES if head.startswith(start)), None)
    return f"it holds {found}" if found else "not an image of a known kind"
