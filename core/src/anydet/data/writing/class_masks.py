"""Write any ``Dataset`` with class masks as folders; ``data.class_masks.folder`` reads them."""

from __future__ import annotations

import colorsys
import csv
from collections.abc import Iterable, Sequence
from functools import partial
from pathlib import Path

import numpy as np
from PIL import Image

from anydet.data.class_masks.folder import COLUMNS, LABELS
from anydet.data.dataset.protocols import Dataset
from anydet.data.record.class_mask import UNLABELED
from anydet.data.record.record import Record
from anydet.data.writing.images import Report, check_split, named_classes, require_own_places, write_images
from anydet.data.writing.splits import split_folder
from anydet.data.yolo.data_yaml import read_names
from anydet.errors import DatasetError
from anydet.types import IntArray

_NAMES = "classes.txt"


def write_class_masks(
    dataset: Dataset, root: Path, split: str = "val", *, report: Report | None = None
) -> None:
    """``images/<split>``, ``masks/<split>/*.png``, ``labels.csv`` and ``classes.txt``.

    Masks are palette PNG files: viewers show colors, programs read classes.

    Args:
        dataset: records with class masks, of at most 255 classes; classes of images where they have one.
        root: new or empty folder, or one that was written so and lacks this split.
        split: name of the split.
        report: called with 1 after each image.

    Raises:
        OptionError: ``root`` is a folder of something else, of other classes, or has the split.
        DatasetError: an image has no class mask, the data set no class names, or two images need the same
            mask file.
    """
    names = named_classes(dataset).names
    check_split(split)
    require_own_places(dataset.keys, ".png")
    parts = (f"images/{split}", f"masks/{split}")
    with split_folder(root, parts, names, partial(_names_there, root), common=(LABELS,)) as folder:
        written = write_images(dataset, folder / "images" / split, report, copy=False)
        write_class_mask_labels(dataset, written, folder, split, before=_lines_there(root))


def write_class_mask_labels(
    dataset: Dataset,
    records: Iterable[Record],
    folder: Path,
    split: str,
    *,
    before: Sequence[tuple[str, ...]] = (COLUMNS,),
) -> None:
    """All files of a data set but its images, with one split.

    Args:
        dataset: gives the class names.
        records: its records, as they are written.
        folder: where the files go.
        split: name of the split.
        before: lines of ``labels.csv`` that come first.

    Raises ``DatasetError`` where an image has no class mask, or the data set no class names.
    """
    names, lines = named_classes(dataset).names, [*before]
    require_own_places(dataset.keys, ".png")
    for record in records:
        target = (folder / "masks" / split / record.key).with_suffix(".png")
        target.parent.mkdir(parents=True, exist_ok=True)
        _draw(_classes(record)).save(target)
        class_id = record.extra.get("classification", {}).get("class_id")
        lines.append((f"{split}/{record.key}", "" if class_id is None else names[class_id]))
    with (folder / LABELS).open("w", encoding="utf-8", newline="") as file:
        csv.writer(file, lineterminator="\n").writerows(lines)
    (folder / _NAMES).write_text("".join(f"{name}\n" for name in names), "utf-8")


def _names_there(root: Path) -> tuple[str, ...] | None:
    """Classes of a folder that was written so."""
    if not (root / LABELS).is_file():
        return None
    there = read_names(root).classes
    return () if there is None else there.names


def _lines_there(root: Path) -> list[tuple[str, ...]]:
    """The labels of the other splits."""
    if not (root / LABELS).is_file():
        return [COLUMNS]
    with (root / LABELS).open(encoding="utf-8", newline="") as file:
        return [tuple(row) for row in csv.reader(file)]


def _classes(record: Record) -> IntArray:
    classes = record.class_map()
    if classes is None:
        raise DatasetError(f"image {record.key} has no class mask", fix="leave it out, or write a mask")
    return classes


def _draw(classes: IntArray) -> Image.Image:
    """A palette image: the pixel is the class, 255 where unlabeled."""
    if classes.max(initial=-1) >= UNLABELED:
        raise DatasetError(
            f"class {classes.max()} is too large for an 8-bit mask", fix="use at most 255 classes"
        )
    image = Image.fromarray(np.where(classes < 0, UNLABELED, classes).astype(np.uint8))
    image.putpalette([value for class_id in range(256) for value in _color(class_id)])
    return image


def _color(class_id: int) -> tuple[int, ...]:
    """Black for the first class, white for no class, hues a golden angle apart for the others."""
    if class_id in {0, UNLABELED}:
        return (0, 0, 0) if class_id == 0 else (255, 255, 255)
    rgb = colorsys.hsv_to_rgb(class_id * 0.381966 % 1.0, 0.75, 0.95)
    return tuple(round(255 * value) for value in rgb)
