"""COCO's metrics as they are registered: with curves, and with intervals and slices where they are wanted."""

from __future__ import annotations

from typing import Any

from anydet.dataclass import dataclass
from anydet.evaluation.analysis.bootstrap import Intervals, find_intervals
from anydet.evaluation.analysis.slices import Slices, slice_metrics
from anydet.evaluation.coco import CocoEvaluator, CocoResult
from anydet.evaluation.engines import choose_engine
from anydet.evaluation.evaluator import AnalysisSettings
from anydet.evaluation.figures import Figure
from anydet.evaluation.protocol import CocoSettings
from anydet.evaluation.tables import Table
from anydet.types import GroundTruthColumns


@dataclass(frozen=True, slots=True, eq=False)
class AnalyzedResult:
    """COCO's metrics, with intervals and slices where those were computed.

    Attributes:
        result: the metrics and their curves.
        intervals: confidence intervals of the metrics.
        slices: the metrics on subsets of the images.
    """

    result: CocoResult
    intervals: Intervals | None = None
    slices: Slices | None = None

    @property
    def metrics(self) -> dict[str, float | None]:
        """The metrics; "AP/low" and "AP/high" with intervals, "night/AP" with slices."""
        found = dict(self.result.metrics)
        for name, interval in self.intervals.overall.items() if self.intervals else ():
            found |= {f"{name}/low": interval.low, f"{name}/high": interval.high}
        for name, row in self.slices.metrics.items() if self.slices else ():
            found |= {f"{name}/{metric}": value for metric, value in row.items()}
        return found

    @property
    def tables(self) -> tuple[Table, ...]:
        """Intervals, slices, classes."""
        intervals = self.intervals.tables if self.intervals else ()
        return (*intervals, *([self.slices.table] if self.slices else ()), *self.result.tables)

    @property
    def figures(self) -> tuple[Figure, ...]:
        """Curves, intervals, slices."""
        bars = [part.figure for part in (self.intervals, self.slices) if part is not None]
        return (*self.result.figures, *(figure for figure in bars if figure.bars))

    @property
    def doubt(self) -> str | None:
        """That of the metrics."""
        return self.result.doubt

    def as_dict(self) -> dict[str, Any]:
        """What the result writes, with "curves", "intervals" and "slices" beside it."""
        found = {**self.result.as_dict(), "curves": self.result.curves.as_dict()}
        for name, extra in (("intervals", self.intervals), ("slices", self.slices)):
            if extra is not None:
                found[name] = extra.as_dict()
        return found


class AnalyzedCocoEvaluator(CocoEvaluator):
    """COCO's metrics, which images can be resampled for and which subsets of images have."""

    def analyze(self, analysis: AnalysisSettings) -> AnalyzedResult:
        """The metrics, with intervals and slices as far as ``analysis`` has any.

        Raises ``EvaluationError`` where a slice names an image that was not added, or no image was.
        """
        intervals = None
        if analysis.resamples:
            intervals = find_intervals(
                self, resamples=analysis.resamples, level=analysis.level, seed=analysis.seed
            )
        slices = slice_metrics(self, analysis.slices) if analysis.slices else None
        return AnalyzedResult(self.result(), intervals, slices)


def coco_box_evaluator(ground_truth: GroundTruthColumns) -> AnalyzedCocoEvaluator:
    """The evaluator of boxes with the best installed engine; what is registered as ``coco``."""
    return AnalyzedCocoEvaluator(ground_truth.classes, engine=choose_engine())


def coco_mask_evaluator(ground_truth: GroundTruthColumns) -> AnalyzedCocoEvaluator:
    """The same of masks; what is registered as ``coco-segm``."""
    settings = CocoSettings(iou_type="segm")
    return AnalyzedCocoEvaluator(ground_truth.classes, engine=choose_engine(), settings=settings)


def coco_keypoint_evaluator(ground_truth: GroundTruthColumns) -> AnalyzedCocoEvaluator:
    """The same of the 17 keypoints of COCO's persons; what is registered as ``coco-keypoints``."""
    settings = CocoSettings(iou_type="keypoints")
    return AnalyzedCocoEvaluator(ground_truth.classes, engine=choose_engine(), settings=settings)


def coco_oriented_evaluator(ground_truth: GroundTruthColumns) -> AnalyzedCocoEvaluator:
    """The same of oriented boxes; what is registered as ``coco-obb``."""
    settings = CocoSettings(iou_type="obb")
    return AnalyzedCocoEvaluator(ground_truth.classes, engine=choose_engine(), settings=settings)


def crowdpose_evaluator(ground_truth: GroundTruthColumns) -> AnalyzedCocoEvaluator:
    """The same as CrowdPose counts it; what is registered as ``crowdpose``."""
    settings = CocoSettings(iou_type="keypoints", protocol="crowdpose")
    return AnalyzedCocoEvaluator(ground_truth.classes, engine=choose_engine(), settings=settings)
