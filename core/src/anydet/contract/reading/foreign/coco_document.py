"""A whole COCO document whose annotations have scores: what exporters of annotation tools write."""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from dataclasses import replace
from typing import Any

import msgspec
import numpy as np

from anydet.contract.class_names import as_known
from anydet.contract.locations import Place, repair_command
from anydet.contract.raw import RawPredictions
from anydet.contract.reading.coco_results import coco_ids, read_coco_results, sizes_by_id
from anydet.contract.reading.foreign.given import Given
from anydet.contract.reading.result_ids import categories
from anydet.contract.reading.source import RawEntry, Source
from anydet.dataclass import dataclass
from anydet.errors import ContractError, did_you_mean
from anydet.ids import is_twin, twin_key
from anydet.text import counted, quoted
from anydet.types import Size


def read_document(given: Given) -> RawPredictions:
    """The annotations as results; images are joined by ``file_name``, classes by name, where it states them.

    Raises ``ContractError`` as ``read_coco_results``, and for annotations without scores.
    """
    annotations = given.value["annotations"]
    _need_scores(given, annotations)
    keys, sizes, number = _images(given)
    classes, names = _categories(given)
    rows = [_renumbered(a, number) for a in annotations]
    source = Source(given.path, "coco", lambda: _entries(rows), text=msgspec.json.encode(rows))
    try:
        raw = read_coco_results(source, keys, classes, lambda: sizes)
    except ContractError as exc:
        # Its results are the annotations of the document.
        mark = f"{given.path}: "
        lines = [line.replace(f"{mark}[", f"{mark}annotations[", 1) for line in exc.issues or (exc.problem,)]
        raise ContractError.of(lines, fix=exc.fix) from exc
    raw = _with_empty(raw, tuple(keys.values()), number is not None)
    stated = {keys[image]: size for image, size in sizes.items() if image in keys}
    sizes_wh = np.array([stated.get(key, (-1, -1)) for key in raw.images], np.int64).reshape(-1, 2)
    return replace(raw, classes=names, sizes_wh=sizes_wh, notes=tuple(given.notes))


def _need_scores(given: Given, annotations: list[Any]) -> None:
    without = [i for i, a in enumerate(annotations) if not (isinstance(a, Mapping) and "score" in a)]
    if any(isinstance(a, Mapping) and "segments_info" in a for a in annotations[:1]):
        raise ContractError(
            f"{given.path}: COCO's panoptic results, which are no detections",
            fix="evaluate them with 'anydet eval-panoptic'",
        )
    if without and len(without) == len(annotations):
        raise ContractError(
            f"{given.path}: a COCO document whose annotations have no score: labels, not predictions",
            fix="give the predictions, or write a score into each annotation",
        )


@dataclass(frozen=True, slots=True)
class Listed:
    """The images of a document, by their places in its list.

    Attributes:
        keys: of those that can be joined.
        sizes: (width, height) of those that state it.
        number: place by the document's id.
        problems: why the others cannot be joined.
    """

    keys: dict[int, str]
    sizes: dict[int, Size]
    number: dict[Any, int]
    problems: dict[int, str]


def listed_images(given: Given) -> Listed:
    """The images that a document lists, joined to the data set where there is one.

    Of several with one ``file_name``, each is the one of the data set that has its id, too.
    """
    images = given.value["images"]
    found = Listed({}, {}, {}, {})
    taken: dict[str, int] = {}
    known = frozenset[str]() if given.truth is None else frozenset(filter(is_twin, given.truth.images))
    for i, image in enumerate(images if isinstance(images, list) else [None]):
        stated = image.get("id") if isinstance(image, Mapping) else None
        if not isinstance(stated, str | int | float) or stated in found.number:
            found.problems[i] = "no id" if stated is None else f"id {stated} again"
            continue
        found.number[stated] = i
        key, problem = _key(given, str(image.get("file_name") or stated), stated, taken, known)
        if problem:
            found.problems[i] = problem
            continue
        found.keys[i] = key
        taken[key] = i
        size = (image.get("width"), image.get("height"))
        if all(isinstance(side, int) and 0 < side < 2**31 for side in size):
            found.sizes[i] = size
    return found


def _key(
    given: Given, name: str, stated: Any, taken: Mapping[str, int], twins: frozenset[str]
) -> tuple[str, str]:
    """The key of an image, and why it has none."""
    own = twin_key(name, stated)
    if own in twins or (given.truth is None and name in taken):
        return own, ""
    at, problem = (None, "") if given.truth is None else given.images.find(name)
    if problem:
        return "", problem
    key = name if at is None or given.truth is None else given.truth.images[at]
    if key in taken:
        return "", f"id {stated} is image {quoted(key)}, as images[{taken[key]}] is"
    return key, ""


def _images(given: Given) -> tuple[dict[int, str], dict[int, Size], dict[Any, int] | None]:
    """Image id -> key, image id -> size, and the document's id -> that id, where it has images of its own."""
    if not given.value.get("images"):
        truth = given.need_truth("a COCO document without images, whose ids are those of its data set")
        return coco_ids(truth)[0], sizes_by_id(truth), None
    found = listed_images(given)
    if found.problems:
        raise ContractError.of(
            [f"{given.path}: images[{i}]: {problem}" for i, problem in found.problems.items()],
            fix="give the data set and split that the predictions were made on, or "
            f"{repair_command(given.path, ' --dataset DATASET')}",
        )
    return found.keys, found.sizes, found.number


def _categories(given: Given) -> tuple[dict[Any, int], tuple[str, ...] | None]:
    """Category id -> class id, and names of the classes where the document has some of its own."""
    if given.class_map is not None:
        known = given.need_truth("a class map says which classes of the data set its category ids are")
        return categories(known.classes, given.class_map), None
    listed = given.value.get("categories")
    if not listed:
        truth = given.need_truth("a COCO document without categories, whose ids are those of its data set")
        return coco_ids(truth)[1], None
    try:
        own = {_own_id(category["id"]): str(category["name"]) for category in listed}
    except (TypeError, KeyError, ValueError, OverflowError) as exc:
        raise ContractError(
            f"{given.path}: categories: each has an id and a name", fix="correct the file"
        ) from exc
    if given.truth is None:
        return {category: i for i, category in enumerate(own)}, tuple(own.values())
    names = given.truth.classes.names
    alike = as_known(given.path, own.values(), names)
    own = {category: alike[name] for category, name in own.items()}
    position = {name: i for i, name in enumerate(names)}
    stated = [a.get("category_id") for a in given.value["annotations"] if isinstance(a, Mapping)]
    used = {category for category in stated if isinstance(category, int | float | str)}
    unknown = [name for category, name in own.items() if name not in position and category in used]
    if unknown:
        raise ContractError.of(
            [
                f"{given.path}: category {quoted(name)} is not in the data set{did_you_mean(name, names)} "
                f"({counted(len(unknown), 'such name')})"
                for name in unknown
            ],
            fix="give the data set that the predictions were made on, or correct the names",
        )
    return {category: position[name] for category, name in own.items() if name in position}, names


def _own_id(value: Any) -> int | str:
    return value if isinstance(value, str) else int(value)


def _renumbered(annotation: Any, number: dict[Any, int] | None) -> Any:
    """An annotation under the number of its image; one of an unknown image keeps an id that none has."""
    if not isinstance(annotation, Mapping):
        return annotation
    image = annotation.get("image_id")
    if number is None or not isinstance(image, str | int | float):
        return annotation
    return {**annotation, "image_id": number.get(image, -1)}


def _entries(rows: list[Any]) -> Iterator[RawEntry]:
    import json

    for i, row in enumerate(rows):
        # Python's writer keeps NaN, so that it is named.
        yield Place("coco", i), json.dumps(row).encode()


def _with_empty(raw: RawPredictions, keys: tuple[str, ...], own: bool) -> RawPredictions:
    """With the images of the document that have no annotation: they were predicted, too."""
    if not own:
        return raw
    seen = set(raw.images)
    empty = tuple(key for key in keys if key not in seen)
    places = np.concatenate([raw.places, np.full(len(empty), -1, np.int64)])
    return replace(raw, images=(*raw.images, *empty), places=places)
