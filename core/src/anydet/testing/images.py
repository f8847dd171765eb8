"""Images that the checks show to adapters, in memory and as files."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import overload

import numpy as np
from PIL import Image

from anydet.data.record.pixels import ImageArray, ImageFile
from anydet.data.record.record import Record
from anydet.data.scenes.shape_scenes import render_scene
from anydet.types import ByteImage

KEYS = ("street/0001.png", "0001.png", "yard/0001.png", "alley/deep/0000.png", "zoo.png")
"""Not in alphabetical order, and three have the same basename: neither may matter to an adapter."""
SIZES_WH = ((160, 120), (120, 160), (96, 96), (211, 97), (64, 128))
_EXIF_ORIENTATION = 0x0112
_QUARTER_TURN = 6  # shown turned by 90 degrees clockwise


def default_images() -> tuple[ByteImage, ...]:
    """Synthetic scenes of several sizes, each with shapes in it."""
    return tuple(render_scene(2, i, size).image for i, size in enumerate(SIZES_WH))


def in_memory(images: Sequence[ByteImage]) -> list[Record]:
    """A record an image, with keys of ``KEYS`` (numbered where there are more) and no file."""
    keys = [*KEYS, *(f"more/{i:04}.png" for i in range(len(KEYS), len(images)))]
    return [
        # A copy: an adapter that writes into its pixels must not spoil the images of later checks.
        Record(key, ImageArray(image.copy()), extra={"note": key})
        for key, image in zip(keys, images, strict=False)
    ]


def on_disk(path: Path) -> Record:
    """The record of an image file."""
    return Record(path.name, ImageFile(path), path=path)


def write_grayscale(image: ByteImage, path: Path) -> Path:
    """A PNG with one channel."""
    Image.fromarray(image).convert("L").save(path)
    return path


def write_rotated(image: ByteImage, path: Path) -> Path:
    """A JPEG whose stored pixels are rotated by 90 degrees, with the EXIF orientation for it."""
    exif = Image.Exif()
    exif[_EXIF_ORIENTATION] = _QUARTER_TURN
    sideways = np.ascontiguousarray(np.rot90(image))
    Image.fromarray(sideways).save(path, exif=exif, quality=95)
    return path


def write_corrupt(path: Path) -> Path:
    """A file that begins like a PNG and goes on as noise."""
    path.write_bytes(b"\x89PNG\r\n\x1a\n" + np.random.default_rng(0).bytes(400))
    return path


@dataclass(frozen=True, eq=False)
class LazyRecords(Sequence[Record]):
    """A sequence that is no list: each record is made on access."""

    images: Sequence[ByteImage]

    def __len__(self) -> int:
        return len(self.images)

    @overload
    def __getitem__(self, index: int) -> Record: ...
    @overload
    def __getitem__(self, index: slice) -> Sequence[Record]: ...
    def __getitem__(self, index: int | slice) -> Record | Sequence[Record]:
        return in_memory(self.images)[index]
