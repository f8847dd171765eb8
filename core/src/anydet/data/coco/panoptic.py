"""COCO panoptic JSON: segments that do not overlap, drawn in PNG files by id (R + 256 G + 65536 B).

Every segment has the class of its pixels; those of classes with ``isthing`` are objects as well. Pixels of
id 0 are not labeled. An image's ``category_id``, which the format does not ask for, is the class of the
image.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from functools import lru_cache
from itertools import chain
from pathlib import Path
from typing import TYPE_CHECKING

import msgspec
import numpy as np
from numpy.typing import NDArray

from anydet.columns import LazyColumn
from anydet.data.coco.image_class import class_of_image
from anydet.data.dataset.table import ImageTable
from anydet.data.record.containment import contained
from anydet.errors import DatasetError, ImageError
from anydet.geometry import masks
from anydet.inputs import read_json, require_text
from anydet.types import ClassTable, IntArray, Labels, Segmentation

if TYPE_CHECKING:
    from typing_extensions import Self

_Box = tuple[float, float, float, float]


class _Segment(msgspec.Struct, gc=False):
    id: int
    category_id: int
    bbox: _Box
    area: float
    iscrowd: int | bool = 0


class _Annotation(msgspec.Struct, gc=False):
    image_id: int
    file_name: str
    segments_info: list[_Segment]


class _Image(msgspec.Struct, gc=False):
    id: int
    file_name: str
    width: int
    height: int
    category_id: int | None = None


class _Category(msgspec.Struct, gc=False):
    id: int
    name: str
    isthing: int | bool = 1


class _File(msgspec.Struct):
    images: list[_Image]
    annotations: list[_Annotation]
    categories: list[_Category]


@dataclass(frozen=True, slots=True)
class PanopticMask:
    """Classes of the pixels of a panoptic PNG.

    Attributes:
        path: the PNG.
        class_of: segment id -> class id.
        areas: segment id -> pixels, as the JSON states them.
        crowds: segments that are several objects of one class.
        things: class ids that are of objects; of all images alike.
    """

    path: Path
    class_of: Mapping[int, int]
    areas: Mapping[int, float] = field(default_factory=dict)
    crowds: frozenset[int] = frozenset()
    things: frozenset[int] = frozenset()

    def read(self) -> IntArray:
        """(H, W) class of each pixel, -1 where no segment is.

        Raises ``ImageError`` for a file that cannot be read, ``DatasetError`` for a segment that the JSON
        does not have.
        """
        ids, inverse = np.unique(read_segment_ids(self.path), return_inverse=True)
        unknown = set(ids.tolist()) - set(self.class_of) - {0}
        if unknown:
            raise self.unknown_segment(min(unknown))
        classes = np.array([self.class_of.get(one, -1) for one in ids.tolist()], np.int64)
        return classes[inverse].reshape(inverse.shape)

    def segments(self, size_hw: tuple[int, ...]) -> tuple[NDArray[np.uint32], Mapping[int, int]]:
        """(H, W) segment id of each pixel, 0 for none, and the class of each id; raises ``ImageError``."""
        del size_hw
        return read_segment_ids(self.path), self.class_of

    def unknown_segment(self, id_: int) -> DatasetError:
        """The error of a segment of the PNG that the JSON does not have."""
        return DatasetError(
            f"{self.path}: segment {id_} is not in the segments_info of its annotation",
            fix="give the JSON and PNG files of one export",
        )


@dataclass(frozen=True, slots=True, eq=False)
class PanopticSegments(LazyColumn[Segmentation]):
    """Masks of segments; the PNG of a segment is read when its row is.

    Attributes:
        paths: the PNG of each row.
        ids: (N,) int64 id of the segment in it.
    """

    paths: tuple[Path, ...]
    ids: IntArray

    def __len__(self) -> int:
        return len(self.paths)

    def row(self, index: int) -> Segmentation:
        """The object of one row."""
        return masks.encode(_last_ids(self.paths[index]) == self.ids[index])

    def take(self, rows: IntArray) -> Self:
        """Rows at these positions; nothing is read."""
        return type(self)(tuple(self.paths[row] for row in rows.tolist()), self.ids[rows])

    @classmethod
    def join(cls, parts: Sequence[Self]) -> Self:
        """All rows, one part after the other."""
        paths = tuple(chain.from_iterable(part.paths for part in parts))
        return cls(paths, np.concatenate([part.ids for part in parts]))


def read_segment_ids(path: Path) -> NDArray[np.uint32]:
    """(H, W) segment id of each pixel of a panoptic PNG; raises ``ImageError`` where it cannot be read."""
    from PIL import Image

    from anydet.data.record.image_formats import open_image

    try:
        with open_image(path) as image:
            pixels = np.asarray(image.convert("RGBA"))
    except (OSError, SyntaxError, ValueError, Image.DecompressionBombError) as exc:
        raise ImageError(f"{path}: cannot be read as an image: {exc}", fix="write the PNG again") from exc
    # The bytes of a pixel, red first, are a number in little-endian order; the last one is opacity.
    return np.asarray(pixels.view("<u4")[..., 0] & 0xFFFFFF, np.uint32)


# One image: its segments are read one after the other, each from the same PNG.
_last_ids = lru_cache(maxsize=1)(read_segment_ids)


def read_panoptic(file: Path) -> ImageTable:
    """The images of a file; raises ``DatasetError`` where it is malformed."""
    content = _decode(file)
    folder = file.with_suffix("")
    if not folder.is_dir():
        raise DatasetError(
            f"{file}: its PNG files are not in {folder}", fix=f"unpack {folder.name}.zip there"
        )
    images, categories = content.images, sorted(content.categories, key=lambda one: one.id)
    class_of = {one.id: i for i, one in enumerate(categories)}
    things = {one.id for one in categories if one.isthing}
    by_image = {one.image_id: one for one in content.annotations}
    thing_ids = frozenset(class_of[one] for one in things)
    masks = tuple(_mask(file, one, by_image.get(one.id), class_of, thing_ids) for one in images)
    class_ids = [class_of_image(file, one.file_name, one.category_id, class_of) for one in images]
    objects = [
        [one for one in by_image[image.id].segments_info if one.category_id in things]
        if image.id in by_image
        else []
        for image in images
    ]
    paths = [mask.path for mask, found in zip(masks, objects, strict=True) if mask for _ in found]
    return ImageTable(
        keys=tuple(one.file_name for one in images),
        sizes_wh=np.array([(one.width, one.height) for one in images], np.int64).reshape(-1, 2),
        labels=_labels(list(chain.from_iterable(objects)), paths, class_of),
        offsets=np.cumsum([0, *map(len, objects)], dtype=np.int64),
        classes=ClassTable(tuple(one.name for one in categories), tuple(class_of)),
        image_ids=np.array([one.id for one in images], np.int64),
        annotated=np.array([one.id in by_image for one in images], np.bool_),
        class_ids=np.array(class_ids, np.int64),
        class_masks=masks,
    )


def _decode(file: Path) -> _File:
    try:
        return msgspec.json.decode(read_json(file), type=_File)
    except (OSError, msgspec.DecodeError, UnicodeDecodeError, RecursionError) as exc:
        require_text(file)
        raise DatasetError(
            f"{file}: not a COCO panoptic file: {exc}",
            fix="give one with images, annotations with segments_info, and categories",
        ) from exc


def _mask(
    file: Path,
    image: _Image,
    annotation: _Annotation | None,
    class_of: Mapping[int, int],
    things: frozenset[int],
) -> PanopticMask | None:
    """The mask of an image; ``None`` without annotation. Raises ``DatasetError`` for an unknown category."""
    if annotation is None:
        return None
    for segment in annotation.segments_info:
        if segment.category_id not in class_of:
            raise DatasetError(
                f"{file}: image {image.file_name}: segment {segment.id}: category_id {segment.category_id} "
                "is not in categories",
                fix="correct the id, or add the category",
            )
    path = contained(file.with_suffix(""), annotation.file_name, links=True)
    segments = annotation.segments_info
    return PanopticMask(
        path,
        {one.id: class_of[one.category_id] for one in segments},
        {one.id: one.area for one in segments},
        frozenset(one.id for one in segments if one.iscrowd),
        things,
    )


def _labels(segments: list[_Segment], paths: list[Path], class_of: Mapping[int, int]) -> Labels:
    """Objects: segments of things, each with the PNG that it is drawn in."""
    return Labels(
        class_ids=np.array([class_of[one.category_id] for one in segments], np.int64),
        boxes_xywh_px=np.array([one.bbox for one in segments], np.float64).reshape(-1, 4),
        areas=np.array([one.area for one in segments], np.float64),
        iscrowd=np.array([bool(one.iscrowd) for one in segments], np.bool_),
        segmentations=PanopticSegments(tuple(paths), np.array([one.id for one in segments], np.int64)),
    )
