"""Evaluators that see a data set a few images at a time: partial results are kept, merged and joined."""

from __future__ import annotations

from abc import ABC, abstractmethod
from collections import Counter
from collections.abc import Hashable, Sequence
from dataclasses import field
from itertools import chain
from typing import ClassVar, Generic, TypeVar

import numpy as np

from anydet.dataclass import dataclass
from anydet.errors import EvaluationError
from anydet.evaluation import compatibility
from anydet.types import ClassTable, DetectionColumns, GroundTruthColumns, IntArray


@dataclass(frozen=True, slots=True, eq=False)
class PartialResult:
    """What an evaluator keeps of some of the images; each evaluator adds fields of its own.

    Attributes:
        images: their keys.
        image_ids: their ids in the source, or ``None``.
    """

    images: tuple[str, ...]
    image_ids: IntArray | None


@dataclass(frozen=True, slots=True, eq=False)
class JoinedImages:
    """The images of several partial results in an order that does not depend on how they were split.

    Attributes:
        keys: of all images.
        ids: (I,) their ids in the source where all partial results have them, else ``None``.
        places: for each partial result, the positions of its images in ``keys``.
    """

    keys: tuple[str, ...]
    ids: IntArray | None
    places: list[IntArray]


PartialT = TypeVar("PartialT", bound=PartialResult)


@dataclass(eq=False)
class MergeableEvaluator(ABC, Generic[PartialT]):
    """Base of evaluators that keep a partial result of each ``add`` and join them once for the numbers.

    The numbers are the same in every bit however the images were split, and in whatever order they came.

    Attributes:
        classes: the class table of the ground truth.
    """

    most_partials: ClassVar[int | None] = None
    """Partial results kept before they are joined, ``None`` for any number.

    Rows of detections are joined once, at the end: their size is that of the data, and joining them again
    and again would take quadratic time. Sums are of one size however few images they count, so that
    thousands of them, an image each, would fill memory.
    """
    open_classes: ClassVar[bool] = False
    """Whether class ids beyond the table are counted, too, so that class tables need not be equal."""
    classes: ClassTable
    _partials: list[PartialT] = field(default_factory=list, init=False, repr=False)
    _joined: bool = field(default=False, init=False, repr=False)

    @abstractmethod
    def measure(self, detections: DetectionColumns, ground_truth: GroundTruthColumns) -> PartialT:
        """The partial result of some images; both arguments have the same images and class ids."""

    @abstractmethod
    def join(self, partials: Sequence[PartialT], images: JoinedImages) -> PartialT:
        """One partial result of all images."""

    @property
    def settings_key(self) -> Hashable:
        """What must be equal in evaluators that are merged."""
        return None if self.open_classes else self.classes

    def reset(self) -> None:
        """Forget everything added."""
        self._partials.clear()

    def add(self, detections: DetectionColumns, ground_truth: GroundTruthColumns) -> None:
        """Add images. Both arguments have one ``images`` table and the class ids of ``ground_truth``.

        Raises ``EvaluationError`` where they do not, or where they lack what is measured.
        """
        # Classes first: with another table the ids, which are checked next, mean other classes anyway.
        if not self.open_classes:
            compatibility.check_classes(ground_truth, self.classes)
        compatibility.check_tables(detections, ground_truth)
        self._partials.append(self.measure(detections, ground_truth))
        self._joined = False
        if self.most_partials is not None and len(self._partials) >= self.most_partials:
            self.joint()

    def merge(self, other: MergeableEvaluator[PartialT]) -> None:
        """Add what another evaluator of the same kind has seen, on other images."""
        if (type(other), other.settings_key) != (type(self), self.settings_key):
            raise EvaluationError(
                "evaluators of different classes or settings cannot be merged",
                fix="build all of them with the same arguments",
            )
        self._partials.extend(other._partials)
        self._joined = False

    def joint(self) -> PartialT:
        """The partial result of all images seen.

        Images are in the order of the source's ids where all have them, as pycocotools orders them, else of
        their keys. Raises ``EvaluationError`` where there is no image, or one that was added twice.
        """
        if not self._partials:
            raise EvaluationError("nothing to evaluate: no image was added", fix="add images first")
        if not self._joined:
            self._partials = [self.join(self._partials, join_images(self._partials))]
            self._joined = True
        return self._partials[0]


def join_images(partials: Sequence[PartialResult]) -> JoinedImages:
    """The images of all partial results; raises ``EvaluationError`` for one that was added twice."""
    images = tuple(chain.from_iterable(partial.images for partial in partials))
    _refuse_duplicates(images)
    known = [partial.image_ids for partial in partials if partial.image_ids is not None]
    ids = np.concatenate(known) if len(known) == len(partials) else None
    order = _by_key(images) if ids is None else np.argsort(ids, kind="stable")
    place = np.empty(len(images), np.int64)
    place[order] = np.arange(len(images))
    borders = np.cumsum([len(partial.images) for partial in partials])[:-1]
    keys = images if (np.diff(order) > 0).all() else tuple(images[i] for i in order.tolist())
    return JoinedImages(keys, None if ids is None else ids[order], np.split(place, borders))


def _by_key(images: Sequence[str]) -> IntArray:
    return np.array(sorted(range(len(images)), key=images.__getitem__), np.int64)


def _refuse_duplicates(images: Sequence[str]) -> None:
    """Raise ``EvaluationError`` where an image was added twice."""
    if len(set(images)) == len(images):
        return
    counts = Counter(images)
    twice = [image for image, count in counts.items() if count > 1]
    raise EvaluationError(
        f"image {twice[0]!r} was added {counts[twice[0]]} times ({len(twice)} such images)",
        fix="add every image once; evaluators that are merged must not have seen the same images",
    )
