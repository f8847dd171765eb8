"""DOTA's ``labelTxt`` as a data set: versions 1.0, 1.5 and 2.0, and what MMRotate calls ``annfiles``.

A line is ``x1 y1 x2 y2 x3 y3 x4 y4 class difficult``, corners of an oriented box in pixels; before the first
there may be ``imagesource:...`` and ``gsd:...``. The corners are the mask of the object, and its box is that
around them.
"""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from pathlib import Path, PurePosixPath

from anydet.data.annotation_tools.values import as_dataset
from anydet.data.dataset.folder import find_images
from anydet.data.dataset.left_out import LeftOut
from anydet.data.dataset.objects import LabeledImage, LabeledObject, bounds_of
from anydet.data.dataset.splits import UNSPLIT, choose_split
from anydet.data.dataset.table import TableDataset
from anydet.data.xml import number_of
from anydet.data.yolo.data_yaml import read_name_list
from anydet.errors import DatasetError
from anydet.inputs import SAVE_AS_UTF8, read_text

_CLASSES = (
    *("plane", "baseball-diamond", "bridge", "ground-track-field", "small-vehicle", "large-vehicle", "ship"),
    *("tennis-court", "basketball-court", "storage-tank", "soccer-ball-field", "roundabout", "harbor"),
    *("swimming-pool", "helicopter", "container-crane", "airport", "helipad"),
)
"""In the order of DOTA_devkit."""
_VERSIONS = (15, 16, 18)
"""How many of the classes DOTA 1.0, 1.5 and 2.0 have."""
_HEADERS = ("imagesource:", "gsd:")


def open_dota(
    opened: Path, folders: Mapping[str, Path], wanted: str | None, images: Path | None
) -> TableDataset:
    """Open the label files of a split.

    Args:
        opened: what the user named.
        folders: split -> folder of label files; "" where there are no splits.
        wanted: the split wanted.
        images: image folder that the user named.

    Raises:
        DatasetError: no file can be read.
    """
    split = UNSPLIT if "" in folders and wanted is None else choose_split(opened, folders, wanted)
    labels, left_out = folders[split.name], LeftOut()
    folder = images or _image_folder(labels, split.name)
    by_stem = {PurePosixPath(key).stem: key for key in sorted(find_images(folder))} if folder.is_dir() else {}
    files = [file for file in sorted(labels.glob("*.txt")) if file.name != "classes.txt"]
    if not files:
        raise DatasetError(f"{labels}: no label files", fix="check that the archive is complete")
    for stem in sorted(by_stem.keys() - {file.stem for file in files}):
        left_out.add("images", "without a label file", by_stem[stem], fault=False)
    rows = left_out.read_files(
        "label file",
        files,
        lambda file: LabeledImage(
            by_stem.get(file.stem, f"{file.stem}.png"), None, list(_objects(file, left_out))
        ),
    )
    names = _names(labels, {one.name for row in rows for one in row.objects})
    return as_dataset(
        opened,
        files[0],
        split,
        rows,
        names,
        folder=folder,
        named=images is not None,
        left_out=left_out,
        files=files,
    )


def _image_folder(labels: Path, split: str) -> Path:
    """``images/`` beside the label files or above them; else the folder of the label files."""
    for above in list(labels.parents)[:3]:
        for place in (above / "images" / split, above / "images"):
            if place.is_dir():
                return place
    return labels


def _names(labels: Path, found: Iterable[str]) -> tuple[str, ...]:
    """Classes of ``classes.txt``, or of the first version of DOTA that has all; () where neither has."""
    for folder in (labels, labels.parent):
        if (folder / "classes.txt").is_file():
            table = read_name_list(folder / "classes.txt").classes
            return () if table is None else table.names
    versions = (_CLASSES[:count] for count in _VERSIONS)
    return next((version for version in versions if set(found) <= set(version)), ())


def _objects(file: Path, left_out: LeftOut) -> list[LabeledObject]:
    try:
        lines = read_text(file).splitlines()
    except OSError as exc:
        raise DatasetError(f"{file}: cannot be read: {exc.strerror}", fix="check its permissions") from exc
    except UnicodeDecodeError as exc:
        raise DatasetError(f"{file}: is no text in UTF-8", fix=SAVE_AS_UTF8) from exc
    found = []
    for number, line in enumerate(lines, start=1):
        words = line.split()
        if not words or words[0].lower().startswith(_HEADERS):
            continue
        corners = tuple(n for word in words[:8] if (n := number_of(word)) is not None)
        difficult = words[9] if len(words) > 9 else "0"
        if len(corners) != 8 or not 9 <= len(words) <= 10 or not difficult.isdecimal():
            left_out.add(
                "objects", "on lines that are not x1 y1 ... x4 y4 class difficult", f"{file}:{number}"
            )
        else:
            box = bounds_of((corners,))
            found.append(LabeledObject(words[8], box, difficult != "0", (corners,)))
    return found
