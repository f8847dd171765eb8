"""CSV files, anydet's own and those of other tools: one row a detection, columns by their usual names.

Names are compared without case, spaces and marks: ``Image Name``, ``image_name`` and ``imageName`` are one.
"""

from __future__ import annotations

import csv
import math
import re
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import field, replace
from pathlib import Path

import numpy as np

from anydet.contract.reading.foreign.assembling import UNSTATED, Kind
from anydet.contract.reading.foreign.given import Found, Given
from anydet.dataclass import dataclass
from anydet.errors import ContractError
from anydet.types import FloatArray, Size

COLUMNS = ("image", "class_id", "class_name", "score", "x1", "y1", "x2", "y2", "width", "height")
"""The columns of anydet's own files."""
_IMAGE = (
    "image",
    "filename",
    "imagename",
    "imagepath",
    "imagefile",
    "file",
    "path",
    "imageid",
    "img",
    "imgname",
)
_CLASS_ID = ("classid", "categoryid", "labelid", "clsid", "class", "category", "label", "cls", "labels")
_CATEGORY_ID = ("categoryid", "category")
"""Those of ``_CLASS_ID`` that hold ids of the data set, as in COCO results; the others count from 0."""
_CLASS_NAME = ("classname", "categoryname", "labelname", "name", "class", "category", "label", "prediction")
_SCORE = ("score", "confidence", "conf", "prob", "probability", "scores", "confidences")
_BOXES: tuple[tuple[str, tuple[str, str, str, str]], ...] = (
    ("xyxy_abs", ("x1", "y1", "x2", "y2")),
    ("xyxy_abs", ("xmin", "ymin", "xmax", "ymax")),
    ("xyxy_abs", ("left", "top", "right", "bottom")),
    ("xyxy_abs", ("xtl", "ytl", "xbr", "ybr")),
    ("xyxy_abs", ("bboxx1", "bboxy1", "bboxx2", "bboxy2")),
    ("xywh_abs", ("left", "top", "width", "height")),
    ("xywh_abs", ("xmin", "ymin", "width", "height")),
    ("xywh_abs", ("xmin", "ymin", "w", "h")),
    ("xywh_abs", ("x1", "y1", "w", "h")),
    ("xywh_abs", ("bboxleft", "bboxtop", "bboxwidth", "bboxheight")),
    ("xywh_abs", ("bbleft", "bbtop", "bbwidth", "bbheight")),
    ("cxcywh_abs", ("cx", "cy", "w", "h")),
    ("cxcywh_abs", ("cx", "cy", "width", "height")),
    ("cxcywh_abs", ("xcenter", "ycenter", "width", "height")),
    ("cxcywh_abs", ("xcenter", "ycenter", "w", "h")),
    ("cxcywh_abs", ("centerx", "centery", "width", "height")),
    ("cxcywh_abs", ("xc", "yc", "w", "h")),
    (UNSTATED, ("x", "y", "w", "h")),
    (UNSTATED, ("x", "y", "width", "height")),
    (UNSTATED, ("bboxx", "bboxy", "bboxw", "bboxh")),
    (UNSTATED, ("bboxx", "bboxy", "bboxwidth", "bboxheight")),
)
"""Names of four columns -> what they are; x and y alone may be a corner or the center."""
_WIDTH = ("width", "imagewidth", "imgwidth", "imgw", "imagew")
_HEIGHT = ("height", "imageheight", "imgheight", "imgh", "imageh")


@dataclass(frozen=True, slots=True)
class Layout:
    """Where in a row everything is, by the file's own names of columns.

    Attributes:
        image, class_id, class_name, score: names of columns, "" where there is none.
        box: four of them.
        box_format: what they are, in pixels.
        size: width and height of the image, () where no columns have them.
        own: whether the file is one of anydet's own.
        categories: whether ``class_id`` holds ids of the data set, or names, as in COCO results.
    """

    image: str
    class_id: str
    class_name: str
    score: str
    box: tuple[str, ...]
    box_format: str
    size: tuple[str, ...]
    own: bool
    categories: bool

    @property
    def used(self) -> frozenset[str]:
        """Columns that are understood; the others go to ``extra``."""
        return frozenset({self.image, self.class_id, self.class_name, self.score, *self.box, *self.size})


@dataclass(slots=True, eq=False)
class _Rows:
    """The rows of one image."""

    numbers: list[list[float]] = field(default_factory=list)
    labels: list[str | int] = field(default_factory=list)
    places: list[str] = field(default_factory=list)
    extra: list[Mapping[str, str] | None] = field(default_factory=list)
    size: Size | None = None


@dataclass(frozen=True, slots=True, eq=False)
class Table:
    """A CSV file as it was read.

    Attributes:
        kind: what its boxes are.
        found: results by image, in the order of first mention.
        names: names by class id or category id, where rows have both.
    """

    kind: Kind
    found: Sequence[Found]
    names: Mapping[int | str, str]


def read_table(given: Given) -> Table:
    """The rows by image; those that are wrong go to the problems.

    Raises:
        ContractError: it is no CSV, or columns are missing.
    """
    rows = _lines(given)
    layout: Layout = next(rows)  # type: ignore[assignment]
    images: dict[str, _Rows] = {}
    names: dict[int | str, str] = {}
    for line, row in rows:  # type: ignore[misc]
        _add(given, layout, (f"line {line}", row), images, names)
    found = [
        Found(
            image,
            f"image {image}",
            np.array([n[1:] for n in one.numbers], np.float64).reshape(-1, 4),
            np.array([n[0] for n in one.numbers], np.float64),
            one.labels,
            rows=one.places,
            size_wh=one.size,
            extra=one.extra if any(one.extra) else None,
        )
        for image, one in images.items()
    ]
    box_format = layout.box_format
    if not layout.own:
        found, box_format = _fractions(given, found, box_format)
    return Table(Kind(box_format, labels="results" if layout.categories else "class"), found, names)


def by_name(given: Given, table: Table) -> Sequence[Found]:
    """The results with names in place of ids, where rows have both and the data set has names."""
    names = table.names
    labels = {label for one in table.found for label in one.labels}
    classes = () if given.truth is None else given.truth.classes.names
    # Of a data set without names, the names of classes are their numbers.
    named = bool(classes) and classes != tuple(map(str, range(len(classes))))
    # Ids of a data set that is not at hand mean nothing: names do.
    named = named or (given.truth is None and table.kind.labels == "results")
    if not names or not named or not labels <= names.keys() or given.class_map is not None:
        return table.found
    return [replace(one, labels=[names[label] for label in one.labels]) for one in table.found]


def _lines(given: Given) -> Iterator[Layout | tuple[int, dict[str, str]]]:
    """The layout, then line number and cells of each row."""
    path = given.path
    try:
        with given.open_text(path) as file:
            first = file.readline()
            file.seek(0)
            separator = ";" if first.count(";") > first.count(",") else "\t" if "\t" in first else ","
            reader = csv.DictReader(file, restval="", strict=True, delimiter=separator)
            yield _layout(path, list(reader.fieldnames or ()))
            for row in reader:
                if None in row:
                    raise ContractError(
                        f"{path}:{reader.line_num}: more cells than the header has columns",
                        fix="quote cells that contain commas",
                    )
                yield reader.line_num, row
    except FileNotFoundError as exc:
        raise ContractError(f"{path}: no such file", fix="give the path of a predictions file") from exc
    except (OSError, csv.Error) as exc:
        raise ContractError(f"{path}: cannot be read as CSV: {exc}", fix="write it as UTF-8 CSV") from exc


def _layout(path: Path, header: list[str]) -> Layout:
    own = {"image", "class_id", "score", "x1", "y1", "x2", "y2"} <= set(header)
    by_name: dict[str, str] = {}
    for column in header:
        by_name.setdefault(_plain_name(column), column)

    def one(names: Sequence[str]) -> str:
        return next((by_name[name] for name in names if name in by_name), "")

    box_format, box = next(
        ((form, names) for form, names in _BOXES if set(names) <= by_name.keys()), (UNSTATED, ())
    )
    class_id, class_name = one(_CLASS_ID), one(_CLASS_NAME)
    if class_id == class_name:
        class_name = ""
    missing = [
        name
        for name, there in (
            ("image", one(_IMAGE)),
            ("class_id", class_id or class_name),
            ("score", one(_SCORE)),
            ("x1, y1, x2, y2", box),
        )
        if not there
    ]
    if missing:
        raise ContractError(
            f"{path}: missing columns: {', '.join(missing)}", fix=f"give it the header {','.join(COLUMNS)}"
        )
    sides = [
        next((by_name[n] for n in names if n in by_name and n not in box), "") for names in (_WIDTH, _HEIGHT)
    ]
    return Layout(
        one(_IMAGE),
        class_id,
        class_name,
        one(_SCORE),
        tuple(by_name[name] for name in box),
        box_format,
        tuple(sides) if all(sides) else (),
        own,
        _plain_name(class_id) in _CATEGORY_ID,
    )


def _plain_name(column: str) -> str:
    return re.sub(r"[^a-z0-9]", "", column.lower())


def _add(
    given: Given,
    layout: Layout,
    where: tuple[str, Mapping[str, str]],
    images: dict[str, _Rows],
    names: dict[int | str, str],
) -> None:
    """One row, with its place."""
    place, row = where
    image = row[layout.image]
    if not image:
        given.blame(place, "image is empty")
        return
    found = images.setdefault(image, _Rows())
    _add_size(given, layout, place, row, found)
    cells = [row[name] for name in (layout.class_id or layout.class_name, layout.score, *layout.box)]
    if not any(cells):
        return
    numbers = []
    for name in (layout.score, *layout.box):
        value = _number(row[name])
        if not math.isfinite(value):
            given.blame(place, f"{name}: {row[name]!r} is not a finite number")
            return
        numbers.append(value)
    label = _label(given, layout, place, row, names)
    if label is None:
        return
    found.numbers.append(numbers)
    found.labels.append(label)
    found.places.append(place)
    others = {key: value for key, value in row.items() if key not in layout.used and value}
    found.extra.append(others or None)


def _label(
    given: Given, layout: Layout, place: str, row: Mapping[str, str], names: dict[int | str, str]
) -> str | int | None:
    """A class id, or a name where the file has no ids."""
    name = row[layout.class_name] if layout.class_name else ""
    if not layout.class_id:
        if not name:
            given.blame(place, f"{layout.class_name} is empty")
        return name or None
    text = row[layout.class_id]
    value = _number(text)
    if layout.categories:
        return _category(given, layout, (place, text, name), names)
    if math.isfinite(value) and 0 <= value == int(value) < 2**31:
        if name and names.setdefault(int(value), name) != name:
            given.blame(place, f"class {int(value)} is called {name!r} here and {names[int(value)]!r} before")
            return None
        return int(value)
    # A column "class" or "label" may hold names.
    if _plain_name(layout.class_id).endswith("id") or math.isfinite(value) or not text:
        given.blame(place, f"{layout.class_id}: {text!r} is not a whole number >= 0")
        return None
    return text


def _category(
    given: Given, layout: Layout, cell: tuple[str, str, str], names: dict[int | str, str]
) -> str | int | None:
    """A category id, which may be text, of a cell: its place, its text, and the name beside it."""
    place, text, name = cell
    if not text.strip():
        given.blame(place, f"{layout.class_id} is empty")
        return None
    value = _number(text)
    own = int(value) if math.isfinite(value) and value == int(value) else text
    if name and names.setdefault(own, name) != name:
        given.blame(place, f"category {own} is called {name!r} here and {names[own]!r} before")
        return None
    return own


def _add_size(given: Given, layout: Layout, place: str, row: Mapping[str, str], found: _Rows) -> None:
    cells = [row[name] for name in layout.size]
    if not any(cells):
        return
    width, height = map(_number, cells)
    if not (width >= 1 and height >= 1 and width < 2**31 and height < 2**31) or (width % 1 or height % 1):
        given.blame(place, "width and height are not whole numbers above 0")
    elif found.size not in (None, (width, height)):
        given.blame(place, "another width and height than before")
    else:
        found.size = int(width), int(height)


def _number(text: str) -> float:
    try:
        return float(text)
    except ValueError:
        return math.nan


def _fractions(given: Given, found: list[Found], box_format: str) -> tuple[list[Found], str]:
    """Boxes whose numbers all are from 0 to 1 are fractions: as pixels, they would be smaller than one."""
    boxes: FloatArray = np.concatenate([np.zeros((0, 4)), *(one.boxes for one in found)])
    if not len(boxes) or box_format == UNSTATED:
        return found, box_format
    if boxes.min() < 0 or boxes.max() > 1 or (boxes == np.floor(boxes)).all():
        return found, box_format
    given.notes.append(f"{given.path}: boxes are read as fractions of the image, as none is above 1")
    # Center and size in units of the image: the contract's own.
    return [replace(one, boxes=_centered(one.boxes, box_format)) for one in found], "cxcywh_norm"


def _centered(boxes: FloatArray, box_format: str) -> FloatArray:
    if box_format == "cxcywh_abs":
        return boxes
    low, size = boxes[:, :2], boxes[:, 2:] - (boxes[:, :2] if box_format == "xyxy_abs" else 0)
    centered: FloatArray = np.concatenate([low + size / 2, size], axis=1)
    return centered
