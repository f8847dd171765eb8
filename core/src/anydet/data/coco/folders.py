"""COCO files in the folders that tools write, where there is no ``annotations/instances_<split>.json``.

- ``<split>/_annotations.coco.json`` beside the images of the split (Roboflow, RF-DETR);
- ``annotations/<split>.json`` (MMDetection), ``person_keypoints_<split>.json`` or ``lvis_v1_<split>.json``;
- ``result.json`` with ``images/`` (Label Studio), ``labels.json`` with ``data/`` (FiftyOne),
  ``<split>.json`` or ``lvis_v1_<split>.json`` in the folder itself.
"""

from __future__ import annotations

import os
from collections.abc import Iterable
from dataclasses import replace
from pathlib import Path
from typing import TYPE_CHECKING

from anydet.data.dataset.splits import SPLITS, UNSPLIT, choose_split
from anydet.dataclass import dataclass
from anydet.errors import DatasetError
from anydet.scanner import Scanner

if TYPE_CHECKING:
    from anydet.data.coco.dataset import CocoDataset

_ROBOFLOW = "_annotations.coco.json"
_PREFIXES = ("instances_", "person_keypoints_", "lvis_v1_", "lvis_v0.5_")
"""Of file names, before the split."""
_OTHERS = ("panoptic_", "stuff_", "semantic_", "captions_", "image_info_")
"""Prefixes of COCO's files of other kinds."""
_KEYS = (b'"images"', b'"annotations"', b'"categories"')


@dataclass(frozen=True, slots=True)
class CocoFolderFormat:
    """A folder that has a COCO file in one of these places."""

    name: str = "coco-folder"
    scanner: Scanner | None = None

    def with_scanner(self, scanner: Scanner | None) -> CocoFolderFormat:
        """The same format, reading with this scanner."""
        return replace(self, scanner=scanner)

    def matches(self, path: Path) -> bool:
        """Whether it is such a folder."""
        return path.is_dir() and bool(find_files(path))

    def open(self, path: Path, split: str | None, images: Path | None) -> CocoDataset:
        """Open one split, or the only file where it names none."""
        from anydet.data.coco.dataset import open_file

        files = find_files(path)
        chosen = UNSPLIT if set(files) == {""} and split is None else choose_split(path, files, split)
        file = files[chosen.name]
        # Roboflow's files name images beside themselves, others below the folder of the data set.
        beside = file.parent != path and file.parent.name != "annotations"
        return open_file(
            file,
            root=path,
            split=chosen,
            images_dir=images,
            base=file.parent if beside else path,
            scanner=self.scanner,
        )

    def naming(self, path: Path) -> Path:
        """What to name in place of a folder that has other layouts, too: the file of the first split."""
        files = find_files(path)
        try:
            return files[choose_split(path, files, None).name]
        except DatasetError:
            return next(iter(files.values()))


FORMAT = CocoFolderFormat()


def find_annotations(path: Path, split: str | None) -> Path | None:
    """The annotations file that opening ``path`` reads, or ``None`` where it is another format's."""
    from anydet.data.coco import dataset

    found = dataset.find_annotations(path, split)
    if found is not None or path.is_file() or (path / "labels").is_dir():
        return found
    files = find_files(path)
    if not files:
        return None
    unsplit = set(files) == {""} and split is None
    return files["" if unsplit else choose_split(path, files, split).name]


def find_files(root: Path) -> dict[str, Path]:
    """Split -> file; "" where one file names no split. The first of the places that has any is taken."""
    found = _by_split(_json_files(root / "annotations"))
    if not found:
        inner = {folder.name: _single(folder) for folder in _folders(root)}
        found = {split: file for split, file in inner.items() if file is not None}
    return found or _by_split(_json_files(root))


def split_of(file: Path) -> str:
    """The split in a file's name, be it the name itself; that of its folder for Roboflow's."""
    if file.name == _ROBOFLOW:
        return file.parent.name if file.parent.name in {*SPLITS, "test"} else ""
    stem = file.stem
    return next((stem[len(prefix) :] for prefix in _PREFIXES if stem.startswith(prefix)), stem)


def looks_like_coco(file: Path) -> bool:
    """Whether a file has what annotations of COCO have, and no scores, which are of predictions."""
    from anydet.inputs import only_looking, read_json

    try:
        with only_looking():
            raw = read_json(file)
    except (OSError, ValueError):
        return False
    return raw.lstrip()[:1] == b"{" and all(key in raw for key in _KEYS) and b'"score"' not in raw


def _by_split(files: Iterable[Path]) -> dict[str, Path]:
    """A single file of another name than that of a split has none; of several, each name is a split."""
    found = {split_of(file): file for file in files if looks_like_coco(file)}
    if len(found) == 1:
        ((split, file),) = found.items()
        named = file.name.startswith(_PREFIXES) or split in {*SPLITS, "test"}
        return {split if named else "": file}
    return found


def _single(folder: Path) -> Path | None:
    """The COCO file beside the images of a split; of several files the folder is none of this kind."""
    files = _json_files(folder)
    roboflow = [file for file in files if file.name == _ROBOFLOW]
    known = roboflow or (files if folder.name in {*SPLITS, "test"} else [])
    return known[0] if len(known) == 1 and looks_like_coco(known[0]) else None


def _json_files(folder: Path) -> list[Path]:
    return [
        folder / name
        for name in _names(folder, folders=False)
        if name.lower().endswith(".json") and not name.startswith(_OTHERS)
    ]


def _folders(root: Path) -> list[Path]:
    return [root / name for name in _names(root, folders=True)]


def _names(folder: Path, *, folders: bool) -> list[str]:
    try:
        with os.scandir(folder) as entries:
            return sorted(e.name for e in entries if e.is_dir() == folders and not e.name.startswith("."))
    except OSError:
        return []
