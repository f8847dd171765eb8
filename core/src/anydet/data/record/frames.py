"""Files of several frames or pages: which were opened, of which the first is read as any image is."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import TYPE_CHECKING

from anydet.text import counted, shortened

if TYPE_CHECKING:
    from PIL import Image

_ANIMATED = frozenset({"GIF", "TIFF", "WEBP", "PNG"})
"""Formats whose further frames are further pictures; those of an MPO are other views of one."""
_noting: list[dict[Path, None]] = []
"""Of all that note at the moment; images are decoded in threads of their own."""


@contextmanager
def noting_frames() -> Iterator[dict[Path, None]]:
    """Files of several frames that are opened meanwhile, in this process, each once."""
    seen: dict[Path, None] = {}
    _noting.append(seen)
    try:
        yield seen
    finally:
        _noting[:] = [other for other in _noting if other is not seen]


def note_frames(image: Image.Image, path: Path) -> None:
    """Note an image that was opened, where somebody asks: it takes a look behind the first frame."""
    if _noting and image.format in _ANIMATED and getattr(image, "is_animated", False):
        for seen in _noting:
            seen[path] = None


def frames_notice(seen: dict[Path, None]) -> str:
    """A sentence on files of several frames; empty where there are none."""
    if not seen:
        return ""
    have = "has" if len(seen) == 1 else "have"
    return (
        f"{counted(len(seen), 'image')} {have} several frames or pages, of which the first is read "
        f"(such as {shortened(next(iter(seen)).name)})"
    )
