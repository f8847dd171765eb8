"""Average precision of the Pascal VOC challenges: of boxes, by class, at one IoU threshold.

Everingham et al. 2010, "The Pascal Visual Object Classes (VOC) Challenge", section 4.2, and ``VOCevaldet.m``
of the development kits. A detection is right if the annotation of its class that it overlaps most has an IoU
of at least 0.5 with it and no better detection has claimed that annotation. Annotations that are
``difficult`` (crowds here) count neither way, as do detections that overlap one of them most. There is no
limit of detections.

VOC's pixels include both ends. Data sets in VOC's form are read so that their widths do
(``data.voc.reading``), and IoU of edges is then that of the development kit, which adds 1 to widths.
"""

from __future__ import annotations

from collections.abc import Hashable, Sequence
from dataclasses import replace

import numpy as np

from anydet.evaluation.analysis.pool import ImageRows, Judged, PooledEvaluator, Wanted
from anydet.evaluation.best_overlap import best_annotations, first_claims
from anydet.evaluation.matched_protocol import ProtocolOptions, require_threshold
from anydet.evaluation.ranked import area_under_curve, eleven_points, mean_of, ranked_classes
from anydet.evaluation.results import Measured
from anydet.evaluation.tables import Cell, Table
from anydet.types import ClassTable, DetectionColumns, GroundTruthColumns, IntArray

IOU_THRESHOLD = 0.5


class VocEvaluator(PooledEvaluator):
    """AP of VOC2010 and later (area under the curve) and of VOC2007 (11 points).

    Args:
        classes: the class table of the ground truth.
        iou_threshold: lowest IoU of a match, in (0, 1].
    """

    name = "voc"

    def __init__(self, classes: ClassTable, iou_threshold: float = IOU_THRESHOLD) -> None:
        super().__init__(classes)
        require_threshold(iou_threshold)
        self.iou_threshold = iou_threshold

    @property
    def options(self) -> tuple[str, ...]:
        """It has a threshold."""
        return ("iou_threshold",)

    def use_options(self, options: ProtocolOptions) -> None:
        """Match at the IoU of the options."""
        if options.iou_threshold is not None:
            self.iou_threshold = options.iou_threshold

    @property
    def settings_key(self) -> Hashable:
        """Classes and threshold."""
        return self.classes, self.iou_threshold

    def rows(self, detections: DetectionColumns, ground_truth: GroundTruthColumns) -> Sequence[ImageRows]:
        """Right and wrong detections, and the annotations that are to be found."""
        labels = ground_truth.labels
        difficult = labels.iscrowd
        # VOC takes IoU with difficult objects, not the fraction inside that COCO takes with crowds.
        plain = replace(ground_truth, labels=replace(labels, iscrowd=np.zeros_like(difficult)))
        best = self.best(detections, plain)
        ignored = np.zeros(len(best), np.bool_)
        ignored[best >= 0] = difficult[best[best >= 0]]
        kept = np.flatnonzero(~ignored)
        right = first_claims(detections, best)
        return (
            Judged(
                detections.image_index[kept], detections.class_ids[kept], detections.scores[kept], right[kept]
            ),
            Wanted(ground_truth.image_index[~difficult], labels.class_ids[~difficult]),
        )

    def best(self, detections: DetectionColumns, ground_truth: GroundTruthColumns) -> IntArray:
        """(N,) row of the annotation that each detection overlaps most and enough, else -1."""
        return best_annotations(detections, ground_truth, self.iou_threshold)

    def count(self, images: tuple[str, ...], judged: Judged, wanted: Wanted) -> Measured:
        """AP of all classes that have annotations which are not difficult."""
        del images
        positives = np.bincount(wanted.class_ids, minlength=len(self.classes)).tolist()
        ranked = ranked_classes(judged.class_ids, judged.scores, len(self.classes))
        rows: list[tuple[Cell, ...]] = []
        areas, points = [], []
        for name, count, mine in zip(self.classes.names, positives, ranked, strict=True):
            right = judged.right[mine]
            areas.append(area_under_curve(right, count))
            points.append(eleven_points(right, count))
            rows.append((name, areas[-1], points[-1], count, len(right), int(right.sum())))
        return Measured(
            {"AP": mean_of(areas), "AP_11point": mean_of(points)},
            (
                Table(
                    "classes",
                    ("class", "AP", "AP_11point", "annotations", "detections", "right"),
                    tuple(rows),
                ),
            ),
            {"iou_threshold": self.iou_threshold, "difficult": "ignored", "max_detections": None},
        )


def voc_evaluator(ground_truth: GroundTruthColumns) -> VocEvaluator:
    """The evaluator that is registered as ``voc``."""
    return VocEvaluator(ground_truth.classes)
