"""Rows of many images, pooled: the base of evaluators that look at single detections."""

from __future__ import annotations

from abc import abstractmethod
from collections.abc import Sequence
from dataclasses import replace
from typing import Any, ClassVar

import numpy as np

from anydet.columns import Columns, concatenate
from anydet.dataclass import dataclass
from anydet.evaluation.partial import JoinedImages, MergeableEvaluator, PartialResult
from anydet.evaluation.results import Measured
from anydet.types import BoolArray, DetectionColumns, FloatArray, GroundTruthColumns, IntArray


@dataclass(frozen=True, slots=True, eq=False)
class ImageRows(Columns):
    """Base of tables whose rows belong to images.

    Attributes:
        image_index: (N,) int64 into the images of the partial result.
    """

    image_index: IntArray


@dataclass(frozen=True, slots=True, eq=False)
class Judged(ImageRows):
    """Detections that count, and whether they are right: (N,) each."""

    class_ids: IntArray
    scores: FloatArray
    right: BoolArray


@dataclass(frozen=True, slots=True, eq=False)
class Wanted(ImageRows):
    """(G,) classes of the annotations that count."""

    class_ids: IntArray


@dataclass(frozen=True, slots=True, eq=False)
class PooledRows(PartialResult):
    """Tables of some images.

    Attributes:
        tables: always the same kinds in the same order.
    """

    tables: tuple[ImageRows, ...]


class PooledEvaluator(MergeableEvaluator[PooledRows]):
    """Base of evaluators that keep some rows of each image and count at the end.

    Rows are put into the order of the images before anything is counted: floating-point sums then have the
    same bits however images were split and in whatever order they came.

    Args:
        classes: the class table of the ground truth.
    """

    name: ClassVar[str]

    @abstractmethod
    def rows(self, detections: DetectionColumns, ground_truth: GroundTruthColumns) -> Sequence[ImageRows]:
        """The tables of some images."""

    @abstractmethod
    def count(self, images: tuple[str, ...], *tables: Any) -> Measured:
        """The result, from the tables of all images."""

    def applies(self, detections: DetectionColumns, ground_truth: GroundTruthColumns) -> str | None:
        """The reason why there is nothing to measure, or ``None``."""
        del detections
        return None if len(ground_truth) else "the images have no annotations"

    def measure(self, detections: DetectionColumns, ground_truth: GroundTruthColumns) -> PooledRows:
        """The tables of some images."""
        tables = tuple(self.rows(detections, ground_truth))
        return PooledRows(ground_truth.images, ground_truth.image_ids, tables)

    def join(self, partials: Sequence[PooledRows], images: JoinedImages) -> PooledRows:
        """The tables of all images, in the images' order."""
        kinds = zip(*(partial.tables for partial in partials), strict=True)
        tables = tuple(_sorted_by_image(tables, images.places) for tables in kinds)
        return PooledRows(images.keys, images.ids, tables)

    def result(self) -> Measured:
        """The numbers; calling it twice gives the same.

        Raises ``EvaluationError`` where no image was added, or one twice.
        """
        joint = self.joint()
        return self.count(joint.images, *joint.tables)


def _sorted_by_image(tables: Sequence[ImageRows], places: Sequence[IntArray]) -> ImageRows:
    rows = concatenate(
        [replace(table, image_index=at[table.image_index]) for table, at in zip(tables, places, strict=True)]
    )
    return rows.take(np.argsort(rows.image_index, kind="stable"))
