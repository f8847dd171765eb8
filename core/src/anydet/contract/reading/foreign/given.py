"""What a reader of a foreign file gets, and what it gives: results of images in the file's own units."""

from __future__ import annotations

import math
import re
from collections.abc import Callable, Mapping, Sequence
from dataclasses import field
from functools import cached_property
from io import StringIO
from pathlib import Path
from typing import Any

import numpy as np

from anydet.contract.join import KeyIndex
from anydet.contract.reading.encoding import text_of
from anydet.contract.violations import EXPLAINED
from anydet.dataclass import dataclass
from anydet.errors import ContractError, did_you_mean
from anydet.ids import is_twin
from anydet.text import listed, quoted, safe_line
from anydet.types import RLE, FloatArray, GroundTruthColumns, IntArray, Poses, Size

_HINTS = 5
"""Unknown images that are compared with the known ones."""
Ref = str | int
"""How a file names an image: a path, a file name, its stem, or the id of a COCO data set."""


class FileName(str):
    """The name of an image's file, perhaps without its ending: a number in it is never an image id."""

    __slots__ = ()


@dataclass(frozen=True, slots=True, eq=False)
class Found:
    """The detections that a file has of one image.

    Attributes:
        image: how the file names it.
        where: its place in the file.
        boxes: (N, 4) in the file's box format.
        scores: (N,) numbers as written.
        labels: (N) class ids, category ids or names of classes, as the format has it.
        rows: (N) places of the detections in the file; by default positions behind ``where``.
        size_wh: (width, height) in pixels, where the file says.
        masks, keypoints, poses, extra: as in ``RawPredictions``, keypoints in pixels.
    """

    image: Ref
    where: str
    boxes: FloatArray
    scores: FloatArray
    labels: Sequence[str | int]
    rows: Sequence[str] | None = None
    size_wh: Size | None = None
    masks: Sequence[RLE | None] | None = None
    keypoints: FloatArray | None = None
    poses: Poses | None = None
    extra: Sequence[Mapping[str, Any] | None] | None = None

    def row(self, at: int) -> str:
        """Place of a detection."""
        return self.rows[at] if self.rows is not None else f"{self.where}[{at}]"


@dataclass(slots=True, eq=False)
class Given:
    """A file, the data set that it is read beside, and what was found wrong with the file.

    Attributes:
        path: the file or folder; in messages its name.
        value: of JSON: the decoded value.
        truth: the data set, or ``None``.
        problems: what is wrong, with its place; what it is wrong with is left out.
        notes: what was assumed.
        class_map: how numbers of classes count, where the user says so (``class_map``).
        repairing: whether a repair reads it: scores may be any finite number, text in any encoding.
        oddities: as in ``RawPredictions``.
    """

    path: Path
    value: Any = None
    truth: GroundTruthColumns | None = None
    problems: list[str] = field(default_factory=list)
    notes: list[str] = field(default_factory=list)
    class_map: str | None = None
    repairing: bool = False
    oddities: list[str] = field(default_factory=list)
    images: Images = field(init=False)
    _unexplained: int = 0

    def __post_init__(self) -> None:
        self.images = Images(self.truth)

    def blame(self, where: str, text: str) -> None:
        """Note what is wrong; after ``EXPLAINED`` findings they are only counted."""
        if len(self.problems) < EXPLAINED:
            self.problems.append(safe_line(f"{self.path}: {where}: {text}"))
        else:
            self._unexplained += 1

    def open_text(self, file: Path) -> StringIO:
        """A text file, whose line ends are kept; raises ``ContractError`` and ``OSError`` as ``text_of``."""
        text, problem = text_of(file, recode=self.repairing)
        if problem:
            place = "" if file == self.path else f"{file.name}: "
            self.oddities.append(f"{place}written as UTF-8: {problem}")
        return StringIO(text, newline="")

    def all_problems(self) -> tuple[str, ...]:
        """Every finding, with the number of those that were not explained."""
        more = self._unexplained
        return (*self.problems, *([f"{self.path}: {more} more findings"] if more else ()))

    def size_wh(self, image: Ref) -> Size | None:
        """(width, height) of an image as the data set states it."""
        at = None if self.truth is None else self.images.find(image)[0]
        if at is None or self.truth is None:
            return None
        width, height = self.truth.sizes_wh[at].tolist()
        return (width, height) if min(width, height) > 0 else None

    def need_truth(self, why: str) -> GroundTruthColumns:
        """The data set; raises ``ContractError`` where there is none."""
        if self.truth is None:
            raise ContractError(f"{self.path}: {why}", fix="give the data set that the predictions are of")
        return self.truth


class Images:
    """Finds the images of a data set by what files call them."""

    def __init__(self, truth: GroundTruthColumns | None) -> None:
        self._truth = truth
        self._seen: dict[tuple[type, Ref], tuple[int | None, str]] = {}
        self._unknown = 0

    def find(self, image: Ref) -> tuple[int | None, str]:
        """Position in the data set, and why there is none.

        A name is a key, else its end, else a stem (``0001`` for ``val/0001.jpg``), else an image id.
        """
        sought = type(image), image
        if sought not in self._seen:
            self._seen[sought] = self._find(image)
        return self._seen[sought]

    def _find(self, image: Ref) -> tuple[int | None, str]:
        assert self._truth is not None
        known, name = self._truth.images, str(image)
        base = _base(name)
        stems = (self._stems.get(stem) for stem in (name, base, _stem(base)))
        found = list(self._index.find(name)) or next(filter(None, stems), [])
        by_id = None if isinstance(image, FileName) else self._ids.get(_whole(name))
        if by_id is not None and by_id not in found:
            found = [*found, by_id]
        if len(found) == 1:
            return found[0], ""
        if found:
            names = [known[i] for i in found[:5]]
            return None, f"image {quoted(name)} may be any of {listed(names)} ({len(found)} images)"
        self._unknown += 1
        close = did_you_mean(name, known) if self._unknown <= _HINTS else ""
        return None, f"image {quoted(name)} is not in the data set{close}"

    @cached_property
    def _index(self) -> KeyIndex:
        assert self._truth is not None
        return KeyIndex(self._truth.images)

    @cached_property
    def _stems(self) -> dict[str, list[int]]:
        assert self._truth is not None
        stems: dict[str, list[int]] = {}
        for i, key in enumerate(self._truth.images):
            if is_twin(key):
                continue
            whole = key.rpartition(".")[0] or key
            for stem in {whole, _base(whole)}:
                stems.setdefault(stem, []).append(i)
        return stems

    @cached_property
    def _ids(self) -> dict[int, int]:
        ids = None if self._truth is None else self._truth.image_ids
        return {} if ids is None else {image: i for i, image in enumerate(ids.tolist())}


def _base(name: str) -> str:
    return name.replace("\\", "/").rpartition("/")[2]


def _stem(base: str) -> str:
    return base.rpartition(".")[0] or base


def _whole(text: str) -> int:
    """The id that a text is: "7", and not "007", which is a name."""
    return int(text) if re.fullmatch(r"0|[1-9][0-9]{0,17}", text) else -1


def finite(value: Any) -> float | None:
    """A number of JSON that is one, or ``None``."""
    good = isinstance(value, int | float) and not isinstance(value, bool)
    try:
        return float(value) if good and math.isfinite(value) else None
    except OverflowError:
        return None


def numbers(values: Any, shape: tuple[int, ...] = ()) -> FloatArray | None:
    """(N, *shape) numbers, ``None`` where they are none; NaN and infinity are let through."""
    try:
        array = np.asarray(values)
        if array.dtype.kind not in "fiu":
            if array.size:
                return None
            array = array.astype(np.float64)
        if array.ndim == 1 and not len(array):
            return np.zeros((0, *shape))
        array = array.astype(np.float64, copy=False)
    except (TypeError, ValueError, OverflowError):
        return None
    return array if array.ndim == 1 + len(shape) and array.shape[1:] == shape else None


def whole_numbers(values: Sequence[Any]) -> IntArray | None:
    """(N,) whole numbers from 0, ``None`` where one is none."""
    found = numbers(list(values))
    if found is None or (found != np.floor(found)).any() or (found < 0).any() or (found > 2**31 - 1).any():
        return None
    return found.astype(np.int64)


Reader = Callable[[Given], Any]
