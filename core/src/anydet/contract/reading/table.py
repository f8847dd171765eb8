"""Entries into columns, an entry at a time; no object per detection outlives its entry."""

from __future__ import annotations

import math
from array import array
from collections.abc import Callable, Mapping, Sequence
from itertools import chain
from operator import attrgetter
from typing import Any

import numpy as np
from msgspec import UNSET
from msgspec.structs import astuple

from anydet.contract.documents import Box, Detection, Entry, Keypoint, Mask
from anydet.contract.locations import Shape
from anydet.contract.raw import ImageDetails, RawPredictions
from anydet.contract.reading.assemble import POSE_SHAPES, assemble
from anydet.mask_columns import MaskColumn
from anydet.scanner import Ragged, RawTexts, ScannedPredictions, Sparse
from anydet.types import RLE, Classification, Intrinsics

_OPTIONAL = Detection.__struct_fields__[3:]
_NO_TEXTS = RawTexts(np.zeros(0, np.int64), np.zeros(0, np.int64), np.zeros(0, np.uint8))
_sides = attrgetter("cx", "cy", "w", "h")


class Table:
    """Collects entries and gives their columns."""

    def __init__(self) -> None:
        # Arrays instead of lists of Python numbers: a quarter of the memory, and numpy takes their buffers.
        self._images: list[str] = []
        self._places = array("q")
        self._counts = array("q")
        self._sizes = array("q")
        self._class_ids = array("q")
        self._scores = array("d")
        self._boxes = array("d")
        self._optional: dict[str, tuple[array[int], list[Any]]] = {
            name: (array("q"), []) for name in _OPTIONAL
        }
        self._details: dict[int, ImageDetails] = {}

    def add(self, entry: Entry, place: int) -> None:
        """Add an image; ``place`` is the number of its entry in the file."""
        size = entry.image_size
        details = image_details(entry)
        if details is not None:
            self._details[len(self._images)] = details
        self._images.append(entry.image)
        self._places.append(place)
        self._sizes.extend((-1, -1) if size is UNSET else (size.width, size.height))
        self._counts.append(len(entry.detections))
        if entry.detections:
            self._add_rows(entry.detections)

    def _add_rows(self, detections: Sequence[Detection]) -> None:
        class_ids, scores, boxes, *optional = zip(*map(astuple, detections), strict=True)
        first = len(self._scores)
        self._class_ids.extend(class_ids)
        self._scores.extend(scores)
        if set(map(type, boxes)) == {Box}:
            self._boxes.extend(chain.from_iterable(map(_sides, boxes)))
        else:
            self._boxes.extend(chain.from_iterable(_sides(b) if type(b) is Box else b for b in boxes))
        for name, values in zip(_OPTIONAL, optional, strict=True):
            if values.count(UNSET) != len(values):
                rows, known = self._optional[name]
                for row, value in enumerate(values, first):
                    if value is not UNSET:
                        rows.append(row)
                        known.append(value)

    def finish(self, path: str, shape: Shape, meta: Mapping[str, Any] | None) -> RawPredictions:
        """All that was added."""
        masks = self._by_row("mask")
        found = ScannedPredictions(
            shape="list",
            meta=b"",
            images=tuple(self._images),
            places=_array(self._places, np.int64),
            counts=_array(self._counts, np.int64),
            sizes_wh=_array(self._sizes, np.int64).reshape(-1, 2),
            class_ids=_array(self._class_ids, np.int64),
            scores=_array(self._scores, np.float64),
            boxes=_array(self._boxes, np.float64).reshape(-1, 4),
            states=self._sparse("state", np.int64),
            state_scores=self._ragged("state_scores", float, ()),
            keypoints=self._ragged("keypoints", _point, (4,)),
            masks=MaskColumn.of([masks.get(row) for row in range(len(self._scores))]) if masks else None,
            poses={name: self._sparse(name, np.float64) for name in POSE_SHAPES},
            extra=_NO_TEXTS,
            about={},
        )
        return assemble(path, shape, found, meta=meta, details=self._details, extra=self._by_row("extra"))

    def _sparse(self, name: str, kind: Any) -> Sparse:
        rows, values = self._optional[name]
        return Sparse(_array(rows, np.int64), np.array(values, kind))

    def _ragged(self, name: str, item: Callable[[Any], Any], shape: tuple[int, ...]) -> Ragged:
        rows, values = self._optional[name]
        flat = np.array([item(value) for row in values for value in row], np.float64)
        ends = np.cumsum([len(row) for row in values], dtype=np.int64)
        return Ragged(_array(rows, np.int64), ends, flat.reshape(-1, *shape))

    def _by_row(self, name: str) -> dict[int, Any]:
        rows, values = self._optional[name]
        items = map(rle, values) if name == "mask" else values
        return dict(zip(rows.tolist(), items, strict=True))


def _point(point: Keypoint) -> tuple[float, ...]:
    return (
        point.x,
        point.y,
        math.nan if point.score is UNSET else point.score,
        -1 if point.v is UNSET else point.v,
    )


def rle(mask: Mask) -> RLE:
    """A mask of the file as the type that crosses borders."""
    return RLE(mask.size, mask.counts)


def image_details(entry: Entry) -> ImageDetails | None:
    """What an entry has beside its detections and size; ``None`` where that is nothing."""
    optional = (
        entry.classification,
        entry.semantic_mask,
        entry.intrinsics,
        entry.preprocess,
        entry.extra,
    )
    if all(value is UNSET for value in optional):
        return None
    best, semantic, camera = entry.classification, entry.semantic_mask, entry.intrinsics
    return ImageDetails(
        classification=None
        if best is UNSET
        else Classification(best.class_id, best.score, None if best.scores is UNSET else tuple(best.scores)),
        semantic_mask=None if semantic is UNSET else {int(key): rle(mask) for key, mask in semantic.items()},
        intrinsics=None if camera is UNSET else Intrinsics(camera.fx, camera.fy, camera.cx, camera.cy),
        preprocess=None if entry.preprocess is UNSET else entry.preprocess,
        extra={} if entry.extra is UNSET else entry.extra,
    )


def _array(values: array[Any], kind: Any) -> Any:
    """The buffer of an ``array`` as numpy sees it, without a copy."""
    return np.frombuffer(values, kind) if len(values) else np.zeros(0, kind)
