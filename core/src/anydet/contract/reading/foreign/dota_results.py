"""Results of DOTA: a file for each class, ``Task1_plane.txt``, with a line for each detection.

A line is the image's name without its ending, a score, and in pixels the four corners of an oriented box
(``Task1``), or two corners of an upright one (``Task2``). mmrotate and Ultralytics write such files, too.
"""

from __future__ import annotations

import re
from collections.abc import Iterator
from pathlib import Path

import numpy as np

from anydet.contract.reading.foreign.assembling import Kind
from anydet.contract.reading.foreign.given import FileName, Found, Given
from anydet.errors import ContractError
from anydet.geometry.oriented import enclosing_xyxy
from anydet.types import FloatArray

DOTA = Kind("xyxy_abs")
_NAME = re.compile(r"Task([12])_(.+)\.txt")
_NUMBERS = {"1": 8, "2": 4}
"""Task -> numbers of a box."""


def is_dota(path: Path) -> bool:
    """Whether it is a file that is named as DOTA's results are, or a folder with one."""
    return bool(_NAME.fullmatch(path.name)) if path.is_file() else bool(_files(path))


def read_dota(given: Given) -> Iterator[Found]:
    """The detections of each image, of all classes; corners of oriented boxes are keypoints.

    Raises ``ContractError`` where files of both tasks are there, or a file is no text.
    """
    files = [given.path] if given.path.is_file() else _files(given.path)
    named = [(match[1], match[2], file) for file in files if (match := _NAME.fullmatch(file.name))]
    if len({task for task, *_ in named}) > 1:
        raise ContractError(
            f"{given.path}: files of Task1 (oriented boxes) and of Task2 (upright ones)",
            fix="give a folder of one of them",
        )
    order = {} if given.truth is None else {name: i for i, name in enumerate(given.truth.classes.names)}
    rows: dict[str, list[tuple[str, str, float, FloatArray]]] = {}
    for task, name, file in sorted(named, key=lambda one: order.get(one[1], len(order))):
        for place, line in _lines(given, file):
            row = _row(given, place, line, _NUMBERS[task])
            if row is not None:
                image, score, numbers = row
                rows.setdefault(image, []).append((place, name, score, numbers))
    for image, found in rows.items():
        yield _found(image, found)


def _files(folder: Path) -> list[Path]:
    return sorted(one for one in folder.iterdir() if one.is_file() and _NAME.fullmatch(one.name))


def _lines(given: Given, file: Path) -> Iterator[tuple[str, str]]:
    """Place and text of each line that is not empty."""
    for number, line in enumerate(given.open_text(file), start=1):
        if line.strip():
            yield f"{file.name}:{number}", line


def _row(given: Given, place: str, line: str, count: int) -> tuple[str, float, FloatArray] | None:
    """Image, score and box of a line; what is wrong with it goes to ``given``."""
    image, *words = line.split()
    try:
        score, *numbers = map(float, words)
    except ValueError:
        numbers = []
    if len(numbers) != count or not np.isfinite(numbers).all():
        given.blame(place, f"a line is an image, a score and {count} numbers of a box")
        return None
    return image, score, np.array(numbers, np.float64)


def _found(image: str, rows: list[tuple[str, str, float, FloatArray]]) -> Found:
    numbers = np.stack([row[3] for row in rows])
    oriented = numbers.shape[1] == _NUMBERS["1"]
    corners = numbers.reshape(len(rows), -1, 2)
    return Found(
        FileName(image),
        image,
        enclosing_xyxy(corners),
        np.array([row[2] for row in rows], np.float64),
        [row[1] for row in rows],
        rows=[row[0] for row in rows],
        keypoints=np.pad(corners, ((0, 0), (0, 0), (0, 1)), constant_values=np.nan) if oriented else None,
    )
