"""How exports of annotation tools are recognized; reading is imported when there is something to read."""

from __future__ import annotations

import os
import re
from collections.abc import Callable, Iterator
from itertools import islice
from pathlib import Path
from typing import TYPE_CHECKING

from anydet.data.dataset.splits import SPLITS
from anydet.dataclass import dataclass
from anydet.inputs import only_looking, open_file, there_is

if TYPE_CHECKING:
    from anydet.data.dataset.table import TableDataset

_HEAD_BYTES = 1 << 16
_METADATA = "metadata.jsonl"
_DOTA_FOLDER = re.compile(r"(?i)labelTxt|annfiles$")
_DOTA_BOXES = re.compile(r"(?i)hbb|rec")
_DOTA_LINE = re.compile(
    rb"(?m)^[ \t]*(-?\d+(\.\d*)?(e[+-]?\d+)?[ \t]+){8}[A-Za-z][^\s]*([ \t]+\d)?[ \t]*\r?$"
)
"""The class has a letter: numbers alone are YOLO's oriented boxes."""
_DOTA_FILES = 50
_OPEN_IMAGES_COLUMNS = (b"ImageID", b"LabelName", b"XMin", b"XMax", b"YMin", b"YMax")
_OPEN_IMAGES_FOLDERS = ("annotations", "boxes", "csv", "labels")
_LABELME_SHAPES = re.compile(rb'"shapes"\s*:\s*\[')


@dataclass(frozen=True, slots=True)
class ExportFormat:
    """An export: one file, or a folder that has it.

    Attributes:
        name: as it is registered.
        find: the file of a folder, or the file itself where it is one; ``None`` for anything else.
        read: opens one split: what was named, the file, the split wanted, the image folder named.
    """

    name: str
    find: Callable[[Path], Path | None]
    read: Callable[[Path, Path, str | None, Path | None], TableDataset]

    def matches(self, path: Path) -> bool:
        """Whether it is such a file or folder, by the first bytes of the file."""
        return self.find(path) is not None

    def open(self, path: Path, split: str | None, images: Path | None) -> TableDataset:
        """Open one split, or the whole where there are none."""
        return self.read(path, self.find(path) or path, split, images)

    def naming(self, path: Path) -> Path:
        """What to name in place of a folder that has other layouts, too: the file."""
        return self.find(path) or path


def _find_cvat(path: Path) -> Path | None:
    """CVAT's ``annotations.xml``, or another XML file that begins so."""
    from anydet.data.xml import begins_with

    def is_one(file: Path) -> bool:
        return file.suffix.lower() == ".xml" and begins_with(file, "annotations")

    if path.is_file():
        return path if is_one(path) else None
    return next((file for file in _files(path, ".xml") if is_one(file)), None)


def _find_label_studio(path: Path) -> Path | None:
    """A list of tasks with regions in percent, in full or as JSON-MIN."""
    if path.is_file():
        return path if path.suffix.lower() == ".json" and _has_tasks(path) else None
    return next((file for file in _files(path, ".json") if _has_tasks(file)), None)


def _has_tasks(file: Path) -> bool:
    head = _head(file)
    marks = (b'"original_width"', b'"was_cancelled"', b'"total_annotations"', b'"completed_by"')
    # Annotations of COCO begin with an object, and results have none of these keys.
    return head.lstrip(b"\xef\xbb\xbf \t\r\n")[:1] == b"[" and any(mark in head for mark in marks)


def _find_supervisely(path: Path) -> Path | None:
    """``meta.json`` with classes, beside folders that have ``ann/`` with a file for each image."""
    file = path / "meta.json" if path.is_dir() else path
    if file.name != "meta.json" or not there_is(file) or b'"classes"' not in _head(file):
        return None
    found = any(next(_entries(folder / "ann"), "") for folder in (file.parent, *_folders(file.parent)))
    return file if found else None


def _find_fiftyone(path: Path) -> Path | None:
    """``samples.json`` of a dataset, or ``labels.json`` of image detections."""
    files = (path,) if path.is_file() else (path / "samples.json", path / "labels.json")
    return next((file for file in files if _is_fiftyone(file)), None)


def _is_fiftyone(file: Path) -> bool:
    if file.name not in {"samples.json", "labels.json"} or not there_is(file):
        return False
    head = _head(file)
    if file.name == "samples.json":
        return b'"samples"' in head and (b'"filepath"' in head or there_is(file.parent / "metadata.json"))
    return b'"labels"' in head and b'"classes"' in head and b'"images"' not in head


def _find_imagefolder(path: Path) -> Path | None:
    """``metadata.jsonl`` whose images have boxes, in the folder or in those of its splits."""
    files = _metadata_files(path) if path.is_dir() else {"": path} if path.suffix == ".jsonl" else {}
    return next((file for file in files.values() if _has_boxes(file)), None)


def _metadata_files(root: Path) -> dict[str, Path]:
    """Split -> file of an ImageFolder; "" for a file of the folder itself."""
    for base in (root, root / "data"):
        if there_is(base / _METADATA):
            return {"": base / _METADATA}
        inner = {name: base / name / _METADATA for name in (*SPLITS, "test")}
        if found := {name: file for name, file in inner.items() if there_is(file)}:
            return found
    return {}


def _find_labelme(path: Path) -> Path | None:
    """A JSON file of LabelMe, or the first one of a folder or of its splits."""
    if path.is_file():
        return path if path.suffix.lower() == ".json" and _is_labelme(path) else None
    return next((files[0] for files in _labelme_files(path).values()), None)


def _labelme_files(root: Path) -> dict[str, list[Path]]:
    """Split -> files; "" for those of the folder itself, or of one for annotations."""
    for folder in (root, root / "annotations", root / "json"):
        if found := [file for file in _files(folder, ".json") if _is_labelme(file)]:
            return {"": found}
    inner = {name: _files(root / name, ".json") for name in (*SPLITS, "test")}
    found_in = {name: [file for file in files if _is_labelme(file)] for name, files in inner.items()}
    return {name: files for name, files in found_in.items() if files}


def _is_labelme(file: Path) -> bool:
    head = _head(file)
    if not _LABELME_SHAPES.search(head):
        # Version 3 wrote keys in any order, so that a whole image may come first.
        return b'"imageData"' in head and b'"images"' not in head
    return any(key in head for key in (b'"version"', b'"flags"', b'"imagePath"', b'"lineColor"'))


def _find_dota(path: Path) -> Path | None:
    """The folder of label files of the first split."""
    return next(iter(_dota_folders(path).values()), None) if path.is_dir() else None


def _dota_folders(root: Path) -> dict[str, Path]:
    """Split -> folder of label files; "" for those of the folder itself."""
    if _has_dota(root):
        return {"": root}
    splits = (*SPLITS, "trainval", "test")
    found: dict[str, Path] = {}
    # The highest version comes last, and is taken; another one can be named.
    for labels in (folder for folder in _folders(root) if _DOTA_FOLDER.match(folder.name)):
        inner = {folder.name: folder for folder in _folders(labels) if folder.name in splits}
        found |= {name: folder for name, folder in inner.items() if _has_dota(folder)}
        if not inner and (folder := _dota_inside(labels)):
            found[""] = folder
    for split in splits if not found else ():
        for labels in (folder for folder in _folders(root / split) if _DOTA_FOLDER.match(folder.name)):
            if folder := _dota_inside(labels):
                found[split] = folder
    return found


def _dota_inside(labels: Path) -> Path | None:
    """The folder itself, or one below, as in DOTA 1.5: that of oriented boxes, not of those around them."""
    inner = [folder for folder in _folders(labels) if not _DOTA_BOXES.search(folder.name)]
    return next((folder for folder in (labels, *inner) if _has_dota(folder)), None)


def _has_dota(folder: Path) -> bool:
    """Whether one of the first files with content has lines of DOTA."""
    files = (file for file in _files(folder, ".txt") if file.name != "classes.txt")
    heads = (head for file in islice(files, _DOTA_FILES) if (head := _head(file)).strip())
    return any(_DOTA_LINE.search(head) for head in heads)


def _find_open_images(path: Path) -> Path | None:
    """A file of boxes of Open Images, by its header."""
    return next(iter(_open_images_files(path)), None)


def _open_images_files(path: Path) -> list[Path]:
    """All files of boxes, in the folder, in folders of annotations, or in those of splits."""
    if path.is_file():
        return [path] if path.suffix.lower() == ".csv" and _is_open_images(path) else []
    splits = [path / name for name in (*SPLITS, "test")]
    above = (path, *splits)
    folders = (*above, *(folder / name for folder in above for name in _OPEN_IMAGES_FOLDERS))
    return [file for folder in folders for file in _files(folder, ".csv") if _is_open_images(file)]


def _is_open_images(file: Path) -> bool:
    header = _head(file).partition(b"\n")[0].split(b",")
    return {name.strip(b"\xef\xbb\xbf\r ") for name in header} >= set(_OPEN_IMAGES_COLUMNS)


def _has_boxes(file: Path) -> bool:
    head = _head(file)
    return all(key in head for key in (b'"file_name"', b'"objects"', b'"bbox"'))


def _read_cvat(path: Path, file: Path, split: str | None, images: Path | None) -> TableDataset:
    from anydet.data.annotation_tools.cvat import open_cvat

    return open_cvat(path, file, split, images)


def _read_label_studio(path: Path, file: Path, split: str | None, images: Path | None) -> TableDataset:
    from anydet.data.annotation_tools.label_studio import open_label_studio

    return open_label_studio(path, file, split, images)


def _read_supervisely(path: Path, file: Path, split: str | None, images: Path | None) -> TableDataset:
    from anydet.data.annotation_tools.supervisely import open_supervisely

    return open_supervisely(path, file, split, images)


def _read_fiftyone(path: Path, file: Path, split: str | None, images: Path | None) -> TableDataset:
    from anydet.data.annotation_tools.fiftyone import open_fiftyone

    return open_fiftyone(path, file, split, images)


def _read_labelme(path: Path, file: Path, split: str | None, images: Path | None) -> TableDataset:
    from anydet.data.annotation_tools.labelme import open_labelme

    return open_labelme(path, {"": [file]} if path.is_file() else _labelme_files(path), split, images)


def _read_dota(path: Path, _labels: Path, split: str | None, images: Path | None) -> TableDataset:
    from anydet.data.annotation_tools.dota import open_dota

    return open_dota(path, _dota_folders(path), split, images)


def _read_open_images(path: Path, file: Path, split: str | None, images: Path | None) -> TableDataset:
    from anydet.data.annotation_tools.open_images import open_open_images

    return open_open_images(path, [file] if path.is_file() else _open_images_files(path), split, images)


def _read_imagefolder(path: Path, file: Path, split: str | None, images: Path | None) -> TableDataset:
    from anydet.data.annotation_tools.imagefolder import open_imagefolder

    return open_imagefolder(path, {"": file} if path.is_file() else _metadata_files(path), split, images)


CVAT = ExportFormat("cvat", _find_cvat, _read_cvat)
LABEL_STUDIO = ExportFormat("label-studio", _find_label_studio, _read_label_studio)
SUPERVISELY = ExportFormat("supervisely", _find_supervisely, _read_supervisely)
FIFTYONE = ExportFormat("fiftyone", _find_fiftyone, _read_fiftyone)
LABELME = ExportFormat("labelme", _find_labelme, _read_labelme)
DOTA = ExportFormat("dota", _find_dota, _read_dota)
OPEN_IMAGES = ExportFormat("open-images", _find_open_images, _read_open_images)
IMAGEFOLDER = ExportFormat("imagefolder", _find_imagefolder, _read_imagefolder)


def _head(file: Path) -> bytes:
    try:
        with only_looking(), open_file(file) as opened:
            return opened.read(_HEAD_BYTES)
    except (OSError, ValueError):
        return b""


def _files(folder: Path, suffix: str) -> list[Path]:
    return [folder / name for name in sorted(_entries(folder)) if name.lower().endswith(suffix)]


def _folders(folder: Path) -> list[Path]:
    return [path for name in sorted(_entries(folder)) if (path := folder / name).is_dir()]


def _entries(folder: Path) -> Iterator[str]:
    try:
        with os.scandir(folder) as entries:
            yield from (entry.name for entry in entries if not entry.name.startswith("."))
    except OSError:
        return
