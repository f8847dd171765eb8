"""What of a COCO annotations file can be read although some of its entries are odd.

Real files have boxes of negative size, outlines of two points, annotations of images that are not there. The
numbers of such a file are those of pycocotools, where it computes them: what it passes over is passed over,
what it counts as missed counts as missed. Only what it cannot take either is left out, and what would make a
number wrong is refused. All of it is listed.

Sources: ``createIndex`` of ``COCO``, ``_prepare`` and ``computeIoU`` of ``COCOeval``, and ``bbIou`` of
``maskApi.c``, of pycocotools 2.0.
"""

from __future__ import annotations

import json
import math
from collections import Counter
from collections.abc import Callable, Iterable, Mapping, Sequence
from pathlib import Path
from typing import Any, TypeAlias

from anydet.data.dataset.oddities import Found, Kind, Oddity
from anydet.dataclass import dataclass
from anydet.ids import twin_key
from anydet.inputs import read_json
from anydet.text import shortened

Name: TypeAlias = int | str
"""An id: whole numbers of any size, or text."""
CATEGORY_LISTS = ("neg_category_ids", "not_exhaustive_category_ids")
"""Keys of images whose values are lists of category ids (LVIS)."""
_INT64 = 1 << 63
_VAST = 1e300
"""An area beyond every range of sizes, in whose place OKS is what it is for an infinite one."""
_FAR_PX = 1e9
"""Beyond every image, in place of infinity."""

_NO_IMAGE = Kind(
    "malformed images",
    "images that are no objects or have no id",
    "left out, as nothing can refer to them",
    "left out",
)
_UNNAMED = Kind(
    "images without file name",
    "images without a file_name",
    "named by their id",
    "named by their id",
)
_NO_SIZE = Kind(
    "malformed image sizes",
    "images whose width and height are no sizes in pixels",
    "read as images of unknown size",
    "left without a size",
)
_SAME_ID = Kind(
    "duplicate image ids",
    "images with the id of another one",
    "the last one holds, with the annotations of all, as in pycocotools",
    "the last one is kept",
)
_SAME_FILE = Kind(
    "duplicate file names",
    "images with the file_name of another one",
    "they count as images of their own, as in pycocotools; predictions that name files mean the first",
    "left as they are",
)
_NO_CLASS = Kind(
    "malformed categories", "categories that are no objects or have no usable id", "left out", "left out"
)
_SAME_CLASS = Kind(
    "duplicate category ids",
    "categories with the id of another one",
    "the last one holds, as in pycocotools",
    "the last one is kept",
)
_NO_CLASSES = Kind(
    "no categories",
    "category ids of annotations in a file without categories",
    "each is a class, called by its id; pycocotools finds no class to evaluate",
    "a category for each, called by its id",
)
_NAMELESS = Kind(
    "categories without name", "categories without a name", "called by their id", "called by their id"
)
_NO_ANNOTATION = Kind("malformed annotations", "annotations that are no objects", "left out", "left out")
_NO_LIST = Kind("malformed lists", "lists that are null", "read as empty", "empty")
_ORPHAN = Kind(
    "annotations without image",
    "annotations whose image_id is not among the images",
    "left out, as in pycocotools",
    "left out",
)
_CLASSLESS = Kind(
    "annotations without category",
    "annotations whose category_id is not among the categories",
    "left out, as pycocotools does where classes count",
    "left out",
)
_JOINED = Kind(
    "ids of another type",
    "annotations whose ids are text where those of images or categories are numbers, or the reverse",
    "joined where the text is the same; pycocotools would find none of them",
    "written alike",
)
_TEXT = Kind(
    "numbers as text",
    "annotations with numbers that are written as text",
    "read as numbers",
    "written as numbers",
)
_NEGATIVE = Kind(
    "boxes of negative size",
    "annotations whose box has a negative width or height",
    "they count as missed, as in pycocotools",
    "left out",
)
_BOXLESS = Kind(
    "malformed boxes",
    "annotations without a box of four numbers",
    "left out; pycocotools fails at them",
    "left out",
)
_BOX_OF_MASK = Kind(
    "malformed boxes",
    "annotations without a box of four numbers that have a segmentation",
    "the box around it is taken; pycocotools fails at them",
    "the box around the segmentation",
)
_NAN_BOX = Kind(
    "numbers that are not finite",
    "annotations with a box of NaN or null",
    "left out; pycocotools takes any detection that overlaps for a perfect match",
    "left out",
)
_NAN_BOX_OF_MASK = Kind(
    "numbers that are not finite",
    "annotations with a box of NaN or null that have a segmentation",
    "the box around it is taken; pycocotools takes any detection that overlaps for a perfect match",
    "the box around the segmentation",
)
_INFINITE_BOX = Kind(
    "numbers that are not finite",
    "annotations with a box that is infinite",
    "they count as missed, as in pycocotools",
    "left out",
)
_NAN_AREA = Kind(
    "numbers that are not finite",
    "annotations with an area of NaN",
    "width x height is taken; pycocotools counts them in every range of sizes",
    "width x height",
)
_INFINITE_AREA = Kind(
    "numbers that are not finite",
    "annotations with an infinite area",
    "they are in no range of sizes and count neither way, as in pycocotools",
    "width x height",
)
_AREA = Kind(
    "malformed areas",
    "annotations whose area is no number",
    "width x height is taken; pycocotools fails at them",
    "width x height",
)
_NEGATIVE_AREA = Kind(
    "negative areas",
    "annotations with a negative area",
    "they are in no range of sizes and count neither way, as in pycocotools",
    "width x height",
)
_CROWD_NEITHER = Kind(
    "malformed iscrowd",
    "annotations whose iscrowd is a fraction below 1, or text or else that is no crowd",
    "they count neither way (with an area of -1), as in pycocotools where it can read them",
    "0 or 1 where that is what the text says, else 0",
)
_CROWD_OF_POINTS = Kind(
    "malformed iscrowd",
    "annotations with keypoints whose iscrowd is a fraction below 1, or text or else that is no crowd",
    "pycocotools counts them neither way, for which their keypoints would have to go",
    "0 or 1 where that is what the text says, else 0",
    refused=True,
)
_CROWD_TEXT = Kind(
    "malformed iscrowd",
    "annotations whose iscrowd is text, as in the whole file",
    "read as the numbers that it says; pycocotools counts none of them, as any text is true",
    "written as numbers",
)
_CROWD_NULL = Kind(
    "malformed iscrowd",
    "annotations whose iscrowd is null",
    "read as no crowds; pycocotools fails at them",
    "0",
)
_CROWD_NUMBER = Kind(
    "malformed iscrowd",
    "annotations whose iscrowd is a number other than 0 and 1",
    "read as crowds, as everything is that is not 0",
    "1",
)
_RINGS = Kind(
    "malformed polygons",
    "annotations with a polygon of an odd number of coordinates or of fewer than 3 points, or a flat list",
    "what is left of the outline is the mask; boxes do not depend on it",
    "what is left of the outline",
)
_NO_MASK = Kind(
    "malformed masks",
    "annotations whose segmentation is no mask of their image",
    "read as without a mask; boxes do not depend on it",
    "without a segmentation",
)
_POINTS = Kind(
    "malformed keypoints",
    "annotations whose keypoints are not x, y, visibility of each",
    "read as without keypoints; boxes do not depend on them",
    "without keypoints",
)
_SEEN = Kind(
    "odd visibilities",
    "annotations with a visibility other than 0, 1 or 2",
    "above 0 is visible and below is not labeled, as in pycocotools",
    "0 or 2",
)
_UNCOUNTED = Kind(
    "uncounted keypoints",
    "annotations whose num_keypoints is 0 although keypoints are visible",
    "those are scored; pycocotools counts such annotations neither way where keypoints are scored",
    "the number of visible keypoints",
)
_ANNOTATION_ID = Kind(
    "odd annotation ids",
    "annotations whose id is no whole number of 64 bits",
    "read as without an id, which matching does not need",
    "without an id",
)
_SAME_ANNOTATION = Kind(
    "duplicate annotation ids",
    "annotations with the id of a later one",
    "the last one of an id counts in place of each, as in pycocotools",
    "each has an id of its own",
)
_STATE = Kind("malformed states", "annotations whose state is no whole number", "left out", "left out")
_LISTS = Kind(
    "unknown negative categories",
    "images whose neg_category_ids or not_exhaustive_category_ids name no category",
    "passed over, as in the package lvis",
    "left out",
)


@dataclass(frozen=True, slots=True)
class Mended:
    """A file whose entries are as COCO has them.

    Attributes:
        document: what is read: other keys than those of COCO are as they were.
        repaired: what a repaired copy holds: also without what is read and cannot be right.
        oddities: what was changed.
        files: file of each image of ``document`` where it is not its key, which is ``file_name``.
    """

    document: dict[str, Any]
    repaired: dict[str, Any]
    oddities: tuple[Oddity, ...]
    files: tuple[str, ...]


def as_sorted(name: Name) -> tuple[bool, Name]:
    """Sorts numbers before text."""
    return isinstance(name, str), name


def canonical_id(value: Any) -> Name | None:
    """An id as it is compared: whole floats are whole numbers; ``None`` for what is no id."""
    if isinstance(value, str):
        return value
    if isinstance(value, int):
        return int(value)  # True is 1, as in Python's dictionaries
    if isinstance(value, float) and math.isfinite(value):
        return int(value) if value.is_integer() else str(value)
    return None


def mend(data: Mapping[str, Any]) -> Mended:
    """The document that can be read of one that cannot; ``data`` stays as it is.

    Args:
        data: decoded JSON, an object with ``images``.
    """
    found = Found()
    images, files = _images(_entries(data, "images", found), found)
    classes = _categories(_entries(data, "categories", found), found)
    sizes = {image["id"]: (image.get("width"), image.get("height")) for image in images}
    given = _entries(data, "annotations", found)
    classes = classes or _categories_of(given, found)
    known_classes = {category["id"] for category in classes}
    _mend_lists(images, known_classes, found)
    join_images = _joining(given, "image_id", set(sizes))
    join_classes = _joining(given, "category_id", known_classes)
    holders = _holders(given)
    in_words = _all_text(given, "iscrowd")
    kept, repaired = _Kept(sorted(sizes, key=as_sorted) if holders else []), []
    for index, entry in enumerate(given):
        one = _Annotation(entry, f"annotation {_of(entry, 'id')} (annotations[{index}])", found)
        refers = one.refers(join_images, join_classes)
        read = refers and one.mend(sizes, in_words)
        holder = holders.get(index)
        if holder is not None and holder != index:
            one.odd(_SAME_ANNOTATION)
            other = _Annotation(given[holder], "", Found())  # which counts where it stands itself
            if refers and other.refers(join_images, join_classes) and other.mend(sizes, in_words):
                kept.add(one.mended["image_id"], other.mended)
        elif read:
            kept.add(one.mended["image_id"], one.mended)
        if read and not one.wrong:
            repaired.append({**one.mended, **one.repaired})
    if holders:
        _number_anew(repaired)
    known = {**data, "images": images, "categories": classes}
    return Mended(
        {**known, "annotations": kept.listed()},
        {**known, "images": _as_given(images, files), "annotations": repaired},
        found.listed(),
        files,
    )


def load(path: Path) -> dict[str, Any] | None:
    """A file as Python reads it, NaN and infinity included; ``None`` where it is no annotations file."""
    try:
        data = json.loads(read_json(path))
    except (OSError, ValueError, RecursionError):
        return None
    return data if isinstance(data, dict) and isinstance(data.get("images"), list) else None


def _as_given(images: list[dict[str, Any]], files: tuple[str, ...]) -> list[dict[str, Any]]:
    return [{**image, "file_name": file} for image, file in zip(images, files, strict=True)]


def _entries(data: Mapping[str, Any], kind: str, found: Found) -> list[Any]:
    value = data.get(kind, [])
    if value is None:
        found.add(_NO_LIST, kind)
    return value if isinstance(value, list) else []


def _of(entry: Any, key: str) -> str:
    return shortened(repr(entry.get(key))) if isinstance(entry, dict) else shortened(repr(entry))


def _images(entries: list[Any], found: Found) -> tuple[list[dict[str, Any]], tuple[str, ...]]:
    """Images with ids, keys of their own and sizes; and the file of each."""
    by_id: dict[Name, dict[str, Any]] = {}
    for index, entry in enumerate(entries):
        where = f"image {_of(entry, 'id')} (images[{index}])"
        own = canonical_id(entry.get("id")) if isinstance(entry, dict) else None
        if own is None:
            found.add(_NO_IMAGE, where)
            continue
        if own in by_id:
            found.add(_SAME_ID, where)
        by_id[own] = {**entry, "id": own, "file_name": _file_name(entry, own, where, found)}
        _mend_size(by_id[own], where, found)
    images = list(by_id.values())
    files = tuple(image["file_name"].replace("\\", "/") for image in images)
    _name_apart(images, files, found)
    return images, files


def _file_name(entry: Mapping[str, Any], own: Name, where: str, found: Found) -> str:
    name = entry.get("file_name")
    if isinstance(name, str) and name:
        return name
    url = entry.get("coco_url")
    # LVIS: http://images.cocodataset.org/val2017/000000000042.jpg is val2017/000000000042.jpg.
    if isinstance(url, str) and "/" in url:
        return "/".join(url.rstrip("/").split("/")[-2:])
    found.add(_UNNAMED, where)
    return str(own)


def _mend_size(image: dict[str, Any], where: str, found: Found) -> None:
    stated = [image.get(side) for side in ("width", "height")]
    if stated == [None, None]:
        return
    sides = [_whole(side) for side in stated]
    if not all(side is not None and 0 < side < _INT64 for side in sides):
        found.add(_NO_SIZE, f"{where}: {stated[0]!r} x {stated[1]!r}")
        sides = [None, None]
    image["width"], image["height"] = sides


def _name_apart(images: list[dict[str, Any]], files: tuple[str, ...], found: Found) -> None:
    """Give images of one file keys of their own, by their ids."""
    taken = Counter(files)
    seen: set[str] = set()
    for image, file in zip(images, files, strict=True):
        key = file
        if file in seen:
            found.add(_SAME_FILE, f"image {image['id']!r}: {file!r}")
            key = twin_key(file, image["id"])
            while key in taken:
                key += "'"
            taken[key] += 1
        seen.add(file)
        image["file_name"] = key


def _mend_lists(images: list[dict[str, Any]], known: set[Name], found: Found) -> None:
    for image in images:
        for name in CATEGORY_LISTS:
            given = image.get(name)
            if given is None:
                continue
            listed = [canonical_id(one) for one in given] if isinstance(given, list) else []
            kept = [one for one in listed if one in known]
            if len(kept) < len(listed) or not isinstance(given, list):
                found.add(_LISTS, f"image {image['id']!r}: {name} {shortened(repr(given))}")
            image[name] = kept


def _categories(entries: list[Any], found: Found) -> list[dict[str, Any]]:
    by_id: dict[Name, dict[str, Any]] = {}
    for index, entry in enumerate(entries):
        where = f"category {_of(entry, 'id')} (categories[{index}])"
        own = canonical_id(entry.get("id")) if isinstance(entry, dict) else None
        if own is None:
            found.add(_NO_CLASS, where)
            continue
        if own in by_id:
            found.add(_SAME_CLASS, where)
        name = entry.get("name")
        if not isinstance(name, str):
            found.add(_NAMELESS, where)
            name = str(own)
        by_id[own] = {**entry, "id": own, "name": name}
        if not isinstance(entry.get("frequency"), str):
            by_id[own].pop("frequency", None)
    return list(by_id.values())


def _categories_of(annotations: list[Any], found: Found) -> list[dict[str, Any]]:
    """A category for each id that annotations have, called by it."""
    ids = {canonical_id(one.get("category_id")) for one in annotations if isinstance(one, dict)}
    known = sorted((one for one in ids if one is not None), key=as_sorted)
    for own in known:
        found.add(_NO_CLASSES, f"category_id {own!r}")
    return [{"id": own, "name": str(own)} for own in known]


def _holders(entries: list[Any]) -> dict[int, int]:
    """Of entries that share an id, position -> that of the last one; empty where no two do.

    ``createIndex`` of ``COCO`` keeps the last annotation of an id, and all in lists of images, whose ids
    ``loadAnns`` looks up: it gives the last one in place of each.
    """
    places: dict[Name, list[int]] = {}
    for index, entry in enumerate(entries):
        own = canonical_id(entry.get("id")) if isinstance(entry, dict) else None
        if own is not None:
            places.setdefault(own, []).append(index)
    return {index: same[-1] for same in places.values() if len(same) > 1 for index in same}


def _number_anew(annotations: list[dict[str, Any]]) -> None:
    """Give an id of its own to each annotation whose id an earlier one has."""
    fresh = 1 + max((one["id"] for one in annotations if "id" in one), default=0)
    seen: set[int | None] = set()
    for one in annotations:
        if "id" in one and one["id"] in seen:
            one["id"] = fresh
            fresh += 1
        seen.add(one.get("id"))


class _Kept:
    """Annotations in their order, or, where some stand for others, in that of ``getAnnIds``.

    It goes through the images by id; what stands in place of an annotation takes its turn, wherever it is.
    """

    def __init__(self, image_ids: list[Name]) -> None:
        self._rank = {name: rank for rank, name in enumerate(image_ids)}
        self._entries: list[tuple[int, dict[str, Any]]] = []

    def add(self, image_id: Name, entry: dict[str, Any]) -> None:
        self._entries.append((self._rank.get(image_id, 0), entry))

    def listed(self) -> list[dict[str, Any]]:
        return [entry for _, entry in sorted(self._entries, key=lambda ranked: ranked[0])]


def _joining(entries: Iterable[Any], field: str, known: set[Any]) -> Callable[[Any], tuple[Any, bool]]:
    """How the ids in ``field`` are looked up: as they are, or by their text where none fits as it is."""
    given = {canonical_id(entry.get(field)) for entry in entries if isinstance(entry, dict)} - {None}
    if not given & known:
        by_text = {str(one): one for one in known}
        if any(str(one) in by_text for one in given):
            return lambda value: (by_text.get(str(canonical_id(value))), True)
    return lambda value: (own if (own := canonical_id(value)) in known else None, False)


def _all_text(entries: Iterable[Any], field: str) -> bool:
    """Whether a field is text wherever an entry has it."""
    given = [entry[field] for entry in entries if isinstance(entry, dict) and field in entry]
    return bool(given) and all(isinstance(one, str) for one in given)


def _whole(value: Any) -> int | None:
    """A whole number, also one that is a float or text."""
    number = _number(value)
    return int(number) if number is not None and math.isfinite(number) and number == int(number) else None


def _number(value: Any) -> float | int | None:
    """A number, also one that is text, as numpy reads it; integers beyond those of floats are infinite."""
    if isinstance(value, str) and "_" not in value:
        for read in (int, float):
            try:
                value = read(value)
                break
            except ValueError:
                pass
    if isinstance(value, int):
        return int(value) if value.bit_length() <= 1023 else math.copysign(math.inf, value >= 0 or -1)
    return value if isinstance(value, float) else None


class _Annotation:
    """One entry on its way: ``mended`` is what is read, ``repaired`` what differs in a repaired copy."""

    def __init__(self, entry: Any, where: str, found: Found) -> None:
        self.where = where
        self.found = found
        self.wrong = False
        self.repaired: dict[str, Any] = {}
        self.mended: dict[str, Any] = dict(entry) if isinstance(entry, dict) else {}
        self.is_object = isinstance(entry, dict)

    def odd(self, kind: Kind, value: Any = None) -> None:
        """Count one of a kind, with the value that makes it one."""
        self.found.add(kind, self.where + (f": {shortened(repr(value))}" if value is not None else ""))

    def refers(
        self, images: Callable[[Any], tuple[Any, bool]], classes: Callable[[Any], tuple[Any, bool]]
    ) -> bool:
        """Whether its image and its category are there."""
        if not self.is_object:
            self.odd(_NO_ANNOTATION)
            return False
        joined = False
        for field, join, lost in (("image_id", images, _ORPHAN), ("category_id", classes, _CLASSLESS)):
            value, by_text = join(self.mended.get(field))
            if value is None:
                self.odd(lost, f"{field} {self.mended.get(field)!r}")
                return False
            joined |= by_text
            self.mended[field] = value
        if joined:
            self.odd(_JOINED)
        return True

    def mend(self, sizes: Mapping[Any, tuple[int | None, int | None]], crowds_in_words: bool) -> bool:
        """Make every field what COCO has there; false where nothing is left to be read.

        Args:
            sizes: width and height of images by id.
            crowds_in_words: whether ``iscrowd`` is text in the whole file.
        """
        entry = self.mended
        entry["segmentation"] = self._segmentation(entry.get("segmentation"), sizes[entry["image_id"]])
        if entry["segmentation"] is None:
            del entry["segmentation"]
        if not self._mend_box():
            return False
        self._mend_area()
        self._mend_keypoints()
        self._mend_crowd(crowds_in_words)
        for field, kind in (("id", _ANNOTATION_ID), ("state", _STATE)):
            value = entry.get(field)
            if value is None:
                entry.pop(field, None)
                continue
            whole = _whole(value)
            if whole is None or not -_INT64 <= whole < _INT64:
                self.odd(kind, value)
                del entry[field]
            else:
                entry[field] = whole
        return True

    def _mend_box(self) -> bool:
        box = self.mended.get("bbox")
        # A side that is null is NaN in numpy, and such a box is no box that was left out.
        sides = [math.nan if side is None else side for side in box] if isinstance(box, list) else []
        numbers: list[Any] = [_number(side) for side in sides]
        if len(numbers) != 4 or None in numbers:
            around = _around(self.mended.get("segmentation"))
            self.odd(_BOXLESS if around is None else _BOX_OF_MASK, box if box is not None else "no bbox")
            if around is None:
                return False
            numbers = around
        elif any(isinstance(side, str) for side in box or ()) and all(map(math.isfinite, numbers)):
            self.odd(_TEXT, box)
        if any(math.isnan(side) for side in numbers):
            around = _around(self.mended.get("segmentation"))
            self.odd(_NAN_BOX if around is None else _NAN_BOX_OF_MASK, box)
            if around is None:
                return False
            numbers = around
        if any(map(math.isinf, numbers)):
            self.odd(_INFINITE_BOX, box)
            self.wrong = True
            # What is infinite has no IoU with anything; but a crowd is divided by the detection alone.
            numbers = _within_reach(numbers) if _whole(self.mended.get("iscrowd", 0)) else [0, 0, -1, -1]
        elif numbers[2] < 0 or numbers[3] < 0:
            self.odd(_NEGATIVE, box)
            self.wrong = True
        self.mended["bbox"] = numbers
        return True

    def _mend_area(self) -> None:
        given = self.mended.get("area")
        width, height = self.mended["bbox"][2:]
        # Where a side is negative, a product could be an area that no box has.
        own = min(max(width, 0) * max(height, 0), _VAST)
        if given is None:
            self.mended["area"] = own
            return
        area = _number(given)
        if area is None:
            self.odd(_AREA, given)
            self.mended["area"] = own
            return
        if isinstance(given, str):
            self.odd(_TEXT, f"area {given!r}")
        if math.isnan(area):
            self.odd(_NAN_AREA)
            area = own
        elif math.isinf(area):
            self.odd(_INFINITE_AREA, area)
        elif area < 0:
            self.odd(_NEGATIVE_AREA, area)
        if area < 0 or math.isinf(area):
            self.repaired["area"] = own
        self.mended["area"] = max(-_VAST, min(area, _VAST))

    def _mend_crowd(self, in_words: bool) -> None:
        """As pycocotools has it: all but 0 and "" is ignored, and ``int`` says what is a crowd."""
        given = self.mended.get("iscrowd", 0)
        number = _whole(given)
        if number is None and isinstance(given, float) and math.isfinite(given) and abs(given) >= 1:
            number = int(given)
        self.mended["iscrowd"] = int(bool(number))
        if given is None:
            self.odd(_CROWD_NULL)
        elif number is not None and isinstance(given, str) and in_words:
            self.odd(_CROWD_TEXT, given)
        elif number is None or (isinstance(given, str) and not number):
            self._count_neither_way(given)
        elif isinstance(given, str):
            self.odd(_TEXT, f"iscrowd {given!r}")
        elif given not in {0, 1}:
            self.odd(_CROWD_NUMBER, given)

    def _count_neither_way(self, iscrowd: Any) -> None:
        """Leave it out of all ranges of sizes, by which boxes and masks are ignored without being crowds."""
        self.repaired["iscrowd"] = int(str(iscrowd).strip().lower() == "true")
        if self.mended.get("keypoints"):
            self.odd(_CROWD_OF_POINTS, iscrowd)
            return
        self.odd(_CROWD_NEITHER, iscrowd)
        self.repaired.setdefault("area", self.mended["area"])
        self.mended["area"] = -1.0

    def _mend_keypoints(self) -> None:
        given = self.mended.get("keypoints")
        if not given and isinstance(given, list | None):
            return
        points: list[Any] = [_number(one) for one in given] if isinstance(given, list) else [None]
        if None in points or len(points) % 3 or not all(map(math.isfinite, points)):
            self.odd(_POINTS, given)
            del self.mended["keypoints"]
            self.mended.pop("num_keypoints", None)
            return
        seen = points[2::3]
        if not all(one in {0, 1, 2} for one in seen):
            self.odd(_SEEN, given)
            points[2::3] = [one if one in {0, 1, 2} else 2 * int(one > 0) for one in seen]
        self.mended["keypoints"] = points
        visible = sum(one > 0 for one in seen)
        if visible and self.mended.get("num_keypoints") == 0:
            self.odd(_UNCOUNTED)
            self.repaired["num_keypoints"] = visible

    def _segmentation(self, given: Any, size_wh: tuple[int | None, int | None]) -> Any:
        """What can be drawn of it; ``None`` where nothing can."""
        if given is None or given == []:
            return None
        if isinstance(given, list):
            return self._rings(given)
        mask = _mask(given, size_wh) if isinstance(given, dict) else None
        if mask is None:
            self.odd(_NO_MASK, given)
        return mask

    def _rings(self, given: list[Any]) -> list[list[float]] | None:
        flat = not any(isinstance(ring, list) for ring in given)
        rings = [
            [_number(one) for one in ring] if isinstance(ring, list) else []
            for ring in [given] * flat or given
        ]
        usable = [ring for ring in rings if None not in ring and all(map(math.isfinite, ring))]  # type: ignore[arg-type]
        # The last of an odd number of coordinates belongs to no point; two points enclose nothing.
        kept = [ring[: len(ring) // 2 * 2] for ring in usable if len(ring) >= 6]
        whole = all(isinstance(ring, list) for ring in given)
        if flat or not whole or kept != [ring for ring in rings if ring]:
            self.odd(_RINGS if kept else _NO_MASK, given)
        return kept or None  # type: ignore[return-value]


def _mask(given: Mapping[str, Any], size_wh: tuple[int | None, int | None]) -> dict[str, Any] | None:
    """A run-length code of the image's size; ``None`` where it is none."""
    from anydet.geometry import masks
    from anydet.types import RLE

    size = given.get("size")
    sides = [_whole(side) for side in size] if isinstance(size, list) else []
    if len(sides) != 2 or any(side is None or not 0 < side < 1 << 31 for side in sides):
        return None
    height, width = sides
    if size_wh[0] is not None and size_wh != (width, height):
        return None
    counts = given.get("counts")
    if isinstance(counts, str):
        return {"size": sides, "counts": counts} if masks.is_whole(RLE((height, width), counts)) else None  # type: ignore[arg-type]
    runs = [_whole(run) for run in counts] if isinstance(counts, list) else []
    if not runs or any(run is None or run < 0 for run in runs) or sum(runs) != height * width:  # type: ignore[operator,arg-type]
        return None
    return {"size": sides, "counts": runs}


def _within_reach(box: Sequence[float]) -> list[float]:
    """x, y, width, height with numbers that are far in place of infinite ones."""
    x, y, width, height = (max(-_FAR_PX, min(side, _FAR_PX)) for side in box)
    # From minus infinity to infinity: everything is between.
    wide, high = (-math.inf in box[axis::2] and box[axis + 2] == math.inf for axis in (0, 1))
    return [x, y, width * (1 + wide), height * (1 + high)]


def _around(segmentation: Any) -> list[float] | None:
    """x, y, width, height around a mended segmentation."""
    if isinstance(segmentation, list):
        xs, ys = ([v for ring in segmentation for v in ring[axis::2]] for axis in (0, 1))
        return [min(xs), min(ys), max(xs) - min(xs), max(ys) - min(ys)]
    if isinstance(segmentation, dict):
        from anydet.geometry import masks
        from anydet.types import RLE

        counts = segmentation["counts"]
        size = (segmentation["size"][0], segmentation["size"][1])
        rle = RLE(size, counts) if isinstance(counts, str) else masks.from_uncompressed(counts, size)
        bounds: list[float] = masks.bounds_xywh(rle).tolist()
        return bounds
    return None
