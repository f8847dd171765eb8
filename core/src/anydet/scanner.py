"""What a compiled scanner gives: the columns of a JSON file, without an object per detection.

An engine may bring one (``Engine.scanner``). It reads what it knows, exactly, and stops at the first thing
that breaks a rule or that it does not know; the file is then read the slow way, which explains it or reads it
after all.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any, Literal, Protocol

import numpy as np

from anydet.dataclass import dataclass
from anydet.mask_columns import MaskColumn
from anydet.types import BoolArray, ByteImage, FloatArray, IntArray

COCO_RESULTS = "a COCO result"
"""Reason of a stop: the file is no predictions file, but COCO results."""


@dataclass(frozen=True, slots=True)
class Stop:
    """Where a scanner gave up.

    Attributes:
        offset: of the byte in the file.
        reason: what is wrong with it.
        image: key or id of the image there, "" where it is not known yet.
        field: the key whose value it is, "" where there is none.
        unusual: whether the slow path may well find it right. It forgives COCO's files some that is not.
    """

    offset: int
    reason: str
    image: str = ""
    field: str = ""
    unusual: bool = True

    def locate(self, lines: Sequence[str]) -> tuple[str, ...]:
        """The lines, of which the first that is about this image and field names the byte, too."""
        if self.unusual or not self.field:
            return tuple(lines)
        image = f" (image {self.image})"
        for i, line in enumerate(lines):
            if self.field in line and (line.endswith(image) or "(image " not in line):
                start = line.removesuffix(image)
                where = (
                    f"byte {self.offset + 1}"
                    if start == line
                    else f"image {self.image}, byte {self.offset + 1}"
                )
                return (*lines[:i], f"{start} ({where})", *lines[i + 1 :])
        return tuple(lines)


@dataclass(frozen=True, slots=True, eq=False)
class Sparse:
    """Values of the rows that have one: (K,) int64 ``rows``, ascending, and (K,) or (K, W) ``values``."""

    rows: IntArray
    values: FloatArray | IntArray

    def __bool__(self) -> bool:
        return len(self.rows) > 0

    def over(self, count: int) -> Any:
        """(count,) or (count, W) with NaN, or -1 for integers, in the other rows."""
        # Rows ascend: as many as there are in all are all of them, in order.
        if len(self.rows) == count:
            return self.values
        column = np.full((count, *self.values.shape[1:]), _blank(self.values), self.values.dtype)
        column[self.rows] = self.values
        return column


@dataclass(frozen=True, slots=True, eq=False)
class Ragged:
    """Lists of the rows that have one.

    Attributes:
        rows: (K,) int64, ascending.
        ends: (K,) int64; list k ends there in ``values`` and starts where the one before it ends.
        values: of all lists.
    """

    rows: IntArray
    ends: IntArray
    values: FloatArray | IntArray

    def __bool__(self) -> bool:
        return len(self.rows) > 0

    def over(self, count: int) -> Any:
        """(count, longest) or (count, longest, W) with NaN, or -1 for integers, where there is no value."""
        lengths = np.diff(self.ends, prepend=0)
        shape = (count, int(lengths.max(initial=0)), *self.values.shape[1:])
        # As many values as cells: every row has a list, and all are equally long.
        if len(self.values) == shape[0] * shape[1]:
            return self.values.reshape(shape)
        column = np.full(shape, _blank(self.values), self.values.dtype)
        places = np.arange(len(self.values)) - np.repeat(self.ends - lengths, lengths)
        column[np.repeat(self.rows, lengths), places] = self.values
        return column


@dataclass(frozen=True, slots=True, eq=False)
class RawTexts:
    """JSON text of the rows that have one; as ``Ragged``, with (B,) uint8 UTF-8 in ``text``."""

    rows: IntArray
    ends: IntArray
    text: ByteImage

    def items(self) -> list[tuple[int, bytes]]:
        """(row, JSON text) of each."""
        whole, start, found = self.text.tobytes(), 0, []
        for row, end in zip(self.rows.tolist(), self.ends.tolist(), strict=True):
            found.append((row, whole[start:end]))
            start = end
        return found


def _blank(values: FloatArray | IntArray) -> float:
    return np.nan if values.dtype.kind == "f" else -1


@dataclass(frozen=True, slots=True, eq=False)
class ScannedPredictions:
    """A predictions file by the contract, I images and N detections, in the order of the file.

    Attributes:
        shape: which of the contract's shapes it has.
        meta: JSON text of ``meta``, empty where there is none; not judged.
        images: (I) keys, which may not be unique.
        places: (I,) number of each entry: a line in JSON Lines, else a position.
        counts: (I,) detections of each image.
        sizes_wh: (I, 2) int64, -1 where unknown.
        class_ids, scores, boxes: (N,), (N,) and (N, 4), as written.
        states: of detections.
        state_scores: lists of scores.
        keypoints: lists of x, y, score (NaN where unknown), v (-1 where unknown), ``values`` (P, 4).
        masks: one a detection, or ``None``; not looked into.
        poses: by the field's name in the file, ``values`` (K, W) in the order of the file.
        extra: free data of detections.
        about: by the field's name, what entries say beside detections and size.
    """

    shape: Literal["list", "wrapped", "map", "jsonl"]
    meta: bytes
    images: tuple[str, ...]
    places: IntArray
    counts: IntArray
    sizes_wh: IntArray
    class_ids: IntArray
    scores: FloatArray
    boxes: FloatArray
    states: Sparse
    state_scores: Ragged
    keypoints: Ragged
    masks: MaskColumn | None
    poses: Mapping[str, Sparse]
    extra: RawTexts
    about: Mapping[str, RawTexts]


@dataclass(frozen=True, slots=True, eq=False)
class ScannedResults:
    """COCO results, N rows in the order of the file.

    Attributes:
        image_ids, category_ids: (N,) int64 as written.
        scores: (N,).
        boxes: (N, 4) x, y, width, height, NaN where a result has none.
        masks: one a result, or ``None``; not looked into.
        keypoints: flat lists of x, y, score.
    """

    image_ids: IntArray
    category_ids: IntArray
    scores: FloatArray
    boxes: FloatArray
    masks: MaskColumn | None
    keypoints: Ragged


@dataclass(frozen=True, slots=True, eq=False)
class ScannedAnnotations:
    """A COCO annotations file: I images, N annotations, C categories, in the order of the file.

    Attributes:
        keys: (I) ``file_name``, unix slashes.
        image_ids, sizes_wh: (I,) and (I, 2) int64, -1 where the file states no size.
        negative, not_exhaustive: category ids of images (LVIS).
        category_ids, names: (C,) of categories.
        frequencies: (C) LVIS's r, c or f, "" where a category has none.
        annotation_ids: (N,) int64, or ``None`` where none has one.
        annotation_images, annotation_categories: (N,) int64 ids as written.
        boxes, areas, iscrowd: (N, 4), (N,) and (N,); areas are the file's own, NaN where it has none.
        states: of annotations.
        keypoints: flat lists of x, y, visibility.
        masks: one an annotation, or ``None``; whole.
        rings: rings of polygons: lists of where each ring ends in ``points``.
        points: x1, y1, x2, y2, ... of all rings.
    """

    keys: tuple[str, ...]
    image_ids: IntArray
    sizes_wh: IntArray
    negative: Ragged
    not_exhaustive: Ragged
    category_ids: IntArray
    names: tuple[str, ...]
    frequencies: tuple[str, ...]
    annotation_ids: IntArray | None
    annotation_images: IntArray
    annotation_categories: IntArray
    boxes: FloatArray
    areas: FloatArray
    iscrowd: BoolArray
    states: Sparse
    keypoints: Ragged
    masks: MaskColumn | None
    rings: Ragged
    points: FloatArray


@dataclass(frozen=True, slots=True, eq=False)
class MaskFacts:
    """What run-length codes decode to, a row each.

    Attributes:
        whole: (N,) whether the runs add up to the mask's size; also true where there is no mask.
        areas: (N,) pixels inside; 0 where there is no whole mask.
        boxes: (N, 4) x, y, width, height around them; 0 likewise.
    """

    whole: BoolArray
    areas: FloatArray
    boxes: FloatArray


class Scanner(Protocol):
    """Reads JSON files into columns. What it accepts, the slow path accepts, with the same bits."""

    def predictions(self, path: Path) -> ScannedPredictions | Stop:
        """A list, an object that wraps one, a legacy map, or (by the file's suffix) JSON Lines."""

    def coco_results(self, path: Path) -> ScannedResults | Stop:
        """A COCO results file."""

    def annotations(self, path: Path) -> ScannedAnnotations | Stop:
        """A COCO annotations file."""

    def masks(self, masks: MaskColumn) -> MaskFacts:
        """Look into masks."""

    def ahead(self, predictions: Path, annotations: Path | None = None) -> Scanner:
        """A scanner that begins to read these files now, and gives what it found when they are read."""
