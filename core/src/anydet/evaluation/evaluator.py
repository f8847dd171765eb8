"""Protocols of evaluation: evaluators, their results, and the engines that match detections."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import field
from typing import TYPE_CHECKING, Any, Literal, Protocol, runtime_checkable

from anydet.dataclass import dataclass
from anydet.evaluation.matches import Matches
from anydet.scanner import Scanner
from anydet.types import DetectionColumns, FloatArray, GroundTruthColumns

if TYPE_CHECKING:
    from anydet.evaluation.figures import Figure
    from anydet.evaluation.tables import Table

IouType = Literal["bbox", "segm", "keypoints", "boundary", "obb"]


class Result(Protocol):
    """Metrics, tables and figures of an evaluator; ``results.Measured`` is one."""

    @property
    def metrics(self) -> Mapping[str, float | None]:
        """Numbers by name, flat, as trackers take them; ``None`` where there is nothing to measure on.

        A name with a slash ("AP/low") is a detail that a table shows, too; terminals leave it out.
        """

    @property
    def tables(self) -> Sequence[Table]:
        """What is too much for a number: classes, confusions, thresholds."""

    @property
    def figures(self) -> Sequence[Figure]:
        """What is better seen than read: curves, intervals, matrices; each has a name of its own."""

    def as_dict(self) -> dict[str, Any]:
        """For JSON; ``metrics`` is one of the keys. ``tables`` and ``figures`` are written in any case."""


@runtime_checkable
class DoubtfulResult(Protocol):
    """A result that may look like a mistake in the data or in reading it, rather than like a weak model."""

    @property
    def doubt(self) -> str | None:
        """The number that looks wrong and what it rests on, as a clause; ``None`` where none does."""


class Evaluator(Protocol):
    """Metrics over images. ``add`` takes whole images, in any order; evaluators of disjoint images merge.

    The result depends on the images alone, never on how they were split or ordered.
    """

    @property
    def name(self) -> str:
        """As it is registered; what its numbers are found under."""

    def applies(self, detections: DetectionColumns, ground_truth: GroundTruthColumns) -> str | None:
        """``None`` where it has something to measure, else the reason why not ("no ground truth masks")."""

    def reset(self) -> None:
        """Forget everything added."""

    def add(self, detections: DetectionColumns, ground_truth: GroundTruthColumns) -> None:
        """Add images. Both arguments have one ``images`` table and the class ids of ``ground_truth``."""

    def merge(self, other: Any) -> None:
        """Add what another evaluator of the same kind has seen, on other images."""

    def result(self) -> Result:
        """The numbers; calling it twice gives the same."""


@runtime_checkable
class EngineUser(Protocol):
    """An evaluator that leaves matching to an engine, which can be another before images are added."""

    def use_engine(self, engine: Engine) -> None:
        """Match with this one."""


@runtime_checkable
class ContextUser(Protocol):
    """An evaluator whose protocol also says where the images and predictions come from."""

    def use_context(self, context: Mapping[str, Any]) -> None:
        """Report this: data set, split, predictions and counts, as plain data."""


@dataclass(frozen=True, slots=True, eq=False)
class AnalysisSettings:
    """What to compute from what an evaluator has matched, beside its metrics.

    Attributes:
        resamples: bootstrap resamples for confidence intervals; 0 for no intervals.
        level: confidence level of the intervals.
        seed: of the resamples.
        slices: name -> keys of images.
    """

    resamples: int = 0
    level: float = 0.95
    seed: int = 0
    slices: Mapping[str, Sequence[str]] = field(default_factory=dict)

    def __bool__(self) -> bool:
        return bool(self.resamples or self.slices)


@runtime_checkable
class AnalyzableEvaluator(Protocol):
    """An evaluator that can give intervals of its metrics, and the metrics of subsets of the images."""

    def analyze(self, analysis: AnalysisSettings) -> Result:
        """The result with intervals and slices as far as ``analysis`` has any.

        Raises ``EvaluationError`` where a slice names an image that was not added.
        """


@dataclass(frozen=True, slots=True, eq=False)
class EngineParams:
    """What engines count; the parameters of ``COCOeval.params`` under their long names.

    Attributes:
        iou_type: what overlaps are measured on.
        iou_thresholds: (T,).
        recall_thresholds: (R,).
        area_ranges_px: (A, 2) square pixels, both ends included.
        max_detections: (M,) ascending.
        keypoint_sigmas: (K,) or (C, K) of OKS, for ``keypoints``.
        dilation_ratio: width of the boundary as a fraction of the image's diagonal, for ``boundary``.
        pycocotools_quirks: take a match to an annotation with id 0 for no match, as pycocotools does.
    """

    iou_type: IouType
    iou_thresholds: FloatArray
    recall_thresholds: FloatArray
    area_ranges_px: FloatArray
    max_detections: tuple[int, ...]
    keypoint_sigmas: FloatArray | None = None
    dilation_ratio: float = 0.02
    pycocotools_quirks: bool = False


@dataclass(frozen=True, slots=True, eq=False)
class EngineArrays:
    """What an engine gives, laid out as in pycocotools; -1 where there is no ground truth.

    Attributes:
        precision: (T, R, C, A, M).
        recall: (T, C, A, M).
        scores: (T, R, C, A, M) score at each precision.
    """

    precision: FloatArray
    recall: FloatArray
    scores: FloatArray


class Engine(Protocol):
    """Matches detections to ground truth and accumulates precision and recall.

    Attributes:
        name: as it is registered.
        version: of its package.
        threads: how many it may use; results do not depend on it.
    """

    name: str
    version: str
    threads: int

    @property
    def scanner(self) -> Scanner | None:
        """The engine's own reader of JSON files, ``None`` where it has none."""

    def match(
        self, detections: DetectionColumns, ground_truth: GroundTruthColumns, params: EngineParams
    ) -> Matches:
        """Match detections to annotations; both arguments have the same images and class ids.

        Where masks are scored, the area of a detection is that of its mask.
        """

    def accumulate(self, matches: Matches, params: EngineParams) -> EngineArrays:
        """Arrays over all images and classes.

        Of equal scores, the detection whose image comes first in the table ranks first, and on one image the
        row that comes first.
        """
