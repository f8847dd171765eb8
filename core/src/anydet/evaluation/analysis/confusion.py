"""Confusion matrix of detections: which class is taken for which, with a row and a column of background.

The definition is that of ``supervision.ConfusionMatrix``, which differs from that of ultralytics' only in the
defaults (score 0.25 and IoU 0.45 there) and in taking pairs of one class first: of all pairs of a detection
and an annotation on one image whose IoU is above the threshold, those of one class come first, then those of
the highest IoU; each detection and each annotation is taken once. A detection that is left over is background
taken for an object, an annotation that is left over was missed. A detection inside a crowd of its class
is left out.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np

from anydet.evaluation.analysis.pool import ImageRows, PooledEvaluator
from anydet.evaluation.figures import Matrix
from anydet.evaluation.greedy_matching import Overlaps, overlaps
from anydet.evaluation.results import Measured
from anydet.evaluation.tables import Cell, Table
from anydet.types import BoolArray, ClassTable, DetectionColumns, GroundTruthColumns, IntArray

BACKGROUND = "background"
_SHOWN = 20


@dataclass(frozen=True, slots=True, eq=False)
class _Cells(ImageRows):
    """What fell on which cell: (N,) classes; the number of classes stands for background."""

    true: IntArray
    predicted: IntArray


@dataclass(frozen=True, slots=True, eq=False)
class Assigned:
    """Which detection stands for which annotation; crowds, and detections that one excuses, are nowhere.

    Attributes:
        detections: (M,) rows of the detections that are paired.
        annotations: (M,) rows of the annotations of these pairs.
        background: rows of the detections without an annotation.
        missed: rows of the annotations without a detection.
    """

    detections: IntArray
    annotations: IntArray
    background: IntArray
    missed: IntArray


class ConfusionEvaluator(PooledEvaluator):
    """Counts of (true class, predicted class); rows are true, columns predicted, background is last.

    Args:
        classes: the class table of the ground truth.
        score_threshold: detections below are left out.
        iou_threshold: pairs must overlap more than this.
    """

    name = "confusion"

    def __init__(self, classes: ClassTable, score_threshold: float = 0.3, iou_threshold: float = 0.5) -> None:
        super().__init__(classes)
        self.score_threshold, self.iou_threshold = score_threshold, iou_threshold

    def rows(self, detections: DetectionColumns, ground_truth: GroundTruthColumns) -> Sequence[ImageRows]:
        """The cell of every detection, and of every annotation that was missed."""
        at, labels, background = self.assign(detections, ground_truth), ground_truth.labels, len(self.classes)
        true = [
            labels.class_ids[at.annotations],
            np.full(len(at.background), background),
            labels.class_ids[at.missed],
        ]
        predicted = [
            detections.class_ids[at.detections],
            detections.class_ids[at.background],
            np.full(len(at.missed), background),
        ]
        images = [
            detections.image_index[at.detections],
            detections.image_index[at.background],
            ground_truth.image_index[at.missed],
        ]
        return (_Cells(np.concatenate(images), np.concatenate(true), np.concatenate(predicted)),)

    def assign(self, detections: DetectionColumns, ground_truth: GroundTruthColumns) -> Assigned:
        """Pairs of the detections at or above the score threshold, and what is left over."""
        kept = np.flatnonzero(detections.scores >= self.score_threshold)
        found, labels = detections.take(kept), ground_truth.labels
        pairs = overlaps(found, ground_truth, least=self.iou_threshold, class_agnostic=True)
        same = found.class_ids[pairs.detections] == labels.class_ids[pairs.annotations]
        crowd = labels.iscrowd[pairs.annotations]
        rows, targets = _match(pairs, same, ~crowd & (pairs.iou > self.iou_threshold))
        free, missed = np.ones(len(found), np.bool_), ~labels.iscrowd
        free[pairs.detections[same & crowd]] = False
        free[rows] = missed[targets] = False
        return Assigned(kept[rows], targets, kept[free], np.flatnonzero(missed))

    def count(self, images: tuple[str, ...], cells: _Cells) -> Measured:
        """The matrix, precision and recall at the threshold, and the confusions that happen most."""
        del images
        size = len(self.classes) + 1
        matrix = np.bincount(cells.true * size + cells.predicted, minlength=size * size).reshape(size, size)
        right = int(np.trace(matrix))
        precision, recall = _ratio(right, int(matrix[:, :-1].sum())), _ratio(right, int(matrix[:-1].sum()))
        f1 = _ratio(2 * right, int(matrix[:, :-1].sum() + matrix[:-1].sum()))
        names = (*self.classes.names, BACKGROUND)
        rows: list[tuple[Cell, ...]] = [
            (name, *row) for name, row in zip(names, matrix.tolist(), strict=True)
        ]
        table = Table("confusion matrix", ("true", *names), tuple(rows))
        return Measured(
            {"precision": precision, "recall": recall, "F1": f1},
            (_most_common(matrix, names), table),
            {"score_threshold": self.score_threshold, "iou_threshold": self.iou_threshold},
            (Matrix.of_counts(table, "matrix", rows="true", columns="predicted", value="objects"),),
        )


def confusion_evaluator(ground_truth: GroundTruthColumns) -> ConfusionEvaluator:
    """The evaluator that is registered as ``confusion``."""
    return ConfusionEvaluator(ground_truth.classes)


def _match(pairs: Overlaps, same: BoolArray, wanted: BoolArray) -> tuple[IntArray, IntArray]:
    """Rows of detections and of the annotations that they are matched to."""
    order = np.lexsort((pairs.detections, pairs.annotations, -pairs.iou, ~same))
    order = order[wanted[order]]
    matched: dict[int, int] = {}
    used = set()
    for row, target in zip(pairs.detections[order].tolist(), pairs.annotations[order].tolist(), strict=True):
        if row not in matched and target not in used:
            matched[row] = target
            used.add(target)
    return np.array(list(matched), np.int64), np.array(list(matched.values()), np.int64)


def _most_common(matrix: IntArray, names: Sequence[str]) -> Table:
    wrong = matrix * (1 - np.eye(len(matrix), dtype=np.int64))
    cells = np.argsort(-wrong, axis=None, kind="stable")[:_SHOWN]
    places = [divmod(cell, len(matrix)) for cell in cells.tolist() if wrong.flat[cell]]
    rows = tuple((names[true], names[found], int(matrix[true, found])) for true, found in places)
    return Table("most common confusions", ("true", "predicted", "count"), rows)


def _ratio(count: int, whole: int) -> float | None:
    return count / whole if whole else None
