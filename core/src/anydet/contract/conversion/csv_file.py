"""Predictions as CSV: one row a detection, for spreadsheets.

Columns: ``image``; ``class_id``, ``class_name``, ``score``; the box as ``x1``, ``y1``, ``x2``, ``y2`` in
pixels of the original image; ``width``, ``height`` of that image, empty where unknown. An image without
detections has one row in which all of a detection's columns are empty. Numbers are written so that reading
gives the same bits. Other columns are read as text into the ``extra`` of their detection, and other tools'
names of columns as ``reading.foreign.tables`` has them.
"""

from __future__ import annotations

import csv
import io
from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import IO

from anydet.contract.columns import images_of_raw
from anydet.contract.reading.foreign.assembling import assemble, fix_of
from anydet.contract.reading.foreign.given import Given
from anydet.contract.reading.foreign.tables import COLUMNS, read_table
from anydet.errors import ContractError
from anydet.types import ImagePredictions


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
        ContractError: a column is missing, or a cell is not what belongs there (``issues`` has all).
    """
    given = Given(path)
    table = read_table(given)
    raw = assemble(given, table.kind, table.found)
    if given.problems:
        raise ContractError.of(given.all_problems(), fix=fix_of(given))
    names = {number: name for number, name in table.names.items() if isinstance(number, int)}
    return CsvPredictions(tuple(images_of_raw(raw)), names)
