"""Label files in folders where the names of their images do not lead: ``Labels/val``, ``label/val``, ...

``labels`` in other upper and lower case is read. Of other folders nobody knows which are meant, so what is
there is counted and named.
"""

from __future__ import annotations

import os
from collections import defaultdict
from collections.abc import Iterator, Mapping, Sequence, Set
from dataclasses import replace
from functools import partial
from itertools import zip_longest
from pathlib import Path

from anydet.data.dataset.folder import is_image
from anydet.data.dataset.oddities import Found, Kind, Oddity
from anydet.dataclass import dataclass
from anydet.inputs import open_file

_LOST = Kind(
    "labels elsewhere",
    "images without a label file, of which a text file in another folder has the name",
    "read as images without objects",
    "",
)
_MOST = 500_000
"""Entries of folders that are looked at: the folder of a data set may hold much else."""
_HEAD = 1024
_LINES = 3
_NUMBERS = 4


def other_label_folders(images_dir: Path, expected: Mapping[str, Path]) -> dict[Path, Path]:
    """Folder of label files -> one that differs in case.

    Args:
        images_dir: folder that the keys are relative to.
        expected: key -> path of its label file.
    """
    folders = {label.parent: images_dir / key.rpartition("/")[0] for key, label in expected.items()}
    found = {labels: _other_label_folder(images) for labels, images in folders.items()}
    return {labels: other for labels, other in found.items() if other is not None and other != labels}


def _other_label_folder(images: Path) -> Path | None:
    """The folder of labels of an image folder, where ``images`` or ``labels`` is written in another case.

    ``None`` where there is no such folder, or several differ in case alone.
    """
    parts = images.parts
    for at in range(len(parts) - 1, -1, -1):
        if parts[at].casefold() == "images":
            folder: Path | None = Path(*parts[:at])
            for part in ("labels", *parts[at + 1 :]):
                folder = folder and _in_any_case(folder, part)
            return folder
    return None


def _in_any_case(folder: Path, name: str) -> Path | None:
    if (folder / name).is_dir():
        return folder / name
    try:
        alike = [one for one in folder.iterdir() if one.name.casefold() == name.casefold() and one.is_dir()]
    except OSError:
        return None
    return alike[0] if len(alike) == 1 else None


def find_elsewhere(lost: Mapping[Path, Path], labeled: Set[Path], root: Path) -> tuple[Oddity, ...]:
    """Text files below a folder that are named like images without labels, and look like labels.

    Those of other images are passed over; where images of a folder have label files, so are those in folders
    of ``labels`` for other images, which may not be there.

    Args:
        lost: image -> path of its label file, which is not there.
        labeled: folders that hold label files of other images of the split.
        root: folder that is listed, once.
    """
    there = _list(root, {image.stem.casefold() for image in lost})
    pairs: dict[tuple[Path, Path], list[_Pair]] = defaultdict(list)
    for image, expected in lost.items():
        files = [
            file
            for file in there.texts.get(image.stem.casefold(), ())
            if file.parent != expected.parent  # those are known
            and not _is_of_another(file, image, there.images)
            and not (expected.parent in labeled and _is_far(file.parent, expected.parent))
        ]
        # The nearest first: of label/train and label/val, val's is meant.
        files.sort(key=partial(_distance, image))
        meant = next(filter(_looks_like_labels, files), None)
        if meant is not None:
            pairs[image.parent, meant.parent].append(_Pair(image, expected, meant))
    return _by_folder(list(pairs.values()))


def _distance(image: Path, file: Path) -> tuple[int, Path]:
    """Less for a file with more folders in common with an image, and then by name."""
    return -len({*file.parts} & {*image.parts}), file


def _by_folder(folders: Sequence[Sequence[_Pair]]) -> tuple[Oddity, ...]:
    """One kind; its first examples are one of each folder, with its count."""
    if not folders:
        return ()
    first, found = folders[0][0], Found()
    fix = f"move the label files to where they are looked for: {first.file} to {first.expected}"
    kind = replace(_LOST, fix=fix)
    for row in zip_longest(*folders):
        for pair, group in zip(row, folders, strict=True):
            if pair is not None:
                found.add(kind, f"{pair.file} for {pair.image} ({len(group)} of this folder)")
    return found.listed()


@dataclass(frozen=True, slots=True)
class _Pair:
    """An image, where its label file should be, and what is there instead."""

    image: Path
    expected: Path
    file: Path


@dataclass(frozen=True, slots=True)
class _There:
    """What is below a folder: text files by stem, and the stems of the images of each folder."""

    texts: Mapping[str, Sequence[Path]]
    images: Mapping[Path, set[str]]


def _list(root: Path, stems: set[str]) -> _There:
    texts: dict[str, list[Path]] = defaultdict(list)
    images: dict[Path, set[str]] = defaultdict(set)
    for folder, name in _files(root):
        stem, _, suffix = name.rpartition(".")
        if stem.casefold() not in stems:
            continue
        if suffix.lower() == "txt":
            texts[stem.casefold()].append(folder / name)
        elif is_image(name):
            images[folder].add(stem)
    return _There(texts, images)


def _files(root: Path) -> Iterator[tuple[Path, str]]:
    """Folders and names of files below, the upper ones first, without hidden ones; links are not followed."""
    waiting, looked = [root], 0
    for folder in waiting:
        try:
            with os.scandir(folder) as entries:
                for entry in entries:
                    looked += 1
                    if looked > _MOST:
                        return
                    if entry.name.startswith("."):
                        continue
                    if entry.is_dir(follow_symlinks=False):
                        waiting.append(folder / entry.name)
                    else:
                        yield folder, entry.name
        except OSError:
            continue


def _is_of_another(file: Path, image: Path, images: Mapping[Path, set[str]]) -> bool:
    """Whether there is an image, another than this, whose label file this is."""
    parts = list(file.parent.parts)
    folders = [file.parent]
    for at in range(len(parts) - 1, -1, -1):
        if parts[at] == "labels":
            folders.append(Path(*parts[:at], "images", *parts[at + 1 :]))
            break
    return any(folder != image.parent and file.stem in images.get(folder, ()) for folder in folders)


def _is_far(folder: Path, expected: Path) -> bool:
    """Whether a folder is for others: below ``labels``, and neither above nor below the expected one."""
    related = folder.is_relative_to(expected) or expected.is_relative_to(folder)
    return "labels" in folder.parts and not related


def _looks_like_labels(file: Path) -> bool:
    """Whether one of the first lines has as many numbers as a box; a caption or an empty file has not."""
    try:
        with open_file(file) as opened:
            lines = opened.read(_HEAD).splitlines()[:_LINES]
    except OSError:
        return False
    return any(sum(map(_is_number, line.replace(b",", b" ").split())) >= _NUMBERS for line in lines)


def _is_number(word: bytes) -> bool:
    try:
        float(word)
    except ValueError:
        return False
    return True
