"""Rows of many images, collected in parts: the base of evaluators that look at single detections."""

from __future__ import annotations

from abc import ABC, abstractmethod
from collections.abc import Sequence
from dataclasses import dataclass, replace
from itertools import chain
from typing import TYPE_CHECKING, Any, ClassVar

import numpy as np

from anydet.columns import Columns, concatenate
from anydet.errors import EvaluationError
from anydet.evaluation import compatibility
from anydet.evaluation.partial import place_images
from anydet.evaluation.results import Measured
from anydet.types import ClassTable, DetectionColumns, GroundTruthColumns, IntArray

if TYPE_CHECKING:
    from typing_extensions import Self


@dataclass(frozen=True, slots=True, eq=False)
class ImageRows(Columns):
    """Base of tables whose rows belong to images.

    Attributes:
        image_index: (N,) int64 into the images of the part.
    """

    image_index: IntArray


@dataclass(frozen=True, slots=True, eq=False)
class _Part:
    images: tuple[str, ...]
    image_ids: IntArray | None
    tables: tuple[ImageRows, ...]


class PooledEvaluator(ABC):
    """Base of evaluators that remember some rows of each image and count at the end.

    Rows are put into the order of the images (by the source's ids, else by key) before anything is counted,
    so that the result is the same in every bit however images were split and in whatever order they came.

    Args:
        classes: the class table of the ground truth.
    """

    name: ClassVar[str]

    def __init__(self, classes: ClassTable) -> None:
        self.classes = classes
        self._parts: list[_Part] = []

    @abstractmethod
    def measure(self, detections: DetectionColumns, ground_truth: GroundTruthColumns) -> Sequence[ImageRows]:
        """What is remembered of these images: always the same tables, in the same order."""

    @abstractmethod
    def count(self, images: tuple[str, ...], *tables: Any) -> Measured:
        """The result, from the tables of all images."""

    def applies(self, detections: DetectionColumns, ground_truth: GroundTruthColumns) -> str | None:
        """The reason why there is nothing to measure, or ``None``."""
        del detections
        return None if len(ground_truth) else "the images have no annotations"

    def reset(self) -> None:
        """Forget everything added."""
        self._parts.clear()

    def add(self, detections: DetectionColumns, ground_truth: GroundTruthColumns) -> None:
        """Add images; raises ``EvaluationError`` where the two sides do not share images and classes."""
        if ground_truth.classes != self.classes:
            raise EvaluationError(
                f"ground truth of {len(ground_truth.classes)} classes added to an evaluator of "
                f"{len(self.classes)} others",
                fix="build the evaluator with the class table of the ground truth",
            )
        compatibility.check_tables(detections, ground_truth)
        tables = tuple(self.measure(detections, ground_truth))
        self._parts.append(_Part(ground_truth.images, ground_truth.image_ids, tables))

    def merge(self, other: Self) -> None:
        """Add what another evaluator of the same kind has seen, on other images."""
        if (type(other), other.classes) != (type(self), self.classes):
            raise EvaluationError("evaluators of other classes cannot be merged", fix="build both alike")
        self._parts.extend(other._parts)

    def result(self) -> Measured:
        """The numbers; calling it twice gives the same.

        Raises ``EvaluationError`` where no image was added.
        """
        if not self._parts:
            raise EvaluationError("nothing to evaluate: no image was added", fix="add images first")
        self._parts = [_join(self._parts)]
        return self.count(self._parts[0].images, *self._parts[0].tables)


def _join(parts: Sequence[_Part]) -> _Part:
    images = tuple(chain.from_iterable(part.images for part in parts))
    order, places = place_images(images, [part.image_ids for part in parts], [len(p.images) for p in parts])
    ids = [part.image_ids for part in parts if part.image_ids is not None]
    columns = zip(*(part.tables for part in parts), strict=True)
    return _Part(
        tuple(images[i] for i in order.tolist()),
        np.concatenate(ids)[order] if len(ids) == len(parts) else None,
        tuple(_sorted_by_image(tables, places) for tables in columns),
    )


def _sorted_by_image(tables: Sequence[ImageRows], places: Sequence[IntArray]) -> ImageRows:
    rows = concatenate(
        [replace(table, image_index=at[table.image_index]) for table, at in zip(tables, places, strict=True)]
    )
    return rows.take(np.argsort(rows.image_index, kind="stable"))
