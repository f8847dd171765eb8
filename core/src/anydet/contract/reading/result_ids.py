"""Ids in COCO results onto the images and classes of a data set: as they are, else by what they must mean.

Where every id is one of the data set's, they are taken as pycocotools takes them. Other programs name images
by their files (Ultralytics writes ``image_id`` as the file's stem, beside ``file_name``), and count classes
from 0 or from 1, or as COCO's 91. What is unambiguous is joined, with a warning that says how; the rest is an
error.
"""

from __future__ import annotations

import json
import warnings
from collections.abc import Callable, Iterable, Mapping, Sequence
from contextlib import suppress
from pathlib import Path, PurePosixPath
from typing import Any, TypeAlias

import numpy as np

from anydet.contract.hints import COCO_IDS, hint_category_ids
from anydet.contract.join import KeyIndex
from anydet.contract.locations import Place
from anydet.errors import AnydetWarning, ContractError, OptionError
from anydet.ids import positions
from anydet.inputs import read_text
from anydet.text import listed, quoted
from anydet.types import ClassTable, GroundTruthColumns, IntArray

ImageIds: TypeAlias = Mapping[Any, str]
"""The data set's image id -> image key; of a data set without ids of its own, keys stand for them."""
CLASS_MAPS = ("zero-based", "one-based", "coco91")
_NAMED = 10


class StatedClasses(dict[Any, int]):
    """Category id -> class id as a user stated it, which nothing else may replace."""


def coco_ids(
    truth: GroundTruthColumns, class_map: str | None = None
) -> tuple[dict[Any, str], dict[Any, int]]:
    """Image id -> key and category id -> class id of a data set.

    Args:
        truth: the data set; where it has no image ids of its own, its keys stand for them.
        class_map: one of ``CLASS_MAPS``, or a JSON file of category ids and the classes they mean.

    Raises:
        OptionError: there is no such class map, or it does not fit the classes.
    """
    ids = truth.image_names or (None if truth.image_ids is None else truth.image_ids.tolist())
    images = dict(zip(truth.images if ids is None else ids, truth.images, strict=True))
    if class_map is not None:
        return images, StatedClasses(read_class_map(class_map, truth.classes))
    return images, {source: i for i, source in enumerate(truth.classes.own_ids)}


def read_class_map(text: str, classes: ClassTable) -> dict[Any, int]:
    """The class id of each category id; raises ``OptionError`` where it fits none.

    Category ids of a file are integers where their text is one.
    """
    count = len(classes)
    if text == "coco91" and count != len(COCO_IDS):
        raise OptionError(
            f"--class-map coco91: the data set has {count} classes, not COCO's {len(COCO_IDS)}",
            fix="give a JSON file that says which class each category id means",
        )
    known = {"zero-based": range(count), "one-based": range(1, count + 1), "coco91": COCO_IDS}.get(text)
    if known is not None:
        return {category: i for i, category in enumerate(known)}
    position = {name: i for i, name in enumerate(classes.names)}
    try:
        table = json.loads(read_text(Path(text)))
        table = table.get("category_id_to_class_id", table)
        found = {
            _integer(one): position[own] if isinstance(own, str) else int(own) for one, own in table.items()
        }
        if not all(0 <= own < count for own in found.values()):
            raise ValueError(f"class ids are 0 to {count - 1}")
    except (OSError, ValueError, KeyError, TypeError, AttributeError) as exc:
        raise OptionError(
            f"class map {quoted(text)}: neither {', '.join(CLASS_MAPS)} nor a JSON file of ids and classes "
            f"({type(exc).__name__}: {exc})",
            fix='write it like {"1": "cat", "2": "dog"}, with classes of the data set',
        ) from exc
    return found


def image_positions(
    path: Path | str, ids: Sequence[Any] | IntArray, files: Sequence[str | None], known: ImageIds
) -> IntArray:
    """(N,) where the images of results stand in the data set's table.

    Args:
        path: the file, for messages.
        ids: ``image_id`` of each result.
        files: ``file_name`` of each result, ``None`` where it has none; empty where none has.
        known: the data set's.

    Raises:
        ContractError: images that the data set does not have, with the first result that names one.
    """
    at = by_id(ids, known)
    if (at >= 0).all():
        return at
    keys = tuple(known.values())
    index, stems = KeyIndex(keys), _by_stem(keys)
    texts = {str(one): place for place, one in enumerate(known)}
    ways: tuple[tuple[str, Any, Callable[[Any], int]], ...] = (
        ("file_name", files, lambda one: _only(index.find(one)) if one is not None else -1),
        ("the text of image_id", ids, lambda one: texts.get(str(one), -1)),
        ("image_id as the name of a file", ids, lambda one: _only(index.find(str(one)))),
        ("image_id as the name of a file without its suffix", ids, lambda one: stems.get(str(one), -1)),
    )
    for how, values, find in ways:
        found = _looked_up(values, find)
        if len(found) == len(at) and (found >= 0).all():
            if not names_files(known) or how == "the text of image_id":
                warnings.warn(
                    f"{path}: image ids are not those of the data set; results are joined by {how}",
                    AnydetWarning,
                    stacklevel=2,
                )
            return found
    if names_files(known):
        # Of a data set without ids the results' are none that it does not have: they name nothing there.
        fix = "write file_name beside image_id, or give the annotations file that the ids come from; "
        _refuse(
            f"{path}: COCO results name images by id, which this data set has none of",
            "image_id",
            ids,
            at,
            fix,
        )
    _refuse(path, "image_id", ids, at, "")
    return at


def by_id(ids: Sequence[Any] | IntArray, known: Mapping[Any, Any]) -> IntArray:
    """(N,) where ids stand in ``known`` as they are, -1 where they do not."""
    if isinstance(ids, np.ndarray) and ids.dtype != np.object_:
        # Not one look at each id where all are numbers: numpy would take text for them, too.
        if all(type(one) is int for one in known):
            with suppress(OverflowError):
                return positions(ids, np.fromiter(known, np.int64, len(known)))
        ids = ids.tolist()
    place = {one: i for i, one in enumerate(known)}
    return np.fromiter((place.get(one, -1) for one in ids), np.int64, len(ids))


def _looked_up(values: Any, find: Callable[[Any], int]) -> IntArray:
    """Places of values, each looked up once."""
    found: dict[Any, int] = {}
    plain = _plain(values)
    for value in plain:
        if value not in found:
            found[value] = find(value)
    return np.fromiter((found[value] for value in plain), np.int64, len(plain))


def _only(found: Sequence[int]) -> int:
    return found[0] if len(found) == 1 else -1


def _by_stem(keys: Iterable[str]) -> dict[str, int]:
    """Place of each image whose file's name without suffix no other one has; numbers also without zeros."""
    stems: dict[str, int] = {}
    for place, key in enumerate(keys):
        stem = PurePosixPath(key).stem
        for name in {stem, str(int(stem))} if stem.isdecimal() and stem.isascii() else {stem}:
            stems[name] = -1 if name in stems else place
    return stems


def names_files(known: ImageIds) -> bool:
    """Whether the data set has no ids of its own."""
    return all(one == key for one, key in known.items())


def class_positions(
    path: Path | str, ids: Sequence[Any] | IntArray, known: Mapping[Any, int], *, own_ids: bool
) -> IntArray:
    """(N,) where the category ids of results stand in ``known``.

    Args:
        path: the file, for messages.
        ids: ``category_id`` of each result.
        known: the data set's category id -> class id.
        own_ids: whether those are ids that the data set states, as COCO files do.

    Raises:
        ContractError: categories that the data set does not have, or that may be counted in two ways.
    """
    at = by_id(ids, known)
    # As annotations are: where some fit as they are, those that do not are wrong.
    if len(at) and not (at >= 0).any():
        ids = _as_known(path, ids, known)
        at = by_id(ids, known)
    if own_ids and (at >= 0).all():
        return at
    # Not numpy's unique, which takes as long to import what it needs as reading a small file takes.
    count, used = len(known), set(_plain(ids))
    counted = list(range(count))
    positional = not isinstance(known, StatedClasses) and [*known] == [*known.values()] == counted
    if (at >= 0).all() and (not used or 0 in used or not positional):
        return at
    if not positional:
        _refuse(path, "category_id", ids, at, hint_category_ids(used, known))
    ways: dict[str, Sequence[int]] = {}
    if used <= set(range(1, count + 1)):
        ways["one-based"] = range(1, count + 1)
    if count == len(COCO_IDS) and used <= set(COCO_IDS):
        ways["coco91"] = COCO_IDS
    if (at >= 0).all():
        ways["zero-based"] = range(count)
    if not ways:
        _refuse(path, "category_id", ids, at, "")
    if len(ways) > 1:
        raise ContractError(
            f"{path}: category ids {min(used)} to {max(used)} may be counted {' or '.join(ways)}: the data "
            f"set has {count} classes, and the results do not name images by its ids",
            fix=_SAY_HOW,
        )
    ((how, order),) = ways.items()
    warnings.warn(
        f"{path}: category ids are taken as {how}: {min(used)} to {max(used)} for {count} classes from 0",
        AnydetWarning,
        stacklevel=2,
    )
    return by_id(ids, {category: own for own, category in enumerate(order)})


def _as_known(path: Path | str, ids: Sequence[Any] | IntArray, known: Mapping[Any, int]) -> Sequence[Any]:
    """Category ids of which text may be that of a number, written as the data set has them.

    Where it has others they stay as they are.
    """
    given, numbers = _plain(ids), all(isinstance(one, int) for one in known)
    if numbers and not any(isinstance(one, str) for one in given):
        return given
    by_text = {str(one): one for one in known}
    alike = [by_text.get(str(one), _integer(one)) for one in given]
    if not all(isinstance(one, int) if numbers else one in known for one in alike):
        return given
    warnings.warn(
        f"{path}: category ids are not those of the data set; results are joined by the text of category_id",
        AnydetWarning,
        stacklevel=3,
    )
    return alike


def _integer(one: Any) -> Any:
    """The integer that a text is, else what it was."""
    try:
        return int(one) if isinstance(one, str) else one
    except ValueError:
        return one


def _plain(ids: Sequence[Any] | IntArray) -> list[Any]:
    return ids.tolist() if isinstance(ids, np.ndarray) else list(ids)


_SAY_HOW = (
    f"say how they count with --class-map {'|'.join(CLASS_MAPS)}|FILE, or write class ids with "
    "'anydet convert FILE OUT.json --dataset DATA --class-map one-based'"
)


def _refuse(path: Path | str, name: str, ids: Sequence[Any] | IntArray, at: IntArray, hint: str) -> None:
    """Raise for values that the data set does not have, with the first result; those of results in order."""
    rows = np.flatnonzero(at < 0).tolist()
    plain = _plain(ids)
    unknown = sorted({plain[row] for row in rows}, key=lambda one: (isinstance(one, str), one))
    row = plain.index(unknown[0])
    shown = listed(unknown, _NAMED, quotes=any(isinstance(one, str) for one in unknown))
    raise ContractError(
        f"{path}: {len(unknown)} values of {name} that the data set does not have: {shown} "
        f"(first at {Place('coco', row).at((name,))})",
        fix=f"{hint}give the data set and split that the results were made on",
    )
