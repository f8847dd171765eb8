"""Open Images as it is published: CSV files of boxes, of verified image labels, and of names of classes.

A row of ``<split>-annotations-bbox.csv`` is one box, its edges parts of the image's sides. A download is
seldom whole: images of the folder decide what is kept of millions of rows, which are read one by one.
"""

from __future__ import annotations

import csv
import io
import re
from array import array
from collections import Counter
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import replace
from itertools import chain
from pathlib import Path, PurePosixPath

import numpy as np

from anydet.data.dataset.folder import find_images
from anydet.data.dataset.left_out import LeftOut
from anydet.data.dataset.splits import UNSPLIT, choose_split
from anydet.data.dataset.table import ImageTable, TableDataset
from anydet.data.record.pixels import ImageFile
from anydet.data.xml import number_of
from anydet.errors import AnydetError, DatasetError
from anydet.geometry.boxes import area_xywh
from anydet.inputs import SAVE_AS_UTF8, open_file
from anydet.text import counted, listed
from anydet.types import ClassTable, Federation, FloatArray, IntArray, Labels, Size

_BOX = ("ImageID", "LabelName", "XMin", "XMax", "YMin", "YMax")
_LABEL = ("ImageID", "LabelName", "Confidence")
_GROUP = "IsGroupOf"
_LABEL_FILE = re.compile(r"(?i)human-imagelabels.*\.csv$|^classifications\.csv$")
_NAME_FILE = re.compile(r"(?i)class-descriptions.*\.csv$|^classes\.csv$")
_SPLITS = ("train", "validation", "val", "test")


def open_images_split(file: Path) -> str:
    """The split that the name of a file of boxes begins with, else that of a folder above; "" for none."""
    found = re.search(r"(?:^|[-_])(train|validation|val|test)(?:[-_.]|$)", file.name)
    above = (folder.name for folder in list(file.parents)[:2])
    return found[1] if found else next((name for name in above if name in _SPLITS), "")


def open_open_images(
    opened: Path, files: Sequence[Path], wanted: str | None, images: Path | None
) -> TableDataset:
    """Open one split.

    Args:
        opened: what the user named.
        files: files of boxes that are there.
        wanted: the split wanted.
        images: image folder that the user named.

    Raises:
        DatasetError: a file cannot be read, or no image is there.
    """
    by_split = {open_images_split(file): file for file in files}
    split = UNSPLIT if set(by_split) == {""} and wanted is None else choose_split(opened, by_split, wanted)
    file, left_out = by_split[split.name], LeftOut()
    base = opened if opened.is_dir() else file.parent
    folder = images or _image_folder(file, base, split.name)
    places = {PurePosixPath(key).stem: key for key in sorted(find_images(folder))} if folder.is_dir() else {}
    if not places:
        raise DatasetError(
            f"{folder}: no images, and boxes of {file.name} are parts of their sides",
            fix="name their folder: --images FOLDER",
        )
    label_file = _beside(file, base, split.name, _LABEL_FILE)
    boxes, labels = _Boxes(file, places, left_out), _ImageLabels(label_file, places)
    keys, sizes = _sizes(folder, places, boxes.images.keys() | labels.pairs.keys(), left_out)
    if not keys:
        raise DatasetError(
            f"{file}: none of its images is among the {counted(len(places), 'image')} of {folder}",
            fix="name the folder with the images of this split: --images FOLDER",
        )
    names_file = _beside(file, base, "", _NAME_FILE)
    classes = _class_table(names_file, {*boxes.classes, *labels.classes})
    table = _table(keys, sizes, boxes, labels, classes)
    left_out.warn(opened)
    used = tuple(path for path in (file, label_file, names_file) if path is not None)
    source = file.relative_to(base).as_posix() if file.is_relative_to(base) else str(file)
    return TableDataset(
        opened, split.name, split.note, source, folder, replace(table, oddities=left_out.faults), used
    )


class _Boxes:
    """Boxes of images that are there, as they are in the file.

    Attributes:
        images: stem of an image -> its number, in the order in which images first occur.
        classes: label (``/m/01g317``) -> its number.
    """

    def __init__(self, file: Path, places: Mapping[str, str], left_out: LeftOut) -> None:
        self.images: dict[str, int] = {}
        self.classes: dict[str, int] = {}
        self._image, self._class = array("q"), array("q")
        self._group, self._edges = array("b"), array("d")
        for number, row in _rows(file, _BOX, (_GROUP,)):
            image, label, *edges, group = row
            if image not in places:
                left_out.add("boxes", "of images that are not in the folder", image, fault=False)
                continue
            found = [n for edge in edges if (n := number_of(edge)) is not None]
            if len(found) != 4 or not label or found[1] < found[0] or found[3] < found[2]:
                left_out.add("boxes", "on lines that are not a label and four edges", f"{file}:{number}")
                continue
            self._image.append(self.images.setdefault(image, len(self.images)))
            self._class.append(self.classes.setdefault(label, len(self.classes)))
            self._group.append(group == "1")
            self._edges.extend(found)

    def columns(self) -> tuple[IntArray, IntArray, FloatArray, IntArray]:
        """(N,) image and class by their numbers, (N, 4) xmin, xmax, ymin, ymax, and (N,) 1 for groups."""
        return (
            np.array(self._image, np.int64),
            np.array(self._class, np.int64),
            np.array(self._edges, np.float64).reshape(-1, 4),
            np.array(self._group, np.int64),
        )


class _ImageLabels:
    """Verified labels of images: ``pairs`` has stem -> label -> whether it is there."""

    def __init__(self, file: Path | None, places: Mapping[str, str]) -> None:
        self.pairs: dict[str, dict[str, bool]] = {}
        self.classes: set[str] = set()
        for _, (image, label, confidence) in _rows(file, _LABEL) if file is not None else ():
            # Labels by machines have other values, and verify nothing.
            if image in places and label and (value := number_of(confidence)) in {0.0, 1.0}:
                self.pairs.setdefault(image, {})[label] = value == 1
                self.classes.add(label)


def _rows(file: Path, wanted: Sequence[str], optional: Sequence[str] = ()) -> Iterator[tuple[int, list[str]]]:
    """Line number and values of the columns, "" for those that are not there; one row at a time."""
    lines = _lines(file)
    _, header = next(lines, (0, []))
    missing = [name for name in wanted if name not in header]
    if missing:
        raise DatasetError(
            f"{file}: no column {listed(missing)}, there are {listed(header)}",
            fix="give the file as Open Images publishes it",
        )
    at = [header.index(name) if name in header else -1 for name in (*wanted, *optional)]
    for number, row in lines:
        yield number, [row[i].strip() if 0 <= i < len(row) else "" for i in at]


def _lines(file: Path) -> Iterator[tuple[int, list[str]]]:
    """Line number and cells of each row that has some."""
    try:
        with io.TextIOWrapper(open_file(file), encoding="utf-8-sig", newline="") as stream:
            reader = csv.reader(stream)
            yield from ((reader.line_num, row) for row in reader if row)
    except OSError as exc:
        raise DatasetError(f"{file}: cannot be read: {exc.strerror}", fix="check the path") from exc
    except UnicodeDecodeError as exc:
        raise DatasetError(f"{file}: is no text in UTF-8", fix=SAVE_AS_UTF8) from exc
    except csv.Error as exc:
        raise DatasetError(f"{file}: is no CSV: {exc}", fix="download it again") from exc


def _image_folder(file: Path, base: Path, split: str) -> Path:
    """The first folder of images of the split beside the file or above it, up to what the user named."""
    inner = (f"images/{split}", f"{split}/data", f"{split}/images", split, f"data/{split}", "images", "data")
    above = [folder for folder in (file.parent, *file.parents) if folder.is_relative_to(base)] or [base]
    places = chain.from_iterable((folder / name for name in inner if name) for folder in above)
    return next((place for place in places if place != file.parent and _has_images(place)), base)


def _has_images(folder: Path) -> bool:
    return folder.is_dir() and next(iter(find_images(folder)), None) is not None


def _beside(file: Path, base: Path, split: str, pattern: re.Pattern[str]) -> Path | None:
    """A file of the split beside the boxes, or in a folder of the data set."""
    folders = [file.parent, file.parent.parent / "metadata", base, base / "metadata", base / "annotations"]
    for folder in dict.fromkeys(folders):
        found = [path for path in sorted(folder.glob("*.csv")) if pattern.search(path.name)]
        fitting = [path for path in found if not split or open_images_split(path) in {"", split}]
        # Of several lists, that of the classes that have boxes: class-descriptions-boxable.csv.
        if fitting:
            return next((path for path in fitting if "boxable" in path.name), fitting[0])
    return None


def _sizes(
    folder: Path, places: Mapping[str, str], stated: set[str], left_out: LeftOut
) -> tuple[dict[str, str], dict[str, Size]]:
    """Stem -> key and size of the images that the files speak of, in the order of their keys."""
    keys: dict[str, str] = {}
    sizes: dict[str, Size] = {}
    for stem, key in sorted(places.items(), key=lambda pair: pair[1]):
        if stem not in stated:
            left_out.add("images", "without a box or a verified label", key, fault=False)
            continue
        try:
            sizes[stem] = ImageFile(folder / key).size_wh()
        except AnydetError as exc:
            left_out.add("images", "whose size cannot be read", exc.problem, fix=exc.fix)
        else:
            keys[stem] = key
    return keys, sizes


def _class_table(file: Path | None, found: set[str]) -> ClassTable:
    """Classes by name, in the order of the list of names; labels that it lacks follow under their own."""
    rows = [row for _, row in _lines(file) if len(row) > 1] if file is not None else []
    names = {row[0].strip(): row[1].strip() for row in rows if row[0] != "LabelName"}
    labels = [*names, *sorted(found - names.keys())]
    shown = [names.get(label) or label for label in labels]
    often = {name for name, count in Counter(shown).items() if count > 1}
    ranks = {label: rank for rank, label in enumerate(sorted(labels))}
    return ClassTable(
        tuple(label if name in often else name for label, name in zip(labels, shown, strict=True)),
        tuple(ranks[label] for label in labels),
        source_names=tuple(labels),
    )


def _table(
    keys: Mapping[str, str],
    sizes: Mapping[str, Size],
    boxes: _Boxes,
    labels: _ImageLabels,
    classes: ClassTable,
) -> ImageTable:
    place = {stem: at for at, stem in enumerate(keys)}
    class_of = {label: at for at, label in enumerate(classes.own_ids)}
    images, labeled, edges, group = boxes.columns()
    image_of = np.array([place.get(stem, -1) for stem in boxes.images], np.int64)
    image_index = image_of[images] if len(images) else images
    order = np.argsort(image_index, kind="stable")
    order = order[image_index[order] >= 0]
    image_index = image_index[order]
    sizes_wh = np.array([sizes[stem] for stem in keys], np.int64)
    first, last = edges[order][:, 0::2], edges[order][:, 1::2]
    scale = sizes_wh[image_index]
    boxes_xywh = np.concatenate([first * scale, (last - first) * scale], axis=1)
    ids = np.array([class_of[label] for label in boxes.classes], np.int64)
    class_ids = ids[labeled[order]] if len(order) else np.zeros(0, np.int64)
    boxed = set(zip(image_index.tolist(), class_ids.tolist(), strict=True))
    return ImageTable(
        keys=tuple(keys.values()),
        sizes_wh=sizes_wh,
        labels=Labels(
            class_ids,
            boxes_xywh,
            area_xywh(boxes_xywh),
            group[order].astype(np.bool_),
            area_stated=np.zeros(len(order), np.bool_),
        ),
        offsets=np.searchsorted(image_index, np.arange(len(keys) + 1)),
        classes=classes,
        federation=_federation(labels, place, class_of, boxed) if labels.pairs else None,
    )


def _federation(
    labels: _ImageLabels,
    place: Mapping[str, int],
    class_of: Mapping[int | str, int],
    boxed: set[tuple[int, int]],
) -> Federation:
    """What was verified not to be there, and what is there without a box of it."""
    absent, incomplete = [], []
    for stem, said in labels.pairs.items():
        for label, there in said.items() if stem in place else ():
            pair = place[stem], class_of[label]
            if not there:
                absent.append(pair)
            elif pair not in boxed:
                incomplete.append(pair)
    return Federation(*(np.array(sorted(pairs), np.int64).reshape(-1, 2) for pairs in (absent, incomplete)))
