"""Semantic segmentation: which class each pixel shows."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from functools import reduce
from typing import ClassVar, NoReturn

import numpy as np

from anydet.data.record.class_mask import ClassMaskColumn
from anydet.errors import EvaluationError
from anydet.evaluation.confusion import Confusion, mean
from anydet.evaluation.figures import Matrix
from anydet.evaluation.partial import JoinedImages, MergeableEvaluator, PartialResult
from anydet.evaluation.results import Measured
from anydet.geometry import masks
from anydet.types import RLE, ClassTable, DetectionColumns, GroundTruthColumns, IntArray

MOST_CLASSES = 1024
"""A class mask with a higher number is hardly one."""


@dataclass(frozen=True, slots=True, eq=False)
class SemanticPartial(PartialResult):
    """Counts over the images that have a class mask.

    Attributes:
        confusion: of the pixels' true and predicted classes.
    """

    confusion: Confusion


@dataclass(eq=False)
class SemanticEvaluator(MergeableEvaluator[SemanticPartial]):
    """mIoU, Dice and pixel accuracy over the pixels of all images that have a class mask.

    Pixels that nobody labeled are left out. A labeled one that is predicted to be of no class, as those of
    images without a prediction, is wrong; where predicted masks overlap, the highest class id wins.

    Attributes:
        classes: names of the classes; ids beyond them are called by number.
    """

    name: ClassVar[str] = "semantic"
    most_partials = 64
    open_classes = True

    def applies(self, detections: DetectionColumns, ground_truth: GroundTruthColumns) -> str | None:
        """The reason why there is nothing to measure, or ``None``."""
        if ground_truth.about is None or ground_truth.about.semantic_masks is None:
            return "the data set has no class masks"
        if detections.about is None or detections.about.semantic_masks is None:
            return "the predictions have no semantic masks"
        return None

    def measure(self, detections: DetectionColumns, ground_truth: GroundTruthColumns) -> SemanticPartial:
        """Counts over the images that have a class mask.

        Raises ``EvaluationError`` where masks of an image differ in size or are not of classes,
        ``DatasetError`` where the file of a true one cannot be read.
        """
        ours, theirs = detections.about, ground_truth.about
        found, true = (None if one is None else one.semantic_masks for one in (ours, theirs))
        confusion, rows = Confusion.empty(len(self.classes)), []
        for i, image in enumerate(ground_truth.images):
            labeled = _class_map(true, i, image)
            if labeled is not None:
                confusion = confusion.plus(_compare(labeled, _class_map(found, i, image), image))
                rows.append(i)
        ids = ground_truth.image_ids
        images = tuple(ground_truth.images[i] for i in rows)
        return SemanticPartial(images, None if ids is None else ids[rows], confusion)

    def join(self, partials: Sequence[SemanticPartial], images: JoinedImages) -> SemanticPartial:
        """The sums."""
        confusion = reduce(Confusion.plus, (partial.confusion for partial in partials))
        return SemanticPartial(images.keys, images.ids, confusion)

    def result(self) -> Measured:
        """The numbers; calling it twice gives the same.

        Raises ``EvaluationError`` where no image was added, or one twice.
        """
        joint = self.joint()
        counts = joint.confusion
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
        protocol = {"images_with_class_mask": len(joint.images), "pixels": int(counts.true.sum())}
        matrix = Matrix.of_counts(tables[1], "confusion", rows="true", columns="predicted", value="pixels")
        return Measured(metrics, tables, protocol, (matrix,))


def semantic_evaluator(ground_truth: GroundTruthColumns) -> SemanticEvaluator:
    """The evaluator for the data set's classes; what is registered as ``semantic``."""
    return SemanticEvaluator(ground_truth.classes)


def class_names(classes: ClassTable, count: int) -> tuple[str, ...]:
    """Names of the first ``count`` classes; the number where there is none."""
    return (*classes.names[:count], *(str(i) for i in range(len(classes), count)))


def _class_map(column: Sequence[Mapping[int, RLE] | None] | None, row: int, image: str) -> IntArray | None:
    """(H, W) class of each pixel, -1 for none; ``None`` where there are no masks."""
    if isinstance(column, ClassMaskColumn):
        return column.class_map(row)
    semantic = column[row] if column is not None else None
    if not semantic:
        return None
    sizes = [mask.size_hw for mask in semantic.values()]
    if len(set(sizes)) > 1:
        _refuse_sizes(image, sizes)
    return masks.class_map(semantic, sizes[0])


def _compare(true: IntArray, found: IntArray | None, image: str) -> Confusion:
    found = np.full_like(true, -1) if found is None else found
    if found.shape != true.shape:
        _refuse_sizes(image, [true.shape, found.shape])
    classes = int(max(true.max(initial=-1), found.max(initial=-1))) + 1
    if classes > MOST_CLASSES:
        raise EvaluationError(
            f"image {image}: class {classes - 1} in a class mask, at most {MOST_CLASSES} are supported",
            fix="give masks of classes, not of instances",
        )
    return Confusion.of(true.ravel(), found.ravel(), classes)


def _refuse_sizes(image: str, sizes_hw: Sequence[tuple[int, ...]]) -> NoReturn:
    shown = " and ".join(f"{width} x {height}" for height, width in sorted(set(sizes_hw)))
    raise EvaluationError(
        f"image {image}: its class masks are {shown} pixels", fix="write masks of the image's own size"
    )
