"""Whether image files are cut off, without decoding them: by their end markers, or by where pixels are.

A file that fails here may still be whole: some writers leave out an end marker or add bytes behind it.
Decoding decides (``inspection.files``).

Sources: JPEG (ITU T.81, B.1.1.3), PNG (11.2.5), GIF89a (27), RIFF of WebP, TIFF 6.0 (strips and tiles), and
the header of BMP.
"""

from __future__ import annotations

import os
from collections.abc import Callable
from pathlib import Path
from typing import IO

from PIL import Image

from anydet.data.record.image_formats import open_image
from anydet.inputs import open_file

_PNG_END = b"\0\0\0\0IEND\xaeB`\x82"
_JPEG_END = b"\xff\xd9"
_GIF_END = b";"
_OFFSETS, _COUNTS = (273, 324), (279, 325)
"""TIFF's tags: strips, then tiles."""


def ends_well(path: Path) -> bool:
    """Whether a file has the end that its format asks for; true for formats without one.

    Raises ``ImageError`` or ``OSError`` as ``open_image`` does.
    """
    with open_image(path) as image:
        kind = "JPEG" if image.format == "MPO" else image.format or ""
        last = _last_byte_of_tiff(image) if kind == "TIFF" else 0
    check = _CHECKS.get(kind)
    with open_file(path) as file:
        size = os.fstat(file.fileno()).st_size
        return last <= size and (check is None or check(file, size))


def _last_byte_of_tiff(image: Image.Image) -> int:
    """Where the last strip or tile of the first picture ends; 0 where the tags do not say."""
    tags = getattr(image, "tag_v2", {})
    ends = [0]
    for offsets, counts in zip(_OFFSETS, _COUNTS, strict=True):
        pairs = zip(tags.get(offsets, ()), tags.get(counts, ()), strict=False)
        ends += [int(start) + int(length) for start, length in pairs]
    return max(ends)


def _ends_with(marker: bytes) -> Callable[[IO[bytes], int], bool]:
    def check(file: IO[bytes], size: int) -> bool:
        file.seek(max(size - len(marker), 0))
        return file.read() == marker

    return check


def _number(file: IO[bytes], at: int) -> int:
    """32 bits, the lowest byte first."""
    file.seek(at)
    return int.from_bytes(file.read(4), "little")


_CHECKS: dict[str, Callable[[IO[bytes], int], bool]] = {
    "JPEG": _ends_with(_JPEG_END),
    "JPEG2000": _ends_with(_JPEG_END),
    "PNG": _ends_with(_PNG_END),
    "GIF": _ends_with(_GIF_END),
    "WEBP": lambda file, size: _number(file, 4) + 8 <= size,
    "BMP": lambda file, size: _number(file, 2) <= size,
    "PPM": lambda _file, _size: False,  # without marker and without compression: decoding is the check
}
