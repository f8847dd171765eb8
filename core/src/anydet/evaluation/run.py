"""Runs of evaluators: all that are installed and apply, or COCO's metrics with other settings.

The CLI, ``anydet.evaluate`` and the validation of a training all run evaluators through these functions.
"""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence
from dataclasses import field
from pathlib import Path
from typing import TYPE_CHECKING, Any

from anydet.data.dataset.protocols import Dataset
from anydet.dataclass import dataclass
from anydet.errors import EvaluationError
from anydet.evaluation.coco import CocoEvaluator, CocoResult
from anydet.evaluation.engines import choose_engine
from anydet.evaluation.evaluator import Engine, EngineUser, Evaluator, Result
from anydet.evaluation.protocol import CocoSettings
from anydet.evaluation.reading import Inputs, PredictionPaths, read_shards
from anydet.evaluation.tables import Table
from anydet.plugins.manager import Plugins
from anydet.version import __version__

if TYPE_CHECKING:
    from anydet.evaluation.analysis.bootstrap import Intervals
    from anydet.evaluation.analysis.precision_recall import PrecisionRecall
    from anydet.evaluation.analysis.slices import Slices


@dataclass(frozen=True, slots=True, eq=False)
class EvaluationRun:
    """Results by evaluator; what ``anydet eval`` prints.

    Attributes:
        results: of the evaluators that apply.
        skipped: why the others do not apply.
        context: data set, split, predictions and counts.
    """

    results: Mapping[str, Result]
    skipped: Mapping[str, str]
    context: Mapping[str, Any]

    @property
    def metrics(self) -> dict[str, float | None]:
        """All metrics as one flat dictionary for a tracker: "coco/AP", "tide/dAP_Loc", ..."""
        return {
            f"{name}/{metric}": value
            for name, result in self.results.items()
            for metric, value in result.metrics.items()
        }

    def as_dict(self) -> dict[str, Any]:
        """What ``eval --json`` writes."""
        return {
            "metrics": self.metrics,
            "results": {name: result.as_dict() for name, result in self.results.items()},
            "skipped": dict(self.skipped),
            "protocol": {**self.context, "versions": {"anydet": __version__}},
        }


@dataclass(frozen=True, slots=True, eq=False)
class AnalysisSettings:
    """What to compute from the matches of COCO's metrics beside the metrics.

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


@dataclass(frozen=True, slots=True, eq=False)
class AnalyzedResult:
    """COCO's metrics with curves, and with intervals and slices where those were computed.

    Attributes:
        result: the metrics.
        curves: precision by recall.
        intervals: confidence intervals of the metrics.
        slices: the metrics on subsets of the images.
    """

    result: CocoResult
    curves: PrecisionRecall
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

    def as_dict(self) -> dict[str, Any]:
        """What the result writes, with "curves", "intervals" and "slices" beside it."""
        found = {**self.result.as_dict(), "curves": self.curves.as_dict()}
        for name, extra in (("intervals", self.intervals), ("slices", self.slices)):
            if extra is not None:
                found[name] = extra.as_dict()
        return found


def run_evaluators(
    inputs: Iterable[Inputs],
    names: Sequence[str] | None = None,
    *,
    required: bool = True,
    plugins: Plugins | None = None,
    engine: Engine | None = None,
    analysis: AnalysisSettings | None = None,
) -> EvaluationRun:
    """Run registered evaluators on all inputs.

    Args:
        inputs: of ``reading.read_shards``, without an image in common.
        names: registered evaluators, or ``None`` for all default ones that apply.
        required: whether an evaluator that is named must apply, and one of the default ones; otherwise
            those that do not apply are skipped, even all of them.
        plugins: where evaluators come from; the installed ones by default.
        engine: matches boxes for COCO's metrics; the best installed one by default.
        analysis: intervals and slices of COCO's metrics.

    Raises:
        PluginError: there is no evaluator of that name.
        EvaluationError: a required evaluator does not apply, there is no image, or an analysis has no
            evaluator of COCO's metrics to work on.
    """
    plugins = plugins or Plugins.from_env()
    # All inputs at once: whether an evaluator applies is known when all are read, and `add` of one that
    # applies to some of the files must also see the images of the others, which lower its numbers.
    chunks = list(inputs)
    if not chunks:
        raise _no_image()
    specs = plugins.specs("evaluators")
    evaluators: dict[str, Evaluator] = {}
    skipped = {}
    for name in names if names is not None else [name for name, spec in specs.items() if spec.default]:
        evaluator: Evaluator = plugins.load("evaluators", name)(chunks[0].ground_truth)
        reasons = [evaluator.applies(chunk.detections, chunk.ground_truth) for chunk in chunks]
        if None not in reasons:
            skipped[name] = str(reasons[0])
            continue
        if engine is not None and isinstance(evaluator, EngineUser):
            evaluator.use_engine(engine)
        for chunk in chunks:
            _add(evaluator, chunk)
        evaluators[name] = evaluator
    if required and (not evaluators or (names is not None and skipped)):
        name, reason = next(iter(skipped.items()))
        raise EvaluationError(f"{name} does not apply: {reason}", fix="name other evaluators with --metrics")
    if analysis and not any(isinstance(one, CocoEvaluator) for one in evaluators.values()):
        raise EvaluationError(
            f"intervals and slices are of COCO's metrics, not of {', '.join(evaluators)}",
            fix="add coco to --metrics",
        )
    results = {name: _result(one, analysis or AnalysisSettings()) for name, one in evaluators.items()}
    return EvaluationRun(results, skipped, chunks[-1].context)


def prepare_coco(
    inputs: Iterable[Inputs],
    settings: CocoSettings | None = None,
    *,
    engine: Engine | None = None,
    dry: bool = False,
) -> CocoEvaluator:
    """An evaluator that has seen all inputs, one in memory at a time.

    Its ``result()``, or the ``protocol()`` of a dry one, is left to the caller, as is comparing two of them.

    Raises:
        AnydetError: as ``reading.read_shards`` and ``CocoEvaluator.add``.
    """
    evaluator: CocoEvaluator | None = None
    for chunk in inputs:
        if evaluator is None:
            evaluator = CocoEvaluator(
                chunk.ground_truth.classes,
                engine=engine or choose_engine(),
                settings=settings or CocoSettings(),
                dry=dry,
            )
        _add(evaluator, chunk)
    if evaluator is None:
        raise _no_image()
    return evaluator


def evaluate_coco(
    dataset: Dataset | Path | str,
    predictions: PredictionPaths,
    settings: CocoSettings | None = None,
    *,
    box_format: str | None = None,
    split: str | None = None,
    max_images: int | None = None,
    engine: Engine | None = None,
) -> CocoResult:
    """COCO's metrics of predictions on a data set; what ``anydet eval-coco`` prints.

    Args:
        dataset: an open data set, or its path; a COCO annotations file will do.
        predictions: a file of the contract, or COCO results; or several without an image in common, as a
            folder, a pattern or a list.
        settings: what is counted; COCO's boxes by default.
        box_format: what the file's boxes are in; by default what the file states, else ``cxcywh_norm``.
        split: the split, where ``dataset`` is a path.
        max_images: only the first so many images of the data set, on both sides.
        engine: matches detections; the best installed one by default.

    Raises:
        AnydetError: as ``reading.read_shards`` and ``CocoEvaluator.add``.
    """
    engine = engine or choose_engine()
    limits: dict[str, Any] = {"box_format": box_format, "split": split, "max_images": max_images}
    shards = read_shards(dataset, predictions, **limits, scanner=engine.scanner)
    return prepare_coco(shards, settings, engine=engine).result()


def _add(evaluator: Evaluator, chunk: Inputs) -> None:
    evaluator.add(chunk.detections, chunk.ground_truth)
    if isinstance(evaluator, CocoEvaluator):
        # The last chunk's context counts the images that no file mentions, and names all files.
        evaluator.context = chunk.context


def _no_image() -> EvaluationError:
    return EvaluationError("nothing to evaluate: no image was added", fix="add images first")


def _result(evaluator: Evaluator, analysis: AnalysisSettings) -> Result:
    if not isinstance(evaluator, CocoEvaluator):
        return evaluator.result()
    # Imported here because `eval-coco` imports this module, too, analyzes nothing, and should start quickly.
    from anydet.evaluation.analysis.bootstrap import find_intervals
    from anydet.evaluation.analysis.precision_recall import trace_curves
    from anydet.evaluation.analysis.slices import slice_metrics

    result = evaluator.result()
    intervals = None
    if analysis.resamples:
        intervals = find_intervals(
            evaluator, resamples=analysis.resamples, level=analysis.level, seed=analysis.seed
        )
    slices = slice_metrics(evaluator, analysis.slices) if analysis.slices else None
    return AnalyzedResult(result, trace_curves(result), intervals, slices)
