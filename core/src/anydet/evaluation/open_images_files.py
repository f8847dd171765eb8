"""Files that Open Images publishes beside its boxes: the hierarchy of classes, and verified image labels."""

from __future__ import annotations

import csv
import json
from collections.abc import Collection, Iterator, Mapping
from pathlib import Path
from typing import Any

from anydet.errors import EvaluationError
from anydet.inputs import read_text
from anydet.text import listed, quoted
from anydet.types import ClassTable

_NAME, _BELOW = "LabelName", "Subcategory"
_COLUMNS = ("ImageID", _NAME, "Confidence")


def read_hierarchy(path: Path, classes: ClassTable) -> dict[str, tuple[str, ...]]:
    """Class -> the classes right above it, of a file like ``bbox_labels_600_hierarchy.json``.

    The root stands for all classes and is none. Parts of classes (``Part``) are no kinds of them.

    Args:
        path: JSON, a tree of ``{"LabelName": ..., "Subcategory": [...]}``.
        classes: of the data set; the file may have their names, or their own ids (``/m/01g317``).

    Raises:
        EvaluationError: the file is no such tree, or names none of the classes.
    """
    try:
        root = json.loads(read_text(path))
    except (OSError, UnicodeDecodeError, ValueError) as exc:
        raise _unread(path, f"cannot be read: {exc}") from exc
    parents: dict[str, list[str]] = {}
    names = _names(classes)
    for child, parent in _edges(path, root):
        above = parents.setdefault(names.get(child, child), [])
        if parent is not None and (name := names.get(parent, parent)) not in above:
            above.append(name)
    _require_known(path, parents, classes)
    return {child: tuple(above) for child, above in parents.items() if above}


def _edges(path: Path, root: Any) -> Iterator[tuple[str, str | None]]:
    """(class, class above it) of the whole tree, ``None`` for what is right below the root."""
    left: list[tuple[Any, str | None]] = [(node, None) for node in _below(path, root, "the root")]
    while left:
        node, parent = left.pop()
        name = node.get(_NAME) if isinstance(node, dict) else None
        if not isinstance(name, str):
            raise _unread(path, f"an entry below {quoted(parent or 'the root')} has no {_NAME}")
        yield name, parent
        left += [(one, name) for one in _below(path, node, name)]


def _below(path: Path, node: Any, name: str) -> list[Any]:
    found = node.get(_BELOW, []) if isinstance(node, dict) else None
    if not isinstance(found, list):
        raise _unread(path, f"{_BELOW} of {quoted(name)} is no list")
    return found


def _unread(path: Path, problem: str) -> EvaluationError:
    return EvaluationError(
        f"{path}: {problem}",
        fix='give a tree like {"LabelName": "Entity", "Subcategory": [{"LabelName": "Cat"}]}, as Open '
        "Images publishes it",
    )


def read_image_labels(path: Path, classes: ClassTable) -> dict[str, dict[str, bool]]:
    """Image -> class -> whether it is there, of a file like ``validation-human-imagelabels-boxable.csv``.

    Args:
        path: CSV with the columns ImageID, LabelName and Confidence (1: there, 0: not there).
        classes: of the data set; the file may have their names, or their own ids (``/m/01g317``).

    Raises:
        EvaluationError: the file is no such table, or names none of the classes.
    """
    try:
        rows = csv.reader(read_text(path).splitlines())
        header = next(rows, [])
        missing = [name for name in _COLUMNS if name not in header]
        if missing:
            raise EvaluationError(
                f"{path}: no column {listed(missing)}, there are {listed(header)}",
                fix=f"give CSV with a header like {','.join(_COLUMNS)}",
            )
        places = [header.index(name) for name in _COLUMNS]
        labels: dict[str, dict[str, bool]] = {}
        names = _names(classes)
        for number, row in enumerate(rows, start=2):
            if row:
                image, name, there = _label(path, number, row, places)
                labels.setdefault(image, {})[names.get(name, name)] = there
    except (OSError, UnicodeDecodeError, csv.Error) as exc:
        raise EvaluationError(f"{path}: cannot be read: {exc}", fix="give a CSV file in UTF-8") from exc
    _require_known(path, {name for one in labels.values() for name in one}, classes)
    return labels


def _label(path: Path, number: int, row: list[str], places: list[int]) -> tuple[str, str, bool]:
    """Image, class, and whether it is there."""
    image, name, confidence = (row[i] if i < len(row) else "" for i in places)
    try:
        value = float(confidence)
    except ValueError:
        value = -1.0
    if value not in {0.0, 1.0}:
        raise EvaluationError(
            f"{path}: line {number}: Confidence is {quoted(confidence)}",
            fix="give labels that people have verified, which are 0 or 1",
        )
    return image, name, value == 1


def _names(classes: ClassTable) -> dict[str, str]:
    """Own id of a class, where it is text -> its name."""
    pairs = zip(classes.own_ids, classes.names, strict=True)
    return {own: name for own, name in pairs if isinstance(own, str)}


def _require_known(path: Path, names: Mapping[str, Any] | Collection[str], classes: ClassTable) -> None:
    """Raise ``EvaluationError`` where not one of the names is a class."""
    if set(names) & set(classes.names):
        return
    raise EvaluationError(
        f"{path}: none of its labels ({listed(sorted(names))}) is a class of the data set, which are "
        f"{listed(classes.names)}",
        fix="name the classes of the data set as that file does, such as /m/01g317",
    )
