"""Where pictures of images are written: one PNG an image, never over a source image."""

from __future__ import annotations

import os
from collections.abc import Iterable, Sequence
from pathlib import Path, PurePosixPath

from PIL import Image

from anydet.data.record.containment import contained
from anydet.errors import OptionError
from anydet.outputs import new_file
from anydet.types import ByteImage


def picture_paths(folder: Path, keys: Sequence[str], sources: Iterable[Path | None] = ()) -> tuple[Path, ...]:
    """The PNG of each image, below ``folder`` as its key is below the image folder.

    ``a/b.jpg`` becomes ``a/b.png``, or ``a/b.jpg.png`` for all images where two would have the same name.

    Args:
        folder: where they go.
        keys: of the images, each once.
        sources: files that must stay as they are.

    Raises:
        DatasetError: a key leads outside ``folder``.
        OptionError: a picture would overwrite one of ``sources``.
    """
    names = [str(PurePosixPath(key).with_suffix(".png")) for key in keys]
    # In lower case, as some file systems take names that differ in case for the same.
    if len({name.lower() for name in names}) < len(names):
        names = [f"{key}.png" for key in keys]
    paths = [contained(folder, name) for name in names]
    kept = {Path(os.path.realpath(source)) for source in sources if source is not None}
    for path in paths:
        if path in kept:
            raise OptionError(f"{path}: the overlay would overwrite its image", fix="name another folder")
    return tuple(folder / name for name in names)


def save_png(array: ByteImage, path: Path) -> None:
    """Write (H, W, 3) uint8 as PNG, as ``outputs.new_file`` does."""
    with new_file(path) as file:
        Image.fromarray(array).save(file, format="PNG", compress_level=1)  # 6 takes 4 times as long
