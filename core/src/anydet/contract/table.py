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

from anydet.contract.documents import Box, Detection, Entry, Mask
from anydet.contract.encode import POSE_FIELDS
from anydet.contract.places import Shape
from anydet.contract.raw import ImageDetails, RawPredictions
from anydet.geometry.rotations import rot6d_rows_to_columns
from anydet.types import RLE, Classification, FloatArray, IntArray, Intrinsics, Poses

_OPTIONAL = Detection.__struct_fields__[3:]
_POSE_SHAPES: dict[str, tuple[int, ...]] = {
    "log_z": (),
    "rot6d": (6,),
    "R": (3, 3),
    "t": (3,),
    "offsets": (2,),
    "k_delta": (4,),
    "log_sigma_z": (),
    "log_sigma_rot": (),
}
_sides = attrgetter("cx", "cy", "w", "h")


class Table:
    """Collects entries and gives their columns."""

    def __init__(self) -> None:
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
        details = _details(entry)
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
        count = len(self._scores)
        meta = meta or None
        conventions = (meta or {}).get("conventions", {})
        classes = (meta or {}).get("classes")
        keypoints, visibility = self._keypoints(count)
        return RawPredictions(
            path=path,
            shape=shape,
            images=tuple(self._images),
            places=_array(self._places, np.int64),
            sizes_wh=_array(self._sizes, np.int64).reshape(-1, 2),
            details=self._details,
            image_index=np.repeat(np.arange(len(self._images)), _array(self._counts, np.int64)),
            class_ids=_array(self._class_ids, np.int64),
            boxes=_array(self._boxes, np.float64).reshape(-1, 4),
            scores=_array(self._scores, np.float64),
            states=self._column("state", lambda rows, values: _integers(count, rows, values)),
            state_scores=self._column("state_scores", lambda rows, values: _ragged(count, rows, values)),
            masks=self._column("mask", lambda rows, values: _objects(count, rows, map(rle, values))),
            keypoints=keypoints,
            keypoint_visibility=visibility,
            poses=self._poses(count, rows_stacked=conventions.get("rot6d") == "rows"),
            detection_extra=self._column("extra", lambda rows, values: _objects(count, rows, values)),
            meta=meta,
            classes=None if classes is None else tuple(classes),
            box_format=conventions.get("bbox_format", "cxcywh_norm"),
        )

    def _column(self, name: str, build: Callable[[IntArray, list[Any]], Any]) -> Any:
        rows, values = self._optional[name]
        return build(_array(rows, np.int64), values) if values else None

    def _poses(self, count: int, *, rows_stacked: bool) -> Poses | None:
        columns = {}
        for name, shape in _POSE_SHAPES.items():
            rows, values = self._optional[name]
            if values:
                columns[POSE_FIELDS[name]] = _numbers(count, shape, _array(rows, np.int64), values)
        if rows_stacked and "rot6d" in columns:
            with np.errstate(invalid="ignore", divide="ignore"):
                columns["rot6d"] = rot6d_rows_to_columns(columns["rot6d"])
        return Poses(**columns) if columns else None

    def _keypoints(self, count: int) -> tuple[FloatArray | None, IntArray | None]:
        rows, values = self._optional["keypoints"]
        if not values:
            return None, None
        points = [(p.x, p.y, _known(p.score, math.nan), _known(p.v, -1)) for row in values for p in row]
        flat = np.array(points, np.float64).reshape(-1, 4)
        missing = (flat[:, 0] == 0) & (flat[:, 1] == 0) & (flat[:, 3] == 0)
        flat[missing, :3] = np.nan
        lengths = np.array([len(row) for row in values], np.int64)
        at = _slots(_array(rows, np.int64), lengths)
        keypoints = np.full((count, int(lengths.max()), 3), np.nan)
        keypoints[at] = flat[:, :3]
        visibility = np.full(keypoints.shape[:2], -1, np.int64)
        visibility[at] = flat[:, 3].astype(np.int64)
        return keypoints, visibility if (flat[:, 3] >= 0).any() else None


def rle(mask: Mask) -> RLE:
    """A mask of the file as the type that crosses borders."""
    return RLE(mask.size, mask.counts)


def _details(entry: Entry) -> ImageDetails | None:
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


def _known(value: Any, missing: float) -> Any:
    return missing if value is UNSET else value


def _array(values: array[Any], kind: Any) -> Any:
    """The buffer of an ``array`` as numpy sees it, without a copy."""
    return np.frombuffer(values, kind) if len(values) else np.zeros(0, kind)


def _integers(count: int, rows: IntArray, values: list[int]) -> IntArray:
    column = np.full(count, -1, np.int64)
    column[rows] = values
    return column


def _numbers(count: int, shape: tuple[int, ...], rows: IntArray, values: list[Any]) -> FloatArray:
    column = np.full((count, *shape), np.nan)
    column[rows] = values
    return column


def _ragged(count: int, rows: IntArray, values: list[list[float]]) -> FloatArray:
    lengths = np.array([len(row) for row in values], np.int64)
    column = np.full((count, int(lengths.max())), np.nan)
    column[_slots(rows, lengths)] = list(chain.from_iterable(values))
    return column


def _slots(rows: IntArray, lengths: IntArray) -> tuple[IntArray, IntArray]:
    """(row, position) of each item of lists of such lengths, one after the other."""
    starts = np.repeat(np.cumsum(lengths) - lengths, lengths)
    return np.repeat(rows, lengths), np.arange(len(starts)) - starts


def _objects(count: int, rows: IntArray, values: Any) -> tuple[Any, ...]:
    column: list[Any] = [None] * count
    for row, value in zip(rows.tolist(), values, strict=True):
        column[row] = value
    return tuple(column)
