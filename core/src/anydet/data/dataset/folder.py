"""A folder of images without labels."""

from __future__ import annotations

import os
import warnings
from collections.abc import Iterator, Sequence
from dataclasses import replace
from pathlib import Path
from typing import NoReturn

from anydet.data.dataset.base import BaseDataset
from anydet.data.dataset.oddities import Oddity, warn_of
from anydet.data.dataset.splits import SPLITS, UNSPLIT, Split, choose_split
from anydet.data.dataset.unread_labels import look_for_labels
from anydet.data.record.containment import ContainedImage
from anydet.data.record.pixels import SUFFIXES
from anydet.data.record.record import Record
from anydet.dataclass import dataclass
from anydet.errors import AnydetWarning, DatasetError
from anydet.types import ClassTable


@dataclass(frozen=True, slots=True, eq=False)
class FolderDataset(BaseDataset):
    """Images without labels; the attributes are those of ``Dataset``.

    Attributes:
        images_dir: folder that the keys are relative to.
        oddities: files that look like labels and are not read.
    """

    root: Path
    split: str
    note: str
    images_dir: Path
    keys: tuple[str, ...]
    classes: ClassTable | None = None
    source: str = "none"
    oddities: tuple[Oddity, ...] = ()

    def record(self, position: int) -> Record:
        """An image without labels."""
        key = self.keys[position]
        return Record(key, ContainedImage(self.images_dir, key), path=self.images_dir / key)

    def ground_truth(self, max_images: int | None = None) -> NoReturn:
        """Raises ``DatasetError``: there are no labels."""
        raise DatasetError(
            f"{self.root}: {self.note}: has no labels, only images in {self.images_dir}",
            details=tuple(map(str, self.oddities)),
            fix=self.oddities[0].fix
            if self.oddities
            else "give a data set with labels/<split>/*.txt or annotations/instances_<split>.json",
        )


@dataclass(frozen=True, slots=True)
class FolderFormat:
    """Images anywhere below a folder or below its ``images/``.

    Attributes:
        name: as it is registered.
        nested: data sets with labels below the folder, to be named in place of it.
    """

    name: str = "folder"
    nested: tuple[Path, ...] = ()

    def with_nested(self, nested: Sequence[Path]) -> FolderFormat:
        """The same format with data sets of folders below."""
        return replace(self, nested=tuple(nested))

    def matches(self, path: Path) -> bool:
        """Whether there is an image anywhere below."""
        return path.is_dir() and next(find_images(path), None) is not None

    def open(self, path: Path, split: str | None, images: Path | None) -> FolderDataset:
        """Open it; folders with names of splits are splits, others belong to the key."""
        inner = path / "images"
        base = images or (inner if inner.is_dir() and next(find_images(inner), None) else path)
        names = image_splits(base)
        if split is None and not set(names) & set(SPLITS):
            return open_looked_over(path, UNSPLIT, base, self.nested)
        chosen = choose_split(path, names, split)
        return open_looked_over(path, chosen, base / chosen.name, self.nested)


FORMAT = FolderFormat()


def open_looked_over(
    path: Path, split: Split, images_dir: Path, nested: Sequence[Path] = ()
) -> FolderDataset:
    """As ``open_folder``, without masks of the images, with a warning of each kind of labels not read."""
    dataset = open_folder(path, split, images_dir)
    inside = dataset.images_dir != path and dataset.images_dir.is_relative_to(path)
    within = f"{dataset.images_dir.relative_to(path).as_posix()}/" if inside else ""
    looked = look_for_labels(path, dataset.keys, nested, within)
    warn_of(looked.oddities, path)
    return replace(dataset, keys=looked.keys, oddities=looked.oddities)


def open_folder(root: Path, split: Split, images_dir: Path) -> FolderDataset:
    """The images below ``images_dir``, sorted by key; raises ``DatasetError`` where there are none."""
    return FolderDataset(root, split.name, split.note, images_dir, list_keys(images_dir))


def list_keys(images_dir: Path) -> tuple[str, ...]:
    """Sorted keys of the images below a folder; raises ``DatasetError`` where there are none."""
    if not images_dir.is_dir():
        raise DatasetError(f"{images_dir}: no such image folder", fix="check the path of the image folder")
    keys = tuple(sorted(find_images(images_dir)))
    if not keys:
        raise DatasetError(
            f"{images_dir}: holds no images ({' '.join(sorted(SUFFIXES))})",
            fix="check the path of the images",
        )
    return keys


def find_images(folder: Path) -> Iterator[str]:
    """Unix-slash paths, relative to ``folder``, of the images below it, in the order of the file system.

    Hidden files and folders are left out; links to folders are not followed. A warning says how many others
    are skipped: pipes and devices, names that are not UTF-8, folders that cannot be read.
    """
    waiting, refused = [""], []
    while waiting:
        prefix = waiting.pop()
        try:
            with os.scandir(folder / prefix) as entries:
                found = list(entries)
        except OSError as exc:
            refused.append(f"{folder / prefix}: {exc.strerror}")
            continue
        for entry in found:
            if entry.is_dir(follow_symlinks=False):
                if not entry.name.startswith("."):
                    waiting.append(f"{prefix}{entry.name}/")
            elif is_image(entry.name):
                if why := _why_not(entry):
                    refused.append(f"{os.fsencode(entry.path)!r}: {why}")
                else:
                    yield prefix + entry.name
    if refused:
        first = min(refused)
        warnings.warn(f"{folder}: {len(refused)} skipped; the first: {first}", AnydetWarning, stacklevel=2)


def find_hidden_images(folder: Path) -> Iterator[str]:
    """Unix-slash paths of image files below whose name begins with a dot, but not those in hidden folders.

    What macOS writes beside files, ``._a.jpg``, is no image.
    """
    for inner, folders, files in os.walk(folder):
        folders[:] = [name for name in folders if not name.startswith(".")]
        for name in files:
            if name.startswith(".") and not name.startswith("._") and is_image(name.lstrip(".")):
                yield (Path(inner) / name).relative_to(folder).as_posix()


def _why_not(entry: os.DirEntry[str]) -> str | None:
    """Why it is no image of the data set; ``None`` for a link to nothing, so that it is missed later."""
    try:
        mode = 0 if entry.is_file() else entry.stat().st_mode
    except OSError:  # gone, or a link that leads nowhere or in a circle
        mode = 0
    if mode:
        from anydet.inputs import kind_of

        # Reading a pipe would wait for ever.
        return f"no file but {kind_of(mode)}"
    try:
        entry.name.encode()
    except UnicodeEncodeError:
        return "its name is not UTF-8; rename it"
    return None


def is_image(name: str) -> bool:
    """Whether a file name is that of an image."""
    return not name.startswith(".") and "." + name.rpartition(".")[2].lower() in SUFFIXES


def subfolders(folder: Path) -> list[str]:
    """Names of the folders inside, hidden ones left out; none where ``folder`` is not one."""
    if not folder.is_dir():
        return []
    return sorted(p.name for p in folder.iterdir() if p.is_dir() and not p.name.startswith("."))


def image_splits(images: Path) -> list[str]:
    """The splits of an image folder: its folders, unless there are images beside folders of other names."""
    names = subfolders(images)
    if set(names) & set(SPLITS) or not names:
        return names
    return [] if any(is_image(p.name) for p in images.iterdir()) else names
