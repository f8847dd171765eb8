"""Formats of packages that are not installed: a cheap look, so that an error can name the package."""

from __future__ import annotations

import os
import re
from collections.abc import Callable, Collection, Iterator
from itertools import chain
from pathlib import Path

from anydet.data.dataset.splits import SPLITS
from anydet.errors import DatasetError
from anydet.inputs import open_file

_BOP_FILES = ("scene_gt.json", "scene_camera.json")
# {"image.jpg": {"image": {..., "parts": {...: no object at the top of a COCO file begins in this way
_DELFTBIKES = re.compile(rb'\s*\{\s*"[^"]+"\s*:\s*\{\s*"(?:image|parts)"\s*:\s*\{')
_HEAD_BYTES = 4096


def check_installed(path: Path, tried: Collection[str]) -> None:
    """Refuse a data set whose format a package would bring.

    Args:
        path: file or folder.
        tried: names of the formats that did not match.

    Raises:
        DatasetError: that names the format and the package.
    """
    for name, (title, package, look) in _FORMATS.items():
        if name not in tried and look(path):
            raise DatasetError(
                f"{path}: looks like a {title} data set, and the package {package} is not installed",
                fix=f"pip install {package}",
            )


def _looks_like_bop(path: Path) -> bool:
    """Whether a folder, or one of its folders, has scenes."""
    return any(map(_has_scene, (path, *folders_in(path))))


def _has_scene(folder: Path) -> bool:
    scenes = (scene for scene in folders_in(folder) if scene.name.isdecimal())
    return any((scene / name).is_file() for scene in scenes for name in _BOP_FILES)


def folders_in(folder: Path) -> Iterator[Path]:
    """The folders of a folder but for hidden ones; none where it is none, or may not be read."""
    if not folder.is_dir():
        return
    # Entries of scandir know without a further call whether they are folders; there may be many images.
    try:
        with os.scandir(folder) as entries:
            found = [entry.name for entry in entries if _is_folder(entry) and not entry.name.startswith(".")]
    except PermissionError:
        return
    yield from (folder / name for name in found)


def _is_folder(entry: os.DirEntry[str]) -> bool:
    try:
        return entry.is_dir()
    except OSError:  # a link that leads in a circle
        return False


def _looks_like_delftbikes(path: Path) -> bool:
    """Whether a file, or one of a folder's annotations files, begins with parts and their states."""
    if path.is_file():
        return path.suffix.lower() == ".json" and _begins_with_parts(path)
    named = (path.glob(f"{folder}*_annotations.json") for folder in ("", "annotations/"))
    plain = (path / f"{split}.json" for split in (*SPLITS, "test"))
    return any(map(_begins_with_parts, chain(*named, plain)))


def _begins_with_parts(file: Path) -> bool:
    try:
        with open_file(file) as stream:
            return _DELFTBIKES.match(stream.read(_HEAD_BYTES)) is not None
    except OSError:
        return False


_FORMATS: dict[str, tuple[str, str, Callable[[Path], bool]]] = {
    "bop": ("BOP", "anydet-bop", _looks_like_bop),
    "delftbikes": ("DelftBikes", "anydet-delftbikes", _looks_like_delftbikes),
}
"""Name of a format -> its title, its package, and a look at a path."""
