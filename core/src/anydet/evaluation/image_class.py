"""Classification of whole images."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from functools import reduce
from typing import ClassVar

import numpy as np

from anydet.evaluation.confusion import Confusion
from anydet.evaluation.figures import Matrix
from anydet.evaluation.partial import JoinedImages, MergeableEvaluator, PartialResult
from anydet.evaluation.results import Measured
from anydet.evaluation.semantic import class_names
from anydet.types import DetectionColumns, FloatArray, GroundTruthColumns, IntArray

TOP = 5


@dataclass(frozen=True, slots=True, eq=False)
class ImageClassPartial(PartialResult):
    """Counts over the images whose class is known.

    Attributes:
        confusion: of true and predicted classes.
        top: (2,) images whose true class is among the best five, and images with scores of all classes.
    """

    confusion: Confusion
    top: IntArray


@dataclass(eq=False)
class ImageClassEvaluator(MergeableEvaluator[ImageClassPartial]):
    """Accuracy, balanced accuracy and macro-F1 of what images as wholes show.

    An image whose class is known and that no prediction names a class of is wrong. Top-5 accuracy is measured
    where predictions have scores of all classes, and those are more than five; of equal scores the better
    rank counts.

    Attributes:
        classes: names of the classes; ids beyond them are called by number.
    """

    name: ClassVar[str] = "image-class"
    most_partials = 64
    open_classes = True

    def applies(self, detections: DetectionColumns, ground_truth: GroundTruthColumns) -> str | None:
        """The reason why there is nothing to measure, or ``None``."""
        if ground_truth.about is None or ground_truth.about.class_ids is None:
            return "the data set has no classes of whole images"
        if detections.about is None or detections.about.class_ids is None:
            return "the predictions have no classes of whole images"
        return None

    def measure(self, detections: DetectionColumns, ground_truth: GroundTruthColumns) -> ImageClassPartial:
        """Counts over the images whose class is known."""
        ours, theirs = detections.about, ground_truth.about
        if theirs is None or theirs.class_ids is None:
            return ImageClassPartial((), None, Confusion.empty(len(self.classes)), np.zeros(2, np.int64))
        rows = np.flatnonzero(theirs.class_ids >= 0)
        true, found = theirs.class_ids[rows], np.full(len(rows), -1, np.int64)
        if ours is not None and ours.class_ids is not None:
            found = ours.class_ids[rows]
        top = np.zeros(2, np.int64)
        if ours is not None and ours.class_scores is not None and ours.class_scores.shape[1] > TOP:
            top = _count_top(true, ours.class_scores[rows])
        return ImageClassPartial(
            tuple(ground_truth.images[row] for row in rows.tolist()),
            None if ground_truth.image_ids is None else ground_truth.image_ids[rows],
            Confusion.of(true, found, max(len(self.classes), int(np.max([true, found], initial=-1)) + 1)),
            top,
        )

    def join(self, partials: Sequence[ImageClassPartial], images: JoinedImages) -> ImageClassPartial:
        """The sums."""
        confusion = reduce(Confusion.plus, (partial.confusion for partial in partials))
        top = np.sum([partial.top for partial in partials], axis=0)
        return ImageClassPartial(images.keys, images.ids, confusion, top)

    def result(self) -> Measured:
        """The numbers; calling it twice gives the same.

        Raises ``EvaluationError`` where no image was added, or one twice.
        """
        joint = self.joint()
        counts = joint.confusion
        names = class_names(self.classes, len(counts.counts))
        right, scored = joint.top.tolist()
        metrics = {
            "accuracy": counts.accuracy,
            "balanced_accuracy": counts.balanced_accuracy,
            "macro_f1": counts.macro_f1,
            "majority_accuracy": counts.majority,
            "top5_accuracy": right / scored if scored else None,
        }
        tables = counts.rates("classes of images", names), counts.table("confusion of images", names)
        protocol = {"images_with_class": len(joint.images), "with_scores": scored}
        matrix = Matrix.of_counts(tables[1], "confusion", rows="true", columns="predicted", value="images")
        return Measured(metrics, tables, protocol, (matrix,))


def image_class_evaluator(ground_truth: GroundTruthColumns) -> ImageClassEvaluator:
    """The evaluator for the data set's classes; what is registered as ``image-class``."""
    return ImageClassEvaluator(ground_truth.classes)


def _count_top(true: IntArray, scores: FloatArray) -> IntArray:
    """How many true classes are among the best five, and of how many images scores are known."""
    scored = np.flatnonzero(np.isfinite(scores).any(axis=1))
    ours, classes = scores[scored], true[scored]
    own = np.full(len(scored), np.nan)
    known = classes < scores.shape[1]
    own[known] = ours[known, classes[known]]
    # Strictly above: of equal scores the better rank counts.
    above = np.count_nonzero(ours > own[:, None], axis=1)
    return np.array([np.count_nonzero((above < TOP) & np.isfinite(own)), len(scored)], np.int64)
