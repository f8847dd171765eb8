"""YOLO label files: one object a line, coordinates divided by the image's width and height."""

from __future__ import annotations

import math
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path

import numpy as np

from anydet.data.dataset.columns import boxes_only, no_labels
from anydet.data.dataset.oddities import Found, Kind
from anydet.errors import DatasetError
from anydet.types import FloatArray, IntArray, Labels, Polygons, Size

TOLERANCE = 1e-3
"""How far coordinates may leave [0, 1], as writers round."""

# A data set without names gets one for each id up to the highest, so a misplaced number must not be an id.
MAX_CLASSES = 1_000_000


@dataclass(frozen=True, slots=True)
class LabelGrammar:
    """What lines may look like.

    Attributes:
        classes: number of classes, or ``None`` where the data set has no names.
        keypoint_shape: (K, 2) or (K, 3) of pose labels, or ``None`` for boxes and polygons.
    """

    classes: int | None = None
    keypoint_shape: tuple[int, int] | None = None


@dataclass(frozen=True, slots=True, eq=False)
class LabelLines:
    """The objects of one file, coordinates divided by the image's width and height.

    Attributes:
        class_ids: (N,) int64.
        boxes_xywh_norm: (N, 4) float64.
        polygons: x1, y1, x2, y2, ... or ``None`` a row.
        keypoints_norm: (N, K, 3) x, y and visibility, NaN in rows without; ``None`` without pose labels.
        lines: number of lines that are not blank, N and those that were left out.
        kept: (N,) int64 which of those lines the rows are.
    """

    class_ids: IntArray
    boxes_xywh_norm: FloatArray
    polygons: tuple[tuple[float, ...] | None, ...]
    keypoints_norm: FloatArray | None
    lines: int
    kept: IntArray

    def __len__(self) -> int:
        return len(self.class_ids)

    def in_pixels(self, size_wh: Size) -> Labels:
        """The same objects in pixels of an image of that size; nothing is clipped."""
        if not len(self):
            return no_labels()
        width, height = map(float, size_wh)
        points = self.keypoints_norm
        rings = any(polygon is not None for polygon in self.polygons)
        return boxes_only(
            self.class_ids,
            self.boxes_xywh_norm * np.array([width, height, width, height]),
            keypoints=None if points is None else points * np.array([width, height, 1.0]),
            segmentations=tuple(_scaled(p, width, height) for p in self.polygons) if rings else None,
        )


_NO_LABEL = Kind(
    "malformed label lines",
    "label lines that are no numbers or too many or too few",
    "left out",
    "",
    fix="correct the lines: class cx cy w h, or class x1 y1 x2 y2 x3 y3 ...",
)
_OUTSIDE = Kind(
    "labels outside",
    "label lines with coordinates outside of 0 to 1",
    "read as they are",
    "",
    fix="clip them to the image, or divide pixels by its size",
)
_EMPTY = Kind(
    "labels without area",
    "label lines whose box or polygon has no area",
    "they count as missed, as pycocotools counts boxes without area",
    "",
    fix="remove them or write their true size",
)
_SEEN = Kind(
    "odd visibilities",
    "label lines with a visibility other than 0, 1 or 2",
    "above 0 is visible and below is not labeled, as in pycocotools",
    "",
    fix="write 0, 1 or 2",
)


class _MalformedError(Exception):
    """What is wrong with a line, and what to do; the caller knows where."""

    def __init__(self, what: str, fix: str, *, refused: bool = False) -> None:
        super().__init__(what)
        self.what = what
        self.fix = fix
        self.refused = refused


class _Judge:
    """What happens to a label that can be read and is odd: refused, or counted where ``found`` is given."""

    def __init__(self, found: Found | None) -> None:
        self.found = found
        self.odd: dict[Kind, str] = {}

    def doubt(self, kind: Kind, what: str, fix: str) -> None:
        if self.found is None:
            raise _MalformedError(what, fix)
        self.odd.setdefault(kind, what)

    def settle(self, where: str) -> None:
        """Count what one line has, each kind once."""
        if self.found is not None:
            for kind, what in self.odd.items():
                self.found.add(kind, f"{where}: {what}")
        self.odd = {}


def parse_labels(text: str, path: Path, grammar: LabelGrammar, found: Found | None = None) -> LabelLines:
    """Parse a label file.

    Args:
        text: its content.
        path: for messages.
        grammar: what lines may look like.
        found: counts odd lines, which are read as their kind says; without it the first one is refused.

    Raises:
        DatasetError: with file and line; a class that is none is never read.
    """
    judge = _Judge(found)
    class_ids: list[int] = []
    kept: list[int] = []
    objects = 0
    boxes: list[tuple[float, float, float, float]] = []
    polygons: list[tuple[float, ...] | None] = []
    points: list[Sequence[float] | None] = []
    for number, line in enumerate(text.splitlines(), 1):
        words = line.split()
        if not words:
            continue
        objects += 1
        try:
            class_id, values = _numbers(words, grammar.classes)
            box, polygon, keypoints = _shape(values, grammar.keypoint_shape, judge)
        except _MalformedError as exc:
            if found is None or exc.refused:
                raise DatasetError(f"{path}:{number}: {exc.what}", fix=exc.fix) from None
            found.add(_NO_LABEL, f"{path}:{number}: {exc.what}")
            continue
        judge.settle(f"{path}:{number}")
        kept.append(objects - 1)
        class_ids.append(class_id)
        boxes.append(box)
        polygons.append(polygon)
        points.append(keypoints)
    return LabelLines(
        np.array(class_ids, np.int64),
        np.array(boxes, np.float64).reshape(-1, 4),
        tuple(polygons),
        _keypoints(points, grammar.keypoint_shape),
        objects,
        np.array(kept, np.int64),
    )


def _numbers(words: list[str], classes: int | None) -> tuple[int, list[float]]:
    """Class id and coordinates of one line."""
    values = [_number(word) for word in words]
    class_id = int(values[0])
    if class_id != values[0] or not 0 <= class_id < MAX_CLASSES:
        raise _MalformedError(
            f"class {words[0]} is not an integer in 0..{MAX_CLASSES - 1}",
            "number the classes from 0",
            refused=True,
        )
    if classes is not None and class_id >= classes:
        raise _MalformedError(
            f"class {class_id}, but the data set names {classes} classes (0..{classes - 1})",
            "add its name or correct the label",
            refused=True,
        )
    return class_id, values[1:]


def _number(word: str) -> float:
    try:
        value = float(word) if "_" not in word else math.nan  # Python's float takes 1_000
    except ValueError:
        value = math.nan
    if not math.isfinite(value):
        raise _MalformedError(f"{word!r} is not a finite number", "lines are: class cx cy w h")
    return value


_Shape = tuple[tuple[float, float, float, float], tuple[float, ...] | None, list[float] | None]


def _shape(values: list[float], keypoint_shape: tuple[int, int] | None, judge: _Judge) -> _Shape:
    """Box, polygon and keypoints of one line."""
    count = len(values)
    if count == 4:
        return _box(values, judge), None, None
    if keypoint_shape is not None:
        expected = 4 + keypoint_shape[0] * keypoint_shape[1]
        if count != expected:
            raise _MalformedError(
                f"{count + 1} numbers, expected 5 or, with kpt_shape {list(keypoint_shape)}, {expected + 1}",
                "correct the line or kpt_shape",
            )
        points = _check_points(values[4:], keypoint_shape[1], judge)
        return _box(values[:4], judge), None, points
    if count < 6 or count % 2:
        raise _MalformedError(
            f"{count + 1} numbers, expected 5 (class cx cy w h) or a polygon of at least 3 points "
            "(class x1 y1 x2 y2 x3 y3 ...)",
            "correct the line, or set kpt_shape in data.yaml for pose labels",
        )
    return _bounds(values, judge), tuple(values), None


def _box(values: list[float], judge: _Judge) -> tuple[float, float, float, float]:
    cx, cy, w, h = values
    if not (-TOLERANCE <= cx <= 1 + TOLERANCE and -TOLERANCE <= cy <= 1 + TOLERANCE):
        judge.doubt(
            _OUTSIDE, f"center ({cx:g}, {cy:g}) is outside [0, 1]", "divide pixels by the image's size"
        )
    if w <= 0 or h <= 0:
        judge.doubt(_EMPTY, f"size {w:g} x {h:g} is not positive", "remove the line or write its true size")
    if w > 1 + TOLERANCE or h > 1 + TOLERANCE:
        judge.doubt(_OUTSIDE, f"size {w:g} x {h:g} is above 1", "divide pixels by the image's size")
    return cx - w / 2, cy - h / 2, w, h


def _check_points(flat: list[float], dims: int, judge: _Judge) -> list[float]:
    """Points that are seen or hidden must be in the image; COCO's visibility is 0, 1 or 2."""
    points = list(flat)
    for at in range(0, len(flat), dims):
        x, y, visibility = flat[at], flat[at + 1], flat[at + 2] if dims == 3 else 2.0
        if visibility not in {0.0, 1.0, 2.0}:
            judge.doubt(_SEEN, f"keypoint visibility {visibility:g}", "write 0, 1 or 2")
            visibility = points[at + 2] = 2.0 if visibility > 0 else 0.0
        missing = visibility == 0 or (dims == 2 and (x < 0 or y < 0))
        if not missing and not (-TOLERANCE <= x <= 1 + TOLERANCE and -TOLERANCE <= y <= 1 + TOLERANCE):
            judge.doubt(
                _OUTSIDE, f"keypoint ({x:g}, {y:g}) is outside [0, 1]", "divide pixels by the image's size"
            )
    return points


def _bounds(ring: list[float], judge: _Judge) -> tuple[float, float, float, float]:
    low, high = min(ring), max(ring)
    if low < -TOLERANCE or high > 1 + TOLERANCE:
        worst = low if low < -TOLERANCE else high
        judge.doubt(
            _OUTSIDE, f"polygon coordinate {worst:g} is outside [0, 1]", "divide pixels by the image's size"
        )
    x, y = min(ring[0::2]), min(ring[1::2])
    w, h = max(ring[0::2]) - x, max(ring[1::2]) - y
    if w <= 0 or h <= 0:
        judge.doubt(_EMPTY, "polygon without area", "remove the line")
    return x, y, w, h


def _keypoints(rows: list[Sequence[float] | None], shape: tuple[int, int] | None) -> FloatArray | None:
    """(N, K, 3) from flat rows; points of two numbers are visible unless one is negative (Ultralytics)."""
    if shape is None:
        return None
    points = np.full((len(rows), shape[0], 3), np.nan)
    for row, flat in enumerate(rows):
        if flat is None:
            continue
        given = np.array(flat, np.float64).reshape(shape)
        points[row, :, :2] = given[:, :2]
        points[row, :, 2] = given[:, 2] if shape[1] == 3 else np.where((given >= 0).all(axis=1), 2.0, 0.0)
    hidden = points[..., 2] == 0
    points[hidden] = 0.0  # as COCO writes unlabeled keypoints
    return points


def _scaled(polygon: tuple[float, ...] | None, width: float, height: float) -> Polygons | None:
    if polygon is None:
        return None
    return (tuple(v * (height if i % 2 else width) for i, v in enumerate(polygon)),)
