"""Classification of whole images."""

from __future__ import annotations

from dataclasses import dataclass, field
from typing import TYPE_CHECKING

import numpy as np

from anydet.evaluation import compatibility
from anydet.evaluation.confusion import Confusion
from anydet.evaluation.partial import refuse_duplicates
from anydet.evaluation.results import Measured
from anydet.evaluation.semantic import class_names
from anydet.types import ClassTable, DetectionColumns, FloatArray, GroundTruthColumns, IntArray

if TYPE_CHECKING:
    from typing_extensions import Self

TOP = 5


@dataclass(slots=True)
class ImageClassEvaluator:
    """Accuracy, balanced accuracy and macro-F1 of what images as wholes show.

    An image whose class is known and that no prediction names a class of is wrong. Top-5 accuracy is measured
    where predictions have scores of all classes, and those are more than five; of equal scores the better
    rank counts.

    Attributes:
        classes: names of the classes; ids beyond them are called by number.
    """

    classes: ClassTable
    name: str = "image-class"
    _confusion: Confusion = field(init=False, repr=False)
    _top: IntArray = field(init=False, repr=False)
    _images: list[str] = field(default_factory=list, init=False, repr=False)

    def __post_init__(self) -> None:
        self.reset()

    def applies(self, detections: DetectionColumns, ground_truth: GroundTruthColumns) -> str | None:
        """The reason why there is nothing to measure, or ``None``."""
        if ground_truth.about is None or ground_truth.about.class_ids is None:
            return "the data set has no classes of whole images"
        if detections.about is None or detections.about.class_ids is None:
            return "the predictions have no classes of whole images"
        return None

    def reset(self) -> None:
        """Forget everything added."""
        self._images.clear()
        self._confusion = Confusion.empty(len(self.classes))
        self._top = np.zeros(2, np.int64)

    def add(self, detections: DetectionColumns, ground_truth: GroundTruthColumns) -> None:
        """Add images; both arguments share one ``images`` table."""
        compatibility.check_tables(detections, ground_truth)
        ours, theirs = detections.about, ground_truth.about
        if theirs is None or theirs.class_ids is None:
            return
        rows = np.flatnonzero(theirs.class_ids >= 0)
        true, found = theirs.class_ids[rows], np.full(len(rows), -1, np.int64)
        if ours is not None and ours.class_ids is not None:
            found = ours.class_ids[rows]
        classes = int(np.max([true, found], initial=-1)) + 1
        self._confusion = self._confusion.plus(Confusion.of(true, found, classes))
        if ours is not None and ours.class_scores is not None and ours.class_scores.shape[1] > TOP:
            self._top = self._top + _count_top(true, ours.class_scores[rows])
        self._images.extend(ground_truth.images[row] for row in rows.tolist())

    def merge(self, other: Self) -> None:
        """Add what another evaluator of the same kind has seen, on other images."""
        self._confusion = self._confusion.plus(other._confusion)
        self._top = self._top + other._top
        self._images.extend(other._images)

    def result(self) -> Measured:
        """The numbers; calling it twice gives the same.

        Raises ``EvaluationError`` for an image seen twice.
        """
        refuse_duplicates(self._images)
        counts = self._confusion
        names = class_names(self.classes, len(counts.counts))
        right, scored = self._top.tolist()
        metrics = {
            "accuracy": counts.accuracy,
            "balanced_accuracy": counts.balanced_accuracy,
            "macro_f1": counts.macro_f1,
            "majority_accuracy": counts.majority,
            "top5_accuracy": right / scored if scored else None,
        }
        tables = counts.rates("classes of images", names), counts.table("confusion of images", names)
        return Measured(metrics, tables, {"images_with_class": len(self._images), "with_scores": scored})


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
    above = np.count_nonzero(ours > own[:, None], axis=1)
    return np.array([np.count_nonzero((above < TOP) & np.isfinite(own)), len(scored)], np.int64)
