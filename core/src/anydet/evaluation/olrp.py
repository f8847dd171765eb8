"""Optimal Localization Recall Precision error (oLRP): of boxes, by class, lower is better.

Oksuz et al. 2018, "Localization Recall Precision (LRP): A New Performance Metric for Object Detection", and
2022, "One Metric to Measure them All", equations 4 to 8. Of the detections with a score of at least s, TP of
which match at an IoU of at least tau,

    LRP(s) = (sum of (1 - IoU) / (1 - tau) over TP  +  FP  +  FN) / (TP + FP + FN)

and oLRP is the least LRP of all s. At that s, oLRP_Loc is the mean of 1 - IoU over TP, oLRP_FP is
1 - precision and oLRP_FN is 1 - recall. Matching is COCO's, as in the authors' code. Detections of equal
scores are never parted, as s is a threshold; the authors' code parts them.
"""

from __future__ import annotations

from collections.abc import Hashable, Sequence

import numpy as np

from anydet.arguments import require_number
from anydet.dataclass import dataclass
from anydet.evaluation.analysis.pool import ImageRows, PooledEvaluator, Wanted
from anydet.evaluation.greedy_matching import pair
from anydet.evaluation.matched_protocol import ProtocolOptions
from anydet.evaluation.ranked import mean_of, ranked_classes
from anydet.evaluation.results import Measured
from anydet.evaluation.tables import Table
from anydet.types import BoolArray, ClassTable, DetectionColumns, FloatArray, GroundTruthColumns, IntArray

TAU = 0.5
MAX_DETECTIONS = 100


@dataclass(frozen=True, slots=True, eq=False)
class Located(ImageRows):
    """Detections that count: (N,) each; ``iou`` with the annotation where right, else 0."""

    class_ids: IntArray
    scores: FloatArray
    right: BoolArray
    iou: FloatArray


@dataclass(frozen=True, slots=True)
class LrpPoint:
    """The least LRP of a class and where it is.

    Attributes:
        error: oLRP.
        localization: mean of 1 - IoU over what is right, ``None`` where nothing is.
        false_positives: 1 - precision, ``None`` where nothing is right at any threshold.
        false_negatives: 1 - recall.
        threshold: keep detections with at least this score; ``None`` where nothing is right.
    """

    error: float
    localization: float | None
    false_positives: float | None
    false_negatives: float
    threshold: float | None


class OlrpEvaluator(PooledEvaluator):
    """oLRP with its parts, and the score threshold of each class that reaches it.

    Args:
        classes: the class table of the ground truth.
        tau: lowest IoU of a match, in [0, 1).
    """

    name = "olrp"

    def __init__(self, classes: ClassTable, tau: float = TAU) -> None:
        super().__init__(classes)
        self.tau = tau
        self._require_tau()

    @property
    def options(self) -> tuple[str, ...]:
        """It has a threshold, tau."""
        return ("iou_threshold",)

    def use_options(self, options: ProtocolOptions) -> None:
        """Match at the IoU of the options."""
        if options.iou_threshold is not None:
            self.tau = options.iou_threshold
            self._require_tau()

    def _require_tau(self) -> None:
        require_number("iou_threshold (tau of LRP)", self.tau, 0, np.nextafter(1, 0))

    @property
    def settings_key(self) -> Hashable:
        """Classes and threshold."""
        return self.classes, self.tau

    def rows(self, detections: DetectionColumns, ground_truth: GroundTruthColumns) -> Sequence[ImageRows]:
        """Right and wrong detections, and the annotations."""
        matched = pair(detections, ground_truth, iou_threshold=self.tau, max_detections=MAX_DETECTIONS)
        kept = np.flatnonzero(~matched.ignored)
        counted = np.flatnonzero(~ground_truth.labels.iscrowd)
        return (
            Located(
                detections.image_index[kept],
                detections.class_ids[kept],
                detections.scores[kept],
                matched.annotations[kept] >= 0,
                matched.iou[kept],
            ),
            Wanted(ground_truth.image_index[counted], ground_truth.labels.class_ids[counted]),
        )

    def count(self, images: tuple[str, ...], located: Located, wanted: Wanted) -> Measured:
        """OLRP of all classes that have annotations."""
        del images
        positives = np.bincount(wanted.class_ids, minlength=len(self.classes)).tolist()
        ranked = ranked_classes(located.class_ids, located.scores, len(self.classes))
        points = [
            find_optimum(located.scores[mine], located.right[mine], located.iou[mine], count, self.tau)
            for count, mine in zip(positives, ranked, strict=True)
        ]
        known = [point for point in points if point is not None]
        header = ("class", "oLRP", "oLRP_Loc", "oLRP_FP", "oLRP_FN", "threshold")
        rows = tuple(
            (name, *((None,) * 5 if point is None else _cells(point)))
            for name, point in zip(self.classes.names, points, strict=True)
        )
        return Measured(
            {
                "oLRP": mean_of([point.error for point in known]),
                "oLRP_Loc": mean_of([point.localization for point in known]),
                "oLRP_FP": mean_of([point.false_positives for point in known]),
                "oLRP_FN": mean_of([point.false_negatives for point in known]),
            },
            (Table("optimal LRP", header, rows),),
            {"tau": self.tau, "max_detections": MAX_DETECTIONS},
        )


def find_optimum(
    scores: FloatArray, right: BoolArray, iou: FloatArray, positives: int, tau: float
) -> LrpPoint | None:
    """The threshold of the least LRP, the highest of equally good ones; ``None`` where nothing is annotated.

    Args:
        scores: (N,) falling.
        right: (N,) whether they match an annotation.
        iou: (N,) with that annotation.
        positives: annotations.
        tau: lowest IoU of a match.
    """
    if not positives:
        return None
    if not right.any():
        return LrpPoint(1.0, None, None, 1.0, None)
    true = np.cumsum(right)
    false = np.arange(1, len(right) + 1) - true
    localization = np.cumsum(np.where(right, 1 - iou, 0.0))
    errors = (localization / (1 - tau) + false + positives - true) / (false + positives)
    last = np.append(np.diff(scores) != 0, True)  # of a run of equal scores
    best = int(np.argmin(np.where(last, errors, np.inf)))
    hits = int(true[best])
    if not hits:  # wrong ones alone cost as much as none at all
        return LrpPoint(1.0, None, None, 1.0, None)
    return LrpPoint(
        float(errors[best]),
        float(localization[best]) / hits,
        int(false[best]) / (best + 1),
        1 - hits / positives,
        float(scores[best]),
    )


def _cells(point: LrpPoint) -> tuple[float | None, ...]:
    return (
        point.error,
        point.localization,
        point.false_positives,
        point.false_negatives,
        point.threshold,
    )


def olrp_evaluator(ground_truth: GroundTruthColumns) -> OlrpEvaluator:
    """The evaluator that is registered as ``olrp``."""
    return OlrpEvaluator(ground_truth.classes)
