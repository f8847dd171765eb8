"""Folders of images and class masks: ``images/<split>/``, ``masks/<split>/*.png`` and ``labels.csv``.

A mask has the path of its image, with the suffix ``.png``; each pixel's value is its class, 255 where it is
not labeled. ``labels.csv`` has the columns ``image`` (path relative to ``images/``) and ``label`` (a class,
by name or number). Without it, the first folder of an image's key is its class, where a class has that name.
``classes.txt`` or ``data.yaml`` names the classes, of pixels and of images alike.
"""

from __future__ import annotations

import csv
from collections.abc import Mapping
from pathlib import Path, PurePosixPath

import numpy as np

from anydet.data.class_masks.dataset import MaskDataset
from anydet.data.dataset.columns import no_labels
from anydet.data.dataset.folder import image_splits, list_keys
from anydet.data.dataset.splits import SPLITS, UNSPLIT, choose_split
from anydet.data.dataset.table import ImageTable
from anydet.data.record.class_mask import ClassMaskFile
from anydet.data.record.containment import contained
from anydet.data.yolo.data_yaml import read_names
from anydet.errors import DatasetError, did_you_mean
from anydet.inputs import there_is
from anydet.types import ClassTable

LABELS = "labels.csv"
"""File of the classes of images."""
COLUMNS = ("image", "label")
"""Those of ``LABELS`` that are read."""


class MaskFolderFormat:
    """A folder with ``images/`` and ``masks/``."""

    name = "class-masks"

    def matches(self, path: Path) -> bool:
        """Whether both folders are there."""
        return (path / "images").is_dir() and (path / "masks").is_dir()

    def open(self, path: Path, split: str | None, images: Path | None) -> MaskDataset:
        """Open one split, or the whole where there are none.

        Raises ``DatasetError`` where ``labels.csv`` is malformed or no image has a mask.
        """
        names = image_splits(path / "images")
        unsplit = split is None and not set(names) & set(SPLITS)
        chosen = UNSPLIT if unsplit else choose_split(path, names, split)
        images_dir = images or path / "images" / chosen.name
        classes = read_names(path).classes
        labels = _image_classes(path / LABELS, classes, chosen.name)
        masks = _find_masks(path / "masks" / chosen.name, list_keys(images_dir))
        return MaskDataset(
            path,
            chosen.name,
            chosen.note,
            f"masks/{chosen.name}".rstrip("/") + (f" and {LABELS}" if labels is not None else ""),
            images_dir,
            ImageTable(
                keys=tuple(masks),
                # Opening looks at no image; objects are found in the masks by ``ground_truth``.
                sizes_wh=np.full((len(masks), 2), -1, np.int64),
                labels=no_labels(),
                offsets=np.zeros(len(masks) + 1, np.int64),
                classes=classes,
                annotated=np.zeros(len(masks), np.bool_),
                class_ids=np.array([_class_of(key, labels, classes) for key in masks], np.int64),
                class_masks=tuple(masks.values()),
            ),
            annotation_files=tuple(mask.path for mask in masks.values() if mask is not None),
        )


FORMAT = MaskFolderFormat()


def _find_masks(folder: Path, keys: tuple[str, ...]) -> dict[str, ClassMaskFile | None]:
    """The mask file of each image, where there is one."""
    named = {key: str(PurePosixPath(key).with_suffix(".png")) for key in keys}
    found = {
        key: ClassMaskFile(contained(folder, name, links=True)) if (folder / name).exists() else None
        for key, name in named.items()
    }
    if not any(found.values()):
        raise DatasetError(
            f"{folder}: no mask of any of the {len(keys)} images there (the first would be {named[keys[0]]})",
            fix="write a grayscale PNG for each image: each pixel's value is its class, 255 for none",
        )
    return found


def _class_of(key: str, labels: Mapping[str, int] | None, classes: ClassTable | None) -> int:
    """Class of an image: by ``labels.csv``, else by the name of its first folder; -1 where unknown."""
    if labels is not None:
        return labels.get(key, -1)
    first, *rest = PurePosixPath(key).parts
    return classes.names.index(first) if rest and classes and first in classes.names else -1


def _image_classes(file: Path, classes: ClassTable | None, split: str) -> dict[str, int] | None:
    """Class ids by key of the images of a split; ``None`` where there is no such file."""
    if not there_is(file):
        return None
    found: dict[str, int] = {}
    prefix = f"{split}/" if split else ""
    try:
        # Spreadsheets begin CSV files with a byte order mark.
        with file.open(encoding="utf-8-sig", newline="") as lines:
            rows = csv.DictReader(lines)
            if not set(COLUMNS) <= set(rows.fieldnames or ()):
                raise DatasetError(
                    f"{file}: its columns are {', '.join(rows.fieldnames or ()) or 'none'}",
                    fix=f"begin with the line {','.join(COLUMNS)}",
                )
            for row in rows:
                where = f"{file}:{rows.line_num}"
                key = str(row["image"] or "").strip().replace("\\", "/")
                if not key.startswith(prefix):
                    continue
                key = key.removeprefix(prefix)
                if key in found:
                    raise DatasetError(f"{where}: image {key} is there twice", fix="remove one of the lines")
                found[key] = _class_id(str(row["label"] or "").strip(), classes, where)
    except (OSError, UnicodeDecodeError, csv.Error) as exc:
        raise DatasetError(f"{file}: cannot be read: {exc}", fix="write CSV with image,label") from exc
    return found


def _class_id(label: str, classes: ClassTable | None, where: str) -> int:
    """A class by name, else by number; -1 for an empty label."""
    names = classes.names if classes else ()
    if not label:
        return -1
    if label in names:
        return names.index(label)
    if label.isdecimal() and (classes is None or int(label) < len(names)):
        return int(label)
    known = f"one of {', '.join(names[:10])}" if names else "a number, as no file names the classes"
    raise DatasetError(
        f"{where}: label {label!r} is no class{did_you_mean(label, names)}",
        fix=f"write {known}, or name the class in classes.txt",
    )
