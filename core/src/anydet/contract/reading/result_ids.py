"""Ids in COCO results onto the images and classes of a data set: as they are, else by what they must mean.

Where every id is one of the data set's, they are taken as pycocotools takes them. Other programs name images
by their files (Ultralytics writes ``image_id`` as the file's stem, beside ``file_name``), and count classes
from 0 or from 1, or as COCO's 91. What is unambiguous is joined, with a warning that says how; the rest is an
error.
"""

from __future__ import annotations

import warnings
from collections import Counter
from collections.abc import Callable, Collection, Iterable, Mapping, Sequence
from contextlib import suppress
from pathlib import Path, PurePosixPath
from typing import Any, TypeAlias

import numpy as np

from anydet.contract.hints import CLASS_MAPS, COCO_IDS, hint_category_ids
from anydet.contract.join import KeyIndex
from anydet.contract.locations import Place
from anydet.errors import AnydetWarning, ContractError, did_you_mean
from anydet.ids import integer, is_twin, positions
from anydet.text import listed, quoted
from anydet.types import ClassTable, GroundTruthColumns, IntArray

ImageIds: TypeAlias = Mapping[Any, str]
"""The data set's image id -> image key; of a data set without ids of its own, keys stand for them."""
_NAMED = 10


class Categories(dict[Any, int]):
    """Category id -> class id.

    Attributes:
        names: of the classes, by class id.
        stated: the class map by which a user stated them, which nothing else may replace; "" where none did.
    """

    def __init__(self, ids: Mapping[Any, int], names: Sequence[str] = (), stated: str = "") -> None:
        super().__init__(ids)
        self.names, self.stated = names, stated


def coco_ids(truth: GroundTruthColumns, class_map: str | None = None) -> tuple[dict[Any, str], Categories]:
    """Image id -> key and category id -> class id of a data set.

    Args:
        truth: the data set; where it has no image ids of its own, its keys stand for them.
        class_map: one of ``CLASS_MAPS``, or a JSON or YAML file of category ids and the classes they mean.

    Raises:
        OptionError: there is no such class map, or it does not fit the classes.
    """
    ids = truth.image_names or (None if truth.image_ids is None else truth.image_ids.tolist())
    images = dict(zip(truth.images if ids is None else ids, truth.images, strict=True))
    return images, categories(truth.classes, class_map)


def categories(classes: ClassTable, class_map: str | None = None) -> Categories:
    """Category id -> class id of classes, or as a class map states them; as ``coco_ids``."""
    if class_map is not None:
        from anydet.contract.reading.class_map import read_class_map

        return Categories(read_class_map(class_map, classes), classes.names, class_map)
    return Categories({source: i for i, source in enumerate(classes.own_ids)}, classes.names)


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

    def by_name(one: str | None) -> int:
        found = -1 if one is None else _only(index.find(one))
        return found if found >= 0 else stems.get(str(one), -1)

    texts = {str(one): place for place, one in enumerate(known)}
    ways: tuple[tuple[str, Any, Callable[[Any], int]], ...] = (
        ("file_name", files, by_name),
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
    mixed = _mixed(ids, at, (by_name, lambda one: texts.get(one, -1)))
    if mixed is not None:
        rows = np.flatnonzero(at < 0).tolist()
        first = f"{Place('coco', rows[0]).at(('image_id',))}: {quoted(_plain(ids)[rows[0]])}"
        warnings.warn(
            f"{path}: image_id is an id of the data set in {len(at) - len(rows)} results and the name of a "
            f"file in {len(rows)} (the first: {first}); both are joined",
            AnydetWarning,
            stacklevel=2,
        )
        return mixed
    if names_files(known):
        # Of a data set without ids the results' are none that it does not have: they name nothing there.
        fix = "write file_name beside image_id, or give the annotations file that the ids come from; "
        _refuse(
            f"{path}: COCO results name images by id, which this data set has none of",
            "image_id",
            ids,
            at,
            hint=fix,
        )
    _refuse(path, "image_id", ids, at, hint="")
    return at


def _mixed(
    ids: Sequence[Any] | IntArray, at: IntArray, ways: Sequence[Callable[[str], int]]
) -> IntArray | None:
    """``at`` with places of the images that are named by text beside ids; ``None`` where that fails.

    Numbers that the data set does not have are of another one, whatever files are called. Text that leads to
    two images in two ways leads to neither.
    """
    given, rows = _plain(ids), np.flatnonzero(at < 0).tolist()
    if len(rows) == len(at) or not all(isinstance(given[row], str) for row in rows):
        return None
    mixed: IntArray = at.copy()
    for row in rows:
        places = {place for find in ways if (place := find(given[row])) >= 0}
        if len(places) != 1:
            return None
        mixed[row] = places.pop()
    return mixed


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
    """Place of each image whose file's name without suffix no other one has; numbers also without zeros.

    So of its path: ``a/0001`` is ``a/0001.jpg``, with ``b/0001.jpg`` beside it, too.
    """
    stems: dict[str, int] = {}
    paths: dict[str, int] = {}
    for place, key in enumerate(keys):
        if is_twin(key):
            continue
        path = PurePosixPath(key).with_suffix("")
        for name in {path.name, str(int(path.name))} if _is_number(path.name) else {path.name}:
            stems[name] = -1 if name in stems else place
        paths[str(path)] = -1 if str(path) in paths else place
    return stems | paths


def _is_number(text: str) -> bool:
    return text.isdecimal() and text.isascii()


def names_files(known: ImageIds) -> bool:
    """Whether the data set has no ids of its own."""
    return all(one == key for one, key in known.items())


def _in_results(row: int) -> str:
    return Place("coco", row).at(("category_id",))


def class_positions(
    path: Path | str,
    ids: Sequence[Any] | IntArray,
    known: Mapping[Any, int],
    *,
    own_ids: bool,
    where: Callable[[int], str] = _in_results,
) -> tuple[IntArray, str]:
    """(N,) where the category ids of results stand in ``known``, and what is odd about them, or "".

    Those that the data set does not have are -1, as pycocotools does not look at them either; but where all
    of them may be counted in another way, or most are unknown, they are an error.

    Args:
        path: the file, for messages.
        ids: ``category_id`` of each result, or its class's name.
        known: the data set's category id -> class id.
        own_ids: whether those are ids that the data set states, as COCO files do.
        where: place of the id of a row in the file.

    Raises:
        ContractError: categories that the data set does not have, or that may be counted in two ways.
    """
    at = by_id(ids, known)
    # As annotations are: where some fit as they are, those that do not are wrong.
    if len(at) and not (at >= 0).any():
        ids = _as_known(path, ids, known)
        at = by_id(ids, known)
    if len(at) and not (at >= 0).any():
        named = _by_name(path, ids, known)
        if named is not None:
            return named, _left_out(ids, named, known, where)
    whole = bool((at >= 0).all())
    if own_ids and whole:
        return at, ""
    # Not numpy's unique, which takes as long to import what it needs as reading a small file takes.
    count, used = len(known), set(_plain(ids))
    positional = not _stated(known) and [*known] == [*known.values()] == list(range(count))
    if whole and (not used or 0 in used or not positional):
        return at, ""
    ways = _ways(used, count)
    if not positional or not ways:
        stated, most = _stated(known), 2 * np.count_nonzero(at < 0) > len(at)
        unsure = positional and not own_ids and 0 not in used
        shifted = most or unsure or bool(ways) or _is_shifted(used, known)
        # A file says of each id what it means: those that it leaves out mean none of the classes.
        if stated in CLASS_MAPS or (shifted and not stated):
            hint = f"{_SAY_HOW}, or " if unsure else _hint(used, known)
            owner = _owner(known)
            _refuse(path, "category_id", ids, at, hint=hint, where=where, owner=owner)
        return at, _left_out(ids, at, known, where)
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
    return by_id(ids, {category: own for own, category in enumerate(order)}), ""


def _ways(used: Collection[Any], count: int) -> dict[str, Sequence[int]]:
    """The class maps that have all of these ids, for so many classes, and the ids of class 0, 1, ..."""
    tables: dict[str, Sequence[int]] = {"one-based": range(1, count + 1)}
    if count == len(COCO_IDS):
        tables["coco91"] = COCO_IDS
    tables["zero-based"] = range(count)
    return {name: ids for name, ids in tables.items() if set(used) <= set(ids)}


def _is_shifted(used: Collection[Any], known: Collection[Any]) -> bool:
    """Whether all ids are those of the data set, one too low or too high."""
    if not all(isinstance(one, int) for one in (*used, *known)):
        return False
    return any(set(used) <= {one + off for one in known} for off in (-1, 1))


def _stated(known: Mapping[Any, int]) -> str:
    return known.stated if isinstance(known, Categories) else ""


def _hint(used: Collection[Any], known: Mapping[Any, int]) -> str:
    """What to put before the fix for category ids that cannot be joined."""
    names = known.names if isinstance(known, Categories) else ()
    text = next((one for one in used if isinstance(one, str) and one not in known), None)
    if text is None or not names:
        return hint_category_ids(used, known)
    return (
        f"write ids or names of its classes ({listed(names)}{did_you_mean(text, names)}), say what each "
        "means with --class-map FILE, or "
    )


def _by_name(path: Path | str, ids: Sequence[Any] | IntArray, known: Mapping[Any, int]) -> IntArray | None:
    """(N,) where classes of these names stand in ``known``; ``None`` where the ids are no such names."""
    names = known.names if isinstance(known, Categories) and not known.stated else ()
    given = _plain(ids)
    if not names or not all(isinstance(one, str) for one in given):
        return None
    # A name that two classes have leads to neither.
    times = Counter(names)
    place = {own: i for i, own in enumerate(known.values())}
    position = {name: place.get(i, -1) for i, name in enumerate(names) if times[name] == 1}
    from anydet.contract.class_names import as_known

    own = as_known(path, given, names)
    at = np.fromiter((position.get(own[one], -1) for one in given), np.int64, len(given))
    if 2 * np.count_nonzero(at < 0) > len(at):
        return None
    warnings.warn(
        f"{path}: category_id holds names of classes; results are joined by them",
        AnydetWarning,
        stacklevel=3,
    )
    return at


def _owner(known: Mapping[Any, int]) -> str:
    return f"the class map {_stated(known)}" if _stated(known) else "the data set"


def _left_out(
    ids: Sequence[Any] | IntArray, at: IntArray, known: Mapping[Any, int], where: Callable[[int], str]
) -> str:
    """The line on results of categories that the data set does not have; "" where there are none."""
    rows = np.flatnonzero(at < 0).tolist()
    if not rows:
        return ""
    plain = _plain(ids)
    unknown = list(dict.fromkeys(plain[row] for row in rows))
    return (
        f"results of categories that {_owner(known)} does not have ({listed(unknown)}): {len(rows)} of "
        f"{len(at)} (the first: {where(rows[0])}); left out, as pycocotools leaves them out"
    )


def _as_known(path: Path | str, ids: Sequence[Any] | IntArray, known: Mapping[Any, int]) -> Sequence[Any]:
    """Category ids of which text may be that of a number, written as the data set has them.

    Where it has others they stay as they are.
    """
    given, numbers = _plain(ids), all(isinstance(one, int) for one in known)
    if numbers and not any(isinstance(one, str) for one in given):
        return given
    by_text = {str(one): one for one in known}
    alike = [by_text.get(str(one), integer(one)) for one in given]
    if not all(isinstance(one, int) if numbers else one in known for one in alike):
        return given
    warnings.warn(
        f"{path}: category ids are not those of the data set; results are joined by the text of category_id",
        AnydetWarning,
        stacklevel=3,
    )
    return alike


def _plain(ids: Sequence[Any] | IntArray) -> list[Any]:
    return ids.tolist() if isinstance(ids, np.ndarray) else list(ids)


_SAY_HOW = (
    f"say how they count with --class-map {'|'.join(CLASS_MAPS)}|FILE, or write class ids with "
    "'anydet convert FILE OUT.json --dataset DATA --class-map one-based'"
)


def _refuse(
    path: Path | str,
    name: str,
    ids: Sequence[Any] | IntArray,
    at: IntArray,
    *,
    hint: str,
    where: Callable[[int], str] | None = None,
    owner: str = "the data set",
) -> None:
    """Raise for values that the data set does not have, with the first result; those of results in order."""
    rows = np.flatnonzero(at < 0).tolist()
    plain = _plain(ids)
    unknown = sorted({plain[row] for row in rows}, key=lambda one: (isinstance(one, str), one))
    row = plain.index(unknown[0])
    shown = listed(unknown, _NAMED, quotes=any(isinstance(one, str) for one in unknown))
    place = where(row) if where else Place("coco", row).at((name,))
    raise ContractError(
        f"{path}: {len(unknown)} values of {name} that {owner} does not have: {shown} (first at {place})",
        fix=f"{hint}give the data set and split that the results were made on",
    )
