"""Ids of a COCO annotations file, looked at even where it is too broken to be opened."""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterable, Iterator, Sequence
from pathlib import Path
from typing import Any

import msgspec

from anydet.data.inspection.finding import DatasetFinding, some
from anydet.inputs import read_json


# All fields are ``Any``: a value of a wrong type is counted as a finding instead of ending the reading.
class _Image(msgspec.Struct, gc=False):
    id: Any = None
    file_name: Any = None


class _Annotation(msgspec.Struct, gc=False):
    id: Any = None
    image_id: Any = None
    category_id: Any = None
    bbox: Any = None


class _Category(msgspec.Struct, gc=False):
    id: Any = None
    name: Any = None


class _File(msgspec.Struct):
    images: list[_Image] = []
    annotations: list[_Annotation] = []
    categories: list[_Category] = []


def inspect_identifiers(path: Path) -> Iterator[DatasetFinding]:
    """Ids that occur twice, and annotations that refer to nothing; none where the file is no such JSON."""
    try:
        file = msgspec.json.decode(read_json(path), type=_File)
    except (OSError, msgspec.DecodeError, UnicodeDecodeError, RecursionError):
        return
    for check, what, values in (
        ("duplicate image ids", "ids of several images", [one.id for one in file.images]),
        ("duplicate file names", "files of several images", [one.file_name for one in file.images]),
        ("duplicate category ids", "ids of several categories", [one.id for one in file.categories]),
        (
            "duplicate annotation ids",
            "ids of several annotations, of which tools that index by id keep one",
            [one.id for one in file.annotations if one.id is not None],
        ),
    ):
        yield from _duplicates(check, what, values)
    for finding in _duplicates("duplicate names", "class names twice", [one.name for one in file.categories]):
        yield DatasetFinding("warning", finding.check, finding.count, finding.problem, finding.examples)
    yield from _dangling(file.annotations, "image_id", "image", [one.id for one in file.images])
    yield from _dangling(file.annotations, "category_id", "category", [one.id for one in file.categories])
    yield from _malformed_boxes(file.annotations)


def _duplicates(check: str, what: str, values: Iterable[Any]) -> Iterator[DatasetFinding]:
    twice = [value for value, count in Counter(map(_hashable, values)).items() if count > 1]
    if twice:
        yield DatasetFinding("broken", check, len(twice), what, some(twice), "give each its own")


def _hashable(value: Any) -> Any:
    # Broken files have lists and objects in place of ids.
    return value if isinstance(value, int | float | str) or value is None else repr(value)


def _dangling(
    annotations: Sequence[_Annotation], field: str, kind: str, known: Iterable[Any]
) -> Iterator[DatasetFinding]:
    ids = set(map(_hashable, known))
    lost = [one for one in annotations if _hashable(getattr(one, field)) not in ids]
    if lost:
        yield DatasetFinding(
            "broken",
            f"annotations without {kind}",
            len(lost),
            f"annotations whose {field} is not among the file's {kind} ids",
            some(f"annotation {one.id}: {field} {getattr(one, field)!r}" for one in lost),
            f"remove them, or add the {kind}",
        )


def _malformed_boxes(annotations: Sequence[_Annotation]) -> Iterator[DatasetFinding]:
    wrong = [one for one in annotations if not _is_box(one.bbox)]
    if wrong:
        yield DatasetFinding(
            "broken",
            "malformed boxes",
            len(wrong),
            "annotations without a box of four numbers, width and height not negative",
            some(f"annotation {one.id}: {one.bbox!r}" for one in wrong),
            "write bbox as [x, y, width, height] in pixels",
        )


def _is_box(value: Any) -> bool:
    numbers = isinstance(value, list) and all(type(one) in {int, float} for one in value)
    return numbers and len(value) == 4 and value[2] >= 0 and value[3] >= 0
