"""A COCO annotations file parsed entry by entry: what a scanner does not read, and what is wrong with it."""

from __future__ import annotations

import json
import math
import re
from collections.abc import Callable, Iterable, Mapping, Sequence
from dataclasses import replace
from pathlib import Path
from typing import Any, NoReturn

import msgspec
import numpy as np

from anydet.data.coco.columns import class_table, own_areas
from anydet.data.coco.mending import CATEGORY_LISTS, Mended, Name, as_sorted
from anydet.data.dataset.table import ImageTable
from anydet.dataclass import dataclass
from anydet.errors import DatasetError
from anydet.geometry import masks
from anydet.inputs import SAVE_AS_UTF8, read_json, text_problem
from anydet.types import (
    RLE,
    BoolArray,
    Federation,
    FloatArray,
    IntArray,
    Labels,
    Polygons,
    Segmentation,
    Size,
)

_Box = tuple[float, float, float, float]
_INT64_LOW, _INT64_HIGH = -(1 << 63), (1 << 63) - 1


# gc=False: no cycles are possible here, and the collector need not visit hundreds of thousands of objects.
class _Mask(msgspec.Struct, gc=False):
    size: tuple[int, int]
    counts: str | list[int]


class _Image(msgspec.Struct, gc=False):
    id: int
    file_name: str | None = None
    coco_url: str | None = None
    width: int | None = None
    height: int | None = None
    neg_category_ids: list[int] | None = None
    not_exhaustive_category_ids: list[int] | None = None


class _Category(msgspec.Struct, gc=False):
    id: int
    name: str
    frequency: str | None = None


class _Annotation(msgspec.Struct, gc=False):
    image_id: int
    category_id: int
    id: int | None = None
    bbox: _Box | None = None
    area: float | None = None
    iscrowd: int | bool | msgspec.UnsetType | None = msgspec.UNSET
    segmentation: Polygons | _Mask | None = None
    keypoints: list[float] | None = None
    state: int | None = None
    num_keypoints: Any = None


class _File(msgspec.Struct):
    images: list[_Image]
    annotations: list[_Annotation] = []
    categories: list[_Category] = []


KNOWN_KEYS = {
    kind: frozenset(entry.__struct_fields__)
    for kind, entry in (("images", _Image), ("annotations", _Annotation), ("categories", _Category))
}
"""What is read of a file: keys of its entries by their kind."""


def parse_coco(path: Path) -> ImageTable:
    """A file in which every entry is as COCO has it; raises ``DatasetError`` for the first that is not."""
    file = _decode(path)
    try:
        return _table(path, file)
    except OverflowError as exc:
        # Which one it is mending finds out, or it reads the file: ids may be of any size.
        raise DatasetError(f"{path}: an integer of more than 64 bits", fix="correct the file") from exc


def parse_mended(path: Path, mended: Mended) -> ImageTable:
    """As ``parse_coco``, of what can be read of a file in which some are not; ids may be names."""
    document = mended.document
    image = _numbers(one["id"] for one in document["images"])
    category = _numbers(one["id"] for one in document["categories"])
    known = {
        "images": [_listing(one, category) | {"id": image[one["id"]]} for one in document["images"]],
        "annotations": [
            {**one, "image_id": image[one["image_id"]], "category_id": category[one["category_id"]]}
            for one in document["annotations"]
        ],
        "categories": [{**one, "id": category[one["id"]]} for one in document["categories"]],
    }
    try:
        file = msgspec.convert(known, type=_File)
        table = _table(path, file, mended=True)
    except (msgspec.ValidationError, OverflowError) as exc:
        where, what = _split_message(str(exc))
        raise DatasetError(f"{path}: {_named(known, where)}: {what}", fix="correct the file") from exc
    if table.classes is not None and _are_names(category):
        table = replace(table, classes=replace(table.classes, source_names=tuple(category)))
    return replace(
        table,
        image_names=tuple(one["id"] for one in document["images"]) if _are_names(image) else None,
        files=None if mended.files == table.keys else mended.files,
        oddities=mended.oddities,
    )


def _numbers(ids: Iterable[Name]) -> dict[Name, int]:
    """Integer of 64 bits that stands for each id, sorted by id: itself, or ranks where they are names.

    Ranks, as pycocotools sorts images and categories by id.
    """
    names = sorted(set(ids), key=as_sorted)
    fit = all(isinstance(name, int) and _INT64_LOW <= name <= _INT64_HIGH for name in names)
    return {name: int(name) if fit else rank for rank, name in enumerate(names)}


def _are_names(number: Mapping[Name, int]) -> bool:
    """Whether ranks stand for ids; those that are their own ranks lose nothing by it."""
    return any(name != one for name, one in number.items())


def _listing(image: Mapping[str, Any], category: Mapping[Name, int]) -> dict[str, Any]:
    """An image whose lists of categories have what stands for their ids."""
    return {
        key: [category[one] for one in value] if key in CATEGORY_LISTS and value is not None else value
        for key, value in image.items()
    }


def _table(path: Path, file: _File, *, mended: bool = False) -> ImageTable:
    keys, sizes = _images(path, file.images)
    categories = sorted(file.categories, key=lambda category: category.id)
    class_of = _unique(path, "category id", [category.id for category in categories])
    image_of = _unique(path, "image id", [image.id for image in file.images])
    if not mended:
        _unique(path, "annotation id", [a.id for a in file.annotations if a.id is not None])
    check = _Check(path, file.annotations, mended)
    image_index = check.references("image_id", image_of)
    labels = _labels(check, check.references("category_id", class_of), sizes[image_index])
    # Stable, as the order of an image's annotations decides which of two equally good ones is matched.
    order = np.argsort(image_index, kind="stable")
    return ImageTable(
        keys=keys,
        sizes_wh=sizes,
        image_ids=np.array(list(image_of), np.int64),
        classes=class_table(
            tuple(c.name for c in categories), tuple(class_of), tuple(c.frequency or "" for c in categories)
        ),
        labels=labels.take(order),
        offsets=np.searchsorted(image_index[order], np.arange(len(keys) + 1)),
        federation=_federation(path, file.images, class_of),
    )


def read_document(path: Path) -> bytes:
    """The bytes of a JSON file; raises ``DatasetError`` where they are no text that can be read."""
    try:
        raw = read_json(path)
    except OSError as exc:
        raise DatasetError(f"{path}: cannot be read: {exc.strerror}", fix="check the path") from exc
    # Of a file that begins like no JSON only the beginning was read, which shows why.
    if raw[:1] not in (b"{", b"[") and (problem := text_problem(raw)):
        raise DatasetError(f"{path}: {problem}", fix=SAVE_AS_UTF8)
    return raw


def _decode(path: Path) -> _File:
    raw = read_document(path)
    try:
        return msgspec.json.decode(raw, type=_File)
    except (msgspec.DecodeError, UnicodeDecodeError, RecursionError) as exc:
        if problem := text_problem(raw):
            raise DatasetError(f"{path}: {problem}", fix=SAVE_AS_UTF8) from exc
        _explain(path, raw, exc)


def _explain(path: Path, raw: bytes, exc: Exception) -> NoReturn:
    """Say what typed decoding refused, naming the annotation by its id."""
    try:
        data = json.loads(raw)  # unlike msgspec it takes NaN, so that the place can be named
    except (ValueError, RecursionError):
        raise DatasetError(f"{path}: not valid JSON: {exc}", fix="correct or download it again") from exc
    if not isinstance(data, dict) or "images" not in data:
        what = "a list, as COCO results are" if isinstance(data, list) else "no 'images'"
        raise DatasetError(
            f"{path}: not a COCO annotations file: {what}",
            fix="give a file with images, annotations and categories; results are predictions, no data set",
        ) from exc
    where, what = _find_nonfinite(data) or _split_message(str(exc))
    raise DatasetError(f"{path}: {_named(data, where)}: {what}", fix="correct the file") from exc


def _find_nonfinite(data: dict[str, Any]) -> tuple[str, str] | None:
    for kind in ("images", "annotations", "categories"):
        entries = data.get(kind)
        for index, entry in enumerate(entries if isinstance(entries, list) else ()):
            for key, value in entry.items() if isinstance(entry, dict) else ():
                if not _is_finite(value):
                    return f"$.{kind}[{index}].{key}", "has a number that is not finite"
    return None


def _is_finite(value: Any) -> bool:
    if isinstance(value, list):
        return all(map(_is_finite, value))
    return math.isfinite(value) if isinstance(value, float) else True


def _split_message(message: str) -> tuple[str, str]:
    what, _, where = message.partition(" - at `")
    return where.rstrip("`") or "$", what.replace("`", "")


def _named(data: dict[str, Any], where: str) -> str:
    """``$.annotations[17].bbox`` as ``annotation 301 (annotations[17]): bbox``."""
    found = re.match(r"\$\.(image|annotation|categorie)s\[(\d+)\]\.?(.*)", where)
    if found is None:
        return where.removeprefix("$.")
    kind, index, rest = found.groups()
    entry = data[f"{kind}s"][int(index)]
    name = f"{kind.replace('categorie', 'category')} {entry.get('id') if isinstance(entry, dict) else '?'}"
    return f"{name} ({kind}s[{index}])" + f": {rest}" * bool(rest)


def _images(path: Path, images: Sequence[_Image]) -> tuple[tuple[str, ...], IntArray]:
    keys = [_name(path, image) for image in images]
    for image, key in zip(images, keys, strict=True):
        stated = (image.width, image.height)
        if not key:
            raise DatasetError(f"{path}: image {image.id}: empty file_name", fix="correct the file")
        if stated != (None, None) and not all(side is not None and side > 0 for side in stated):
            raise DatasetError(
                f"{path}: image {image.id} ({key}): width {stated[0]}, height {stated[1]}",
                fix="write the image's true size in pixels, or leave out both",
            )
    _unique(path, "file_name", keys)
    sizes = [(image.width or -1, image.height or -1) for image in images]
    return tuple(keys), np.array(sizes, np.int64).reshape(-1, 2)


def _name(path: Path, image: _Image) -> str:
    """``file_name``, or of LVIS the end of ``coco_url``: ``val2017/000000000042.jpg``."""
    if image.file_name is not None:
        return image.file_name.replace("\\", "/")
    if image.coco_url is None:
        raise DatasetError(
            f"{path}: image {image.id}: no file_name", fix="write the name of its file, or its coco_url"
        )
    return "/".join(image.coco_url.split("/")[-2:])


def _federation(path: Path, images: Sequence[_Image], class_of: dict[int, int]) -> Federation | None:
    """Negative and not exhaustive categories of each image; ``None`` where no image lists any."""
    names = ("neg_category_ids", "not_exhaustive_category_ids")
    if all(getattr(image, name) is None for image in images for name in names):
        return None
    pairs: dict[str, list[tuple[int, int]]] = {name: [] for name in names}
    for name, place, image in ((name, place, image) for name in names for place, image in enumerate(images)):
        for category in getattr(image, name) or ():
            if category not in class_of:
                raise DatasetError(
                    f"{path}: image {image.id}: {name}: {category} is not among the categories",
                    fix="correct the file",
                )
            pairs[name].append((place, class_of[category]))
    return Federation(*(np.array(pairs[name], np.int64).reshape(-1, 2) for name in names))


def _unique(path: Path, what: str, values: Sequence[Any]) -> dict[Any, int]:
    """Position of each value; raises where one occurs twice."""
    positions = {value: position for position, value in enumerate(values)}
    if len(positions) < len(values):
        twice = next(v for position, v in enumerate(values) if positions[v] != position)
        raise DatasetError(f"{path}: {what} {twice!r} occurs twice", fix="make them unique")
    return positions


@dataclass(frozen=True, slots=True)
class _Check:
    """Columns of annotations; problems name the annotation.

    Attributes:
        path: the file.
        annotations: its annotations.
        mended: whether boxes and areas may be negative, which count as pycocotools counts them.
    """

    path: Path
    annotations: Sequence[_Annotation]
    mended: bool = False

    def error(self, index: int, what: str, fix: str = "correct the file") -> DatasetError:
        annotation = self.annotations[index]
        return DatasetError(
            f"{self.path}: annotation {annotation.id} (annotations[{index}]): {what}", fix=fix
        )

    def references(self, field: str, known: dict[int, int]) -> IntArray:
        """(N,) positions of the ids in ``field``."""
        ids = [getattr(annotation, field) for annotation in self.annotations]
        found = np.array([known.get(one, -1) for one in ids], np.int64)
        for index in np.flatnonzero(found < 0)[:1].tolist():
            kind = "images" if field == "image_id" else "categories"
            raise self.error(index, f"{field} {ids[index]} is not among the {kind}")
        return found

    def boxes(self) -> FloatArray:
        """(N, 4) x, y, width, height."""
        for index, annotation in enumerate(self.annotations):
            if annotation.bbox is None:
                raise self.error(index, "no bbox", "write bbox as [x, y, width, height] in pixels")
        boxes = np.array([a.bbox for a in self.annotations], np.float64).reshape(-1, 4)
        negative = (boxes[:, 2:] < 0).any(axis=1) & np.bool_(not self.mended)
        bad = ~np.isfinite(boxes).all(axis=1) | negative
        for index in np.flatnonzero(bad)[:1].tolist():
            raise self.error(index, f"bbox {boxes[index].tolist()} has a negative size or is not finite")
        return boxes

    def areas(self, boxes: FloatArray) -> tuple[FloatArray, BoolArray | None]:
        """``own_areas`` of the file's."""
        own = [a.area for a in self.annotations]
        areas, stated = own_areas(np.array([np.nan if a is None else a for a in own], np.float64), boxes)
        for index in np.flatnonzero(~np.isfinite(areas) | ((areas < 0) & (not self.mended)))[:1].tolist():
            raise self.error(index, f"area {own[index]} is negative or not finite")
        return areas, stated

    def crowds(self) -> BoolArray:
        """(N,) which are crowds; a missing ``iscrowd`` is 0."""
        given = [False if a.iscrowd is msgspec.UNSET else a.iscrowd for a in self.annotations]
        for index, crowd in enumerate(given):
            if crowd not in {0, 1}:
                raise self.error(
                    index, f"iscrowd is {'null' if crowd is None else crowd}, and neither 0 nor 1"
                )
        return np.array(given, np.bool_)

    def integers(self, get: Callable[[_Annotation], int | None]) -> IntArray | None:
        """(N,) with -1 where missing; ``None`` where all are."""
        values = [get(annotation) for annotation in self.annotations]
        if all(value is None for value in values):
            return None
        try:
            return np.array([-1 if value is None else value for value in values], np.int64)
        except OverflowError:
            index = next(i for i, value in enumerate(values) if value and abs(value) > _INT64_HIGH)
            raise self.error(index, f"{values[index]} is an integer of more than 64 bits") from None

    def keypoints(self) -> FloatArray | None:
        """(N, K, 3) with NaN where missing; ``None`` where all are."""
        flat = [annotation.keypoints or [] for annotation in self.annotations]
        points = max(map(len, flat), default=0) // 3
        for index, values in enumerate(flat):
            if len(values) % 3 or not all(v in {0, 1, 2} for v in values[2::3]):
                raise self.error(index, "keypoints are not x, y, visibility (0, 1 or 2) for each point")
            if self.annotations[index].num_keypoints == 0 and any(values[2::3]) and not self.mended:
                raise self.error(index, "num_keypoints is 0, but keypoints are visible")
        if not points:
            return None
        column = np.full((len(flat), points, 3), np.nan)
        for row, values in enumerate(flat):
            column[row, : len(values) // 3] = np.array(values, np.float64).reshape(-1, 3)
        return column

    def segmentations(self, sizes_wh: IntArray) -> tuple[Segmentation, ...] | None:
        """One a row; ``None`` where all are missing. ``sizes_wh`` (N, 2) are those of their images."""
        sizes = map(tuple, sizes_wh.tolist())
        rows = zip(self.annotations, sizes, strict=True)
        column = tuple(self._segmentation(i, a.segmentation, size) for i, (a, size) in enumerate(rows))
        return None if all(segmentation is None for segmentation in column) else column

    def _segmentation(self, index: int, given: Polygons | _Mask | None, size_wh: Size) -> Segmentation:
        if isinstance(given, _Mask):
            return self._rle(index, given, size_wh)
        rings = tuple(ring for ring in given or () if ring)
        for ring in rings:
            if len(ring) < 6 or len(ring) % 2:
                raise self.error(
                    index,
                    f"segmentation has a polygon of {len(ring)} numbers",
                    "write x1, y1, x2, y2, ... of at least 3 points",
                )
        return rings or None

    def _rle(self, index: int, mask: _Mask, size_wh: Size) -> RLE:
        height, width = mask.size
        if height <= 0 or width <= 0 or (size_wh[0] > 0 and size_wh != (width, height)):
            stated = f", but the image has {list(size_wh[::-1])}" if size_wh[0] > 0 else ""
            raise self.error(index, f"segmentation size [height, width] is {[height, width]}{stated}")
        counts = mask.counts
        if isinstance(counts, str):
            rle = RLE((height, width), counts)
            if masks.is_whole(rle):
                return rle
        elif min(counts, default=-1) >= 0 and sum(counts) == height * width:
            return masks.from_uncompressed(counts, (height, width))
        raise self.error(index, f"segmentation counts are not runs that add up to {height} x {width} pixels")


def _labels(check: _Check, class_ids: IntArray, sizes_wh: IntArray) -> Labels:
    boxes = check.boxes()
    areas, stated = check.areas(boxes)
    return Labels(
        class_ids=class_ids,
        boxes_xywh_px=boxes,
        areas=areas,
        area_stated=stated,
        iscrowd=check.crowds(),
        annotation_ids=check.integers(lambda a: a.id),
        segmentations=check.segmentations(sizes_wh),
        keypoints=check.keypoints(),
        states=check.integers(lambda a: a.state),
    )
