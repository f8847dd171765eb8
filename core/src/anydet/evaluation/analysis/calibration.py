"""Whether scores are probabilities: how far they are from precision (D-ECE) and from localization (LaECE).

D-ECE (Kueppers et al. 2020, "Multivariate Confidence Calibration for Object Detection", in its form over
scores alone): detections of all classes fall into bins by score; the error is the mean over bins of
\\|precision - mean score\\|, weighted by the number of detections. D-MCE is the largest of them.

LaECE (Oksuz et al. 2023, "Towards Building Self-aware Object Detectors via Reliable Uncertainty
Quantification and Calibration", eq. 7): for each class, the weighted mean over bins of \\|precision x mean
IoU of the true positives - mean score\\|; then the mean over the classes that have detections. A match needs
an IoU of 0.1 there.

Bins are (i / B, (i + 1) / B], the first one with 0, as in the authors' ``detection_calibration``. Detections
that a crowd excuses are left out.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np

from anydet.evaluation.analysis.pool import ImageRows, PooledEvaluator
from anydet.evaluation.figures import Axis, Lines, Series
from anydet.evaluation.greedy_matching import pair
from anydet.evaluation.results import Measured
from anydet.evaluation.tables import Table
from anydet.types import ClassTable, DetectionColumns, FloatArray, GroundTruthColumns, IntArray


@dataclass(frozen=True, slots=True, eq=False)
class _Scored(ImageRows):
    """Detections: (N,) each.

    Attributes:
        class_ids: classes.
        scores: scores.
        precise: 1 where it is right for D-ECE, 0 where it is wrong, -1 where it does not count.
        iou: IoU of its match for LaECE, 0 where it is wrong, -1 where it does not count.
    """

    class_ids: IntArray
    scores: FloatArray
    precise: FloatArray
    iou: FloatArray


@dataclass(frozen=True, slots=True, eq=False)
class Bins:
    """Detections by score: (B,) each.

    Attributes:
        counts: how many there are.
        scores: their mean score; 0 in empty bins.
        values: the mean of what the scores should be.
    """

    counts: IntArray
    scores: FloatArray
    values: FloatArray

    @property
    def gaps(self) -> FloatArray:
        """How far scores are off."""
        gaps: FloatArray = np.abs(self.values - self.scores)
        return gaps

    @property
    def error(self) -> float | None:
        """The weighted mean of the gaps; ``None`` without detections."""
        total = int(self.counts.sum())
        return float((self.gaps * self.counts).sum()) / total if total else None


class CalibrationEvaluator(PooledEvaluator):
    """D-ECE, D-MCE and LaECE.

    Args:
        classes: the class table of the ground truth.
        bins: how many bins of scores.
        score_threshold: detections below are left out.
        iou_threshold: lowest IoU of a match for D-ECE.
        localization_iou: lowest IoU of a match for LaECE.
    """

    name = "calibration"

    def __init__(
        self,
        classes: ClassTable,
        bins: int = 25,
        score_threshold: float = 0.0,
        iou_threshold: float = 0.5,
        localization_iou: float = 0.1,
    ) -> None:
        super().__init__(classes)
        self.bins, self.score_threshold = bins, score_threshold
        self.iou_threshold, self.localization_iou = iou_threshold, localization_iou

    def rows(self, detections: DetectionColumns, ground_truth: GroundTruthColumns) -> Sequence[ImageRows]:
        """Scores beside what they should be."""
        found = detections.take(detections.scores >= self.score_threshold)
        precise = pair(found, ground_truth, iou_threshold=self.iou_threshold)
        near = pair(found, ground_truth, iou_threshold=self.localization_iou)
        return (
            _Scored(
                found.image_index,
                found.class_ids,
                found.scores,
                np.where(precise.ignored, -1.0, precise.annotations >= 0),
                np.where(near.ignored, -1.0, near.iou),
            ),
        )

    def count(self, images: tuple[str, ...], scored: _Scored) -> Measured:
        """The errors, and the bins behind them."""
        del images
        all_bins = bin_scores(scored.scores, scored.precise, self.bins)
        values = []
        for c in range(len(self.classes)):
            mine = scored.class_ids == c
            values.append(bin_scores(scored.scores[mine], scored.iou[mine], self.bins).error)
        known = [value for value in values if value is not None]
        edges = [i / self.bins for i in range(self.bins + 1)]
        rows = tuple(
            (f"{low:.2f}-{high:.2f}", count, *((score, value, gap) if count else (None,) * 3))
            for low, high, count, score, value, gap in zip(
                edges, edges[1:], *(column.tolist() for column in _columns(all_bins)), strict=False
            )
        )
        by_class = tuple(zip(self.classes.names, values, strict=True))
        return Measured(
            {
                "D-ECE": all_bins.error,
                "D-MCE": float(all_bins.gaps.max()) if all_bins.counts.any() else None,
                "LaECE": sum(known) / len(known) if known else None,
            },
            (
                Table("calibration", ("score", "detections", "mean score", "precision", "gap"), rows),
                Table("LaECE by class", ("class", "LaECE"), by_class),
            ),
            {
                "settings": {
                    "bins": self.bins,
                    "score_threshold": self.score_threshold,
                    "iou_threshold": self.iou_threshold,
                    "localization_iou": self.localization_iou,
                }
            },
            (_reliability(all_bins),),
        )


def bin_scores(scores: FloatArray, values: FloatArray, bins: int) -> Bins:
    """Means by score, the same whatever the order of the detections.

    Args:
        scores: (N,) in [0, 1].
        values: (N,) what they should be; -1 where the detection does not count.
        bins: of equal width.
    """
    order = np.lexsort((values, scores))  # sums must not depend on the order of images
    order = order[values[order] >= 0]
    scores, values = scores[order], values[order]
    # From the left, as a score on an edge belongs to the bin below; clipped for a score of 0.
    places = np.clip(np.searchsorted(np.linspace(0, 1, bins + 1), scores, side="left") - 1, 0, bins - 1)
    counts = np.bincount(places, minlength=bins)
    some = np.maximum(counts, 1)
    return Bins(
        counts,
        np.bincount(places, scores, minlength=bins) / some,
        np.bincount(places, values, minlength=bins) / some,
    )


def calibration_evaluator(ground_truth: GroundTruthColumns) -> CalibrationEvaluator:
    """The evaluator that is registered as ``calibration``."""
    return CalibrationEvaluator(ground_truth.classes)


def _reliability(bins: Bins) -> Lines:
    """Precision over mean score, of the bins that hold detections."""
    some = bins.counts > 0
    scores, precision, counts = (
        tuple(column[some].tolist()) for column in (bins.scores, bins.values, bins.counts)
    )
    return Lines(
        "reliability",
        "calibration",
        Axis("mean score", limits=(0.0, 1.0)),
        Axis("precision", limits=(0.0, 1.0)),
        (
            Series("calibrated", (0.0, 1.0), (0.0, 1.0), reference=True),
            Series("detections", scores, precision, weights=counts),
        ),
    )


def _columns(bins: Bins) -> tuple[IntArray, FloatArray, FloatArray, FloatArray]:
    return bins.counts, bins.scores, bins.values, bins.gaps
