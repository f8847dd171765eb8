"""Semantic segmentation: which class each pixel shows."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import TYPE_CHECKING

import numpy as np

from anydet.errors import EvaluationError
from anydet.evaluation import fit
from anydet.evaluation.confusion import Confusion, mean
from anydet.evaluation.parts import refuse_duplicates
from anydet.evaluation.results import Measured
from anydet.geometry import masks
from anydet.types import RLE, ClassTable, DetectionColumns, GroundTruthColumns, IntArray

if TYPE_CHECKING:
    from typing_extensions import Self


MOST_CLASSES = 1024
"""A class mask with a higher number is hardly one."""


@dataclass(slots=True)
class SemanticEvaluator:
    """mIoU, Dice and pixel accuracy over the pixels of all images that have a class mask.

    Pixels that nobody labelled are left out. A labelled one that is predicted to be of no class, as those of
    images without a prediction, is wrong; where predicted masks overlap, the highest class id wins.

    Attributes:
        classes: names of the classes; ids beyond them are called by number.
    """

    classes: ClassTable
    name: str = "semantic"
    _confusion: Confusion = field(init=False, repr=False)
    _images: list[str] = field(default_factory=list, init=False, repr=False)

    def __post_init__(self) -> None:
        self.reset()

    def applies(self, detections: DetectionColumns, ground_truth: GroundTruthColumns) -> str | None:
        """The reason why there is nothing to measure, or ``None``."""
        if ground_truth.about is None or ground_truth.about.semantic_masks is None:
            return "the data set has no class masks"
        if detections.about is None or detections.about.semantic_masks is None:
            return "the predictions have no semantic masks"
        return None

    def reset(self) -> None:
        """Forget everything added."""
        self._images.clear()
        self._confusion = Confusion.empty(len(self.classes))

    def add(self, detections: DetectionColumns, ground_truth: GroundTruthColumns) -> None:
        """Add images; both arguments share one ``images`` table.

        Raises ``EvaluationError`` where masks of an image differ in size or are not of classes,
        ``DatasetError`` where the file of a true one cannot be read.
        """
        fit.check_tables(detections, ground_truth)
        ours, theirs = detections.about, ground_truth.about
        found = None if ours is None else ours.semantic_masks
        for i, true in enumerate(() if theirs is None else theirs.semantic_masks or ()):
            if true:
                counts = _compare(true, (found[i] if found else None) or {}, ground_truth.images[i])
                self._confusion = self._confusion.plus(counts)
                self._images.append(ground_truth.images[i])

    def merge(self, other: Self) -> None:
        """Add what another evaluator of the same kind has seen, on other images."""
        self._confusion = self._confusion.plus(other._confusion)
        self._images.extend(other._images)

    def result(self) -> Measured:
        """The numbers; calling it twice gives the same.

        Raises ``EvaluationError`` for an image seen twice.
        """
        refuse_duplicates(self._images)
        counts = self._confusion
        names = class_names(self.classes, len(counts.counts))
        known = np.nan_to_num(counts.iou) * counts.true
        metrics = {
            "mIoU": mean(counts.iou),
            "Dice": mean(counts.f1),
            "pixel_accuracy": counts.accuracy,
            "mean_pixel_accuracy": counts.balanced_accuracy,
            "frequency_weighted_IoU": float(known.sum() / counts.true.sum()) if counts.true.any() else None,
        }
        tables = counts.rates("pixels", names), counts.table("confusion of pixels", names)
        protocol = {"images_with_class_mask": len(self._images), "pixels": int(counts.true.sum())}
        return Measured(metrics, tables, protocol)


def evaluate_semantic(ground_truth: GroundTruthColumns) -> SemanticEvaluator:
    """The evaluator for the data set's classes; what is registered as ``semantic``."""
    return SemanticEvaluator(ground_truth.classes)


def class_names(classes: ClassTable, count: int) -> tuple[str, ...]:
    """Names of the first ``count`` classes; the number where there is none."""
    return (*classes.names[:count], *(str(i) for i in range(len(classes), count)))


def _compare(true: Mapping[int, RLE], found: Mapping[int, RLE], image: str) -> Confusion:
    sizes = {mask.size_hw for mask in (*true.values(), *found.values())}
    if len(sizes) > 1:
        shown = " and ".join(f"{width} x {height}" for height, width in sorted(sizes))
        raise EvaluationError(
            f"image {image}: its class masks are {shown} pixels", fix="write masks of the image's own size"
        )
    classes = max([*true, *found]) + 1
    if classes > MOST_CLASSES:
        raise EvaluationError(
            f"image {image}: class {classes - 1} in a class mask, where at most {MOST_CLASSES} classes fit",
            fix="give masks of classes, not of instances",
        )
    (size,) = sizes
    return Confusion.of(_class_map(true, size), _class_map(found, size), classes)


def _class_map(semantic: Mapping[int, RLE], size_hw: tuple[int, int]) -> IntArray:
    """(H * W,) class of each pixel, -1 for none."""
    found = np.full(size_hw, -1, np.int64)
    for class_id in sorted(semantic):
        found[masks.decode(semantic[class_id])] = class_id
    return found.ravel()
