"""Suspected errors in the ground truth, where a confident detection contradicts it.

Two kinds, named as hotcoco's ``image_diagnostics`` names them:

- ``wrong_label``: the detection overlaps an annotation of another class that no detection of its own class
  found.
- ``missing_annotation``: it overlaps no annotation at all.

Crowds are never suspected, and a detection inside one suspects nothing. A model that was trained on these
labels has learned their errors; suspicion is worth most on images it has not seen.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np

from anydet.evaluation.analysis.pool import ImageRows, PooledEvaluator
from anydet.evaluation.greedy_matching import overlaps, pair
from anydet.evaluation.results import Measured
from anydet.evaluation.tables import Table
from anydet.types import ClassTable, DetectionColumns, FloatArray, GroundTruthColumns, IntArray

KINDS = ("wrong_label", "missing_annotation")


@dataclass(frozen=True, slots=True, eq=False)
class _Suspects(ImageRows):
    """Detections that contradict: (N,) each.

    Attributes:
        class_ids: the class predicted.
        annotated: the class annotated, -1 where nothing is.
        annotation_ids: the annotation's id in the source, -1 where it has none.
        scores: scores of the detections.
        iou: with the annotation, 0 where there is none.
        boxes_xywh_px: (N, 4) boxes of the detections.
    """

    class_ids: IntArray
    annotated: IntArray
    annotation_ids: IntArray
    scores: FloatArray
    iou: FloatArray
    boxes_xywh_px: FloatArray


class LabelErrorEvaluator(PooledEvaluator):
    """A list of what should be looked at, most confident first.

    Args:
        classes: the class table of the ground truth.
        score_threshold: only detections of at least this score accuse.
        iou_threshold: from this IoU on, a detection overlaps an annotation.
        background: highest IoU with any annotation at which something seems to be missing.
    """

    name = "label-errors"

    def __init__(
        self,
        classes: ClassTable,
        score_threshold: float = 0.5,
        iou_threshold: float = 0.5,
        background: float = 0.1,
    ) -> None:
        super().__init__(classes)
        self.score_threshold, self.iou_threshold, self.background = score_threshold, iou_threshold, background

    def rows(self, detections: DetectionColumns, ground_truth: GroundTruthColumns) -> Sequence[ImageRows]:
        """The confident detections that no annotation of their class explains."""
        labels, count = ground_truth.labels, len(detections)
        matched = pair(detections, ground_truth, iou_threshold=self.iou_threshold)
        found = np.zeros(len(labels), np.bool_)
        found[matched.annotations[matched.hits]] = True
        pairs = overlaps(detections, ground_truth, least=self.background, class_agnostic=True)
        same = detections.class_ids[pairs.detections] == labels.class_ids[pairs.annotations]
        crowd = labels.iscrowd[pairs.annotations]
        near, beside = np.zeros(count, np.bool_), np.zeros(count, np.bool_)
        near[pairs.detections[(pairs.iou > self.background) | crowd]] = True
        beside[pairs.detections[same & (pairs.iou > self.background)]] = True
        wanted = ~same & ~crowd & ~found[pairs.annotations] & (pairs.iou >= self.iou_threshold)
        # By rising IoU, so that the last write below is that of the best annotation.
        order = np.flatnonzero(wanted)[np.argsort(pairs.iou[wanted], kind="stable")]
        target, iou = np.full(count, -1, np.int64), np.zeros(count)
        target[pairs.detections[order]] = pairs.annotations[order]  # the last write to a place stays
        iou[pairs.detections[order]] = pairs.iou[order]
        accuses = (detections.scores >= self.score_threshold) & (matched.annotations < 0) & ~matched.ignored
        rows = np.flatnonzero(accuses & np.where(target >= 0, ~beside, ~near))
        return (self._suspects(detections, ground_truth, rows, target[rows], iou[rows]),)

    def _suspects(
        self,
        detections: DetectionColumns,
        ground_truth: GroundTruthColumns,
        rows: IntArray,
        target: IntArray,
        iou: FloatArray,
    ) -> _Suspects:
        labels, on = ground_truth.labels, target >= 0
        annotated, ids = np.full(len(rows), -1, np.int64), np.full(len(rows), -1, np.int64)
        annotated[on] = labels.class_ids[target[on]]
        if labels.annotation_ids is not None:
            ids[on] = labels.annotation_ids[target[on]]
        return _Suspects(
            detections.image_index[rows],
            detections.class_ids[rows],
            annotated,
            ids,
            detections.scores[rows],
            iou,
            detections.boxes_xywh_px[rows],
        )

    def count(self, images: tuple[str, ...], suspects: _Suspects) -> Measured:
        """How many there are of each kind, and the list."""
        # Of equal scores in the order of images, which does not depend on how these were added.
        order = np.lexsort((suspects.image_index, -suspects.scores))
        rows = [self._row(images, suspects, i) for i in order.tolist()]
        header = (
            "kind",
            "image",
            "predicted",
            "annotated",
            "score",
            "iou",
            "x",
            "y",
            "width",
            "height",
            "annotation",
        )
        on = suspects.annotated >= 0
        return Measured(
            {KINDS[0]: int(np.count_nonzero(on)), KINDS[1]: int(np.count_nonzero(~on))},
            (Table("suspected label errors", header, tuple(rows)),),
            {
                "settings": {
                    "score_threshold": self.score_threshold,
                    "iou_threshold": self.iou_threshold,
                    "background_iou": self.background,
                }
            },
        )

    def _row(self, images: tuple[str, ...], suspects: _Suspects, i: int) -> tuple[Any, ...]:
        names, annotated, number = (
            self.classes.names,
            int(suspects.annotated[i]),
            int(suspects.annotation_ids[i]),
        )
        return (
            KINDS[annotated < 0],
            images[suspects.image_index[i]],
            names[suspects.class_ids[i]],
            names[annotated] if annotated >= 0 else None,
            float(suspects.scores[i]),
            float(suspects.iou[i]),
            *suspects.boxes_xywh_px[i].tolist(),
            number if number >= 0 else None,
        )


def label_error_evaluator(ground_truth: GroundTruthColumns) -> LabelErrorEvaluator:
    """The evaluator that is registered as ``label-errors``."""
    return LabelErrorEvaluator(ground_truth.classes)
