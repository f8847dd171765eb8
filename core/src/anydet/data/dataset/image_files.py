"""Images without labels, named one by one, by folder or by pattern."""

from __future__ import annotations

import os
from collections.abc import Sequence
from dataclasses import dataclass
from glob import glob
from pathlib import Path
from typing import NoReturn

from anydet.data.dataset.base import BaseDataset
from anydet.data.dataset.folder import find_images, is_image
from anydet.data.record.pixels import SUFFIXES, ImageFile
from anydet.data.record.record import Record
from anydet.errors import DatasetError
from anydet.types import ClassTable


@dataclass(frozen=True, slots=True, eq=False)
class ImageFilesDataset(BaseDataset):
    """Images from anywhere; the attributes are those of ``Dataset``.

    Attributes:
        root: deepest folder that holds all images; the keys are relative to it.
    """

    root: Path
    keys: tuple[str, ...]
    split: str = ""
    note: str = "images without labels"
    classes: ClassTable | None = None
    source: str = "none"

    def record(self, position: int) -> Record:
        """An image without labels."""
        path = self.root / self.keys[position]
        return Record(self.keys[position], ImageFile(path), path=path)

    def ground_truth(self, max_images: int | None = None) -> NoReturn:
        """Raises ``DatasetError``: there are no labels."""
        raise DatasetError(f"{self.root}: {self.note}", fix="give --dataset a labeled data set")


def open_image_files(sources: Sequence[str | Path]) -> ImageFilesDataset:
    """The images that files, folders (searched through) and patterns (``**`` too) name, each once.

    They keep the order of ``sources``; those of one folder or pattern are sorted. A file named in full is
    taken whatever its suffix.

    Raises:
        DatasetError: one of ``sources`` names no image.
    """
    bases: list[Path] = []
    found: dict[Path, None] = {}  # a set that keeps its order
    for source in map(str, sources):
        base, paths = _named(source)
        if not paths:
            raise DatasetError(
                f"{source}: {_lack(source)}",
                fix=f"name an image, a folder or a quoted pattern like '{_like(source)}'",
            )
        bases.append(base)
        found.update(dict.fromkeys(paths))
    for path in found:
        _require_name(path)
    root = Path(os.path.commonpath(bases))
    return ImageFilesDataset(root, tuple(path.relative_to(root).as_posix() for path in found))


def _require_name(path: Path) -> None:
    try:
        str(path).encode()
    except UnicodeEncodeError as exc:
        raise DatasetError(
            f"{os.fsencode(path)!r}: its name is not UTF-8, and predictions cannot name it", fix="rename it"
        ) from exc


def _named(source: str) -> tuple[Path, list[Path]]:
    """Base folder and images of one source, absolute."""
    path = _absolute(source)
    if path.is_dir():
        return path, [path / key for key in sorted(find_images(path))]
    if path.is_file():
        return path.parent, [path]
    paths: list[Path] = []
    for match in map(_absolute, sorted(glob(source, recursive=True))):  # noqa: PTH207 - Path.glob takes no absolute pattern
        if match.is_file() and is_image(match.name):
            paths.append(match)
    return Path(os.path.commonpath([p.parent for p in paths])) if paths else path, paths


def _absolute(source: str) -> Path:
    """Absolute without ``..``; links stay, since the name is what the user sees."""
    return Path(os.path.abspath(source))  # noqa: PTH100 - Path.resolve would follow links


def _lack(source: str) -> str:
    if Path(source).is_dir():
        return f"holds no images ({' '.join(sorted(SUFFIXES))})"
    return "no image matches"


def _like(source: str) -> str:
    parent = Path(source).parent
    return str((parent if parent.is_dir() else Path("photos")) / "*.jpg")
