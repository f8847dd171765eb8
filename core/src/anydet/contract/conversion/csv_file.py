"""Predictions as CSV: one row a detection, for spreadsheets.

Columns: ``image``; ``class_id``, ``class_name``, ``score``; the box as ``x1``, ``y1``, ``x2``, ``y2`` in
pixels of the original image; ``width``, ``height`` of that image, empty where unknown. An image without
detections has one row in which all of a detection's columns are empty. Numbers are written so that reading
gives the same bits. Other columns are read as text into the ``extra`` of their detection.
"""

from __future__ import annotations

import csv
import io
from collections.abc import Iterable, Iterator, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import IO

import numpy as np

from anydet.errors import ContractError
from anydet.types import ImagePredictions, Size

COLUMNS = ("image", "class_id", "class_name", "score", "x1", "y1", "x2", "y2", "width", "height")
_REQUIRED = ("image", "class_id", "score", "x1", "y1", "x2", "y2")
_DETECTION = ("class_id", "score", "x1", "y1", "x2", "y2")


@dataclass(frozen=True, slots=True, eq=False)
class CsvPredictions:
    """What a CSV file says: results in the order of first mention, and names by class id."""

    images: tuple[ImagePredictions, ...]
    names: dict[int, str]


def write_csv(images: Iterable[ImagePredictions], file: IO[bytes], names: Sequence[str] | None) -> set[int]:
    """Write results as they come and give the class ids that occur; unnamed ones get no ``class_name``."""
    used: set[int] = set()
    text = io.TextIOWrapper(file, "utf-8", newline="")
    writer = csv.writer(text, lineterminator="\n")
    writer.writerow(COLUMNS)
    for image in images:
        size = image.size_wh if image.size_wh[0] > 0 else ("", "")
        if not len(image):
            writer.writerow([image.image, *[""] * 7, *size])
        used.update(image.class_ids.tolist())
        boxes = image.boxes_xyxy_px.tolist()
        for class_id, score, box in zip(image.class_ids.tolist(), image.scores.tolist(), boxes, strict=True):
            name = names[class_id] if names and class_id < len(names) else ""
            writer.writerow([image.image, class_id, name, score, *box, *size])
    text.detach()
    return used


def read_csv(path: Path) -> CsvPredictions:
    """The results of a CSV file; rows of one image need not stand together.

    Raises:
        ContractError: a column is missing, or a cell is not the number that belongs there, with its line.
    """
    rows: dict[str, list[tuple[float, ...]]] = {}
    extras: dict[str, list[dict[str, str] | None]] = {}
    sizes: dict[str, Size] = {}
    names: dict[int, str] = {}
    for line, row in _lines(path):
        image = row["image"]
        if not image:
            raise ContractError(f"{path}:{line}: image is empty", fix="name the image the row belongs to")
        found = rows.setdefault(image, [])
        size = _size(path, line, row)
        if size and sizes.setdefault(image, size) != size:
            raise ContractError(
                f"{path}:{line}: {image} has another width and height than before",
                fix="give all rows of an image the same",
            )
        if any(row[name] for name in _DETECTION):
            class_id = _number(path, line, row, "class_id")
            if class_id < 0 or class_id != int(class_id):
                raise ContractError(
                    f"{path}:{line}: class_id: {row['class_id']!r} is not a whole number >= 0",
                    fix="correct the row",
                )
            found.append((class_id, *(_number(path, line, row, name) for name in _DETECTION[1:])))
            others = {key: value for key, value in row.items() if key not in COLUMNS and value}
            extras.setdefault(image, []).append(others or None)
            _name(path, line, names, int(class_id), row.get("class_name") or "")
    return CsvPredictions(
        tuple(
            _image(image, sizes.get(image, (0, 0)), found, extras.get(image, []))
            for image, found in rows.items()
        ),
        names,
    )


def _lines(path: Path) -> Iterator[tuple[int, dict[str, str]]]:
    try:
        with path.open(encoding="utf-8-sig", newline="") as file:
            reader = csv.DictReader(file, restval="", strict=True)
            missing = [name for name in _REQUIRED if name not in (reader.fieldnames or ())]
            if missing:
                raise ContractError(
                    f"{path}: missing columns: {', '.join(missing)}",
                    fix=f"give it the header {','.join(COLUMNS)}",
                )
            for row in reader:
                if None in row:
                    raise ContractError(
                        f"{path}:{reader.line_num}: more cells than the header has columns",
                        fix="quote cells that contain commas",
                    )
                yield reader.line_num, row
    except FileNotFoundError as exc:
        raise ContractError(f"{path}: no such file", fix="give the path of a predictions file") from exc
    except (OSError, UnicodeDecodeError, csv.Error) as exc:
        raise ContractError(f"{path}: cannot be read as CSV: {exc}", fix="write it as UTF-8 CSV") from exc


def _number(path: Path, line: int, row: dict[str, str], name: str) -> float:
    try:
        value = float(row[name])
    except ValueError:
        value = np.nan
    if not np.isfinite(value):
        raise ContractError(
            f"{path}:{line}: {name}: {row[name]!r} is not a finite number", fix="correct the row"
        )
    return value


def _size(path: Path, line: int, row: dict[str, str]) -> Size | None:
    if not row.get("width") and not row.get("height"):
        return None
    width, height = (_number(path, line, {n: row.get(n, "") for n in COLUMNS}, n) for n in COLUMNS[8:])
    if min(width, height) < 1 or (width, height) != (int(width), int(height)):
        raise ContractError(
            f"{path}:{line}: width and height are not whole numbers above 0", fix="correct the row"
        )
    return int(width), int(height)


def _name(path: Path, line: int, names: dict[int, str], class_id: int, name: str) -> None:
    if name and names.setdefault(class_id, name) != name:
        raise ContractError(
            f"{path}:{line}: class {class_id} is called {name!r} here and {names[class_id]!r} before",
            fix="give each class one name",
        )


def _image(
    image: str, size: Size, rows: list[tuple[float, ...]], extras: list[dict[str, str] | None]
) -> ImagePredictions:
    table = np.array(rows, np.float64).reshape(-1, 6)
    return ImagePredictions(
        image,
        size,
        table[:, 2:],
        table[:, 1],
        table[:, 0].astype(np.int64),
        detection_extra=tuple(extras) if any(extras) else None,
    )
