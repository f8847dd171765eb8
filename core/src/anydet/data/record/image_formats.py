"""Opening images by the decoders of image formats alone."""

from __future__ import annotations

import io
import os
import stat
from pathlib import Path

from PIL import Image, UnidentifiedImageError

from anydet.inputs import kind_of

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
)


def open_image(path: Path) -> Image.Image:
    """An image file, opened and not decoded yet; a context manager.

    Raises:
        OSError: it is not there, no regular file, or of no format that is read, which the text names.
    """
    mode = os.stat(path).st_mode  # noqa: PTH116 - as fast as it gets: once for each image
    if not stat.S_ISREG(mode):
        # Opening a pipe would wait for somebody to write.
        raise OSError(f"no file but {kind_of(mode)}")
    try:
        return Image.open(path, formats=_FORMATS)
    except UnidentifiedImageError:
        with path.open("rb") as file:
            head = file.read(32)
        if head[4:12] == b"ftypavif":
            return _open_avif(path)
        raise UnidentifiedImageError(_described(head)) from None


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
