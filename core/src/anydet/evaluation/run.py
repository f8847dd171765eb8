"""All that installed evaluators have to say about predictions; what ``anydet eval`` shows."""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any

from anydet.errors import EvaluationError
from anydet.evaluation.analysis.bootstrap import Intervals, find_intervals
from anydet.evaluation.analysis.precision_recall import PrecisionRecall, trace_curves
from anydet.evaluation.analysis.slices import Slices, slice_metrics
from anydet.evaluation.coco import CocoEvaluator, CocoResult
from anydet.evaluation.evaluator import Engine, EngineUser, Evaluator, Result
from anydet.evaluation.reading import Inputs
from anydet.evaluation.tables import Table
from anydet.plugins.manager import Plugins
from anydet.version import __version__


@dataclass(frozen=True, slots=True, eq=False)
class Overview:
    """Results by evaluator.

    Attributes:
        results: what each evaluator that applies has found.
        skipped: why the others do not apply.
        context: data set, split, predictions and counts.
    """

    results: Mapping[str, Result]
    skipped: Mapping[str, str]
    context: Mapping[str, Any]

    @property
    def metrics(self) -> dict[str, float | None]:
        """All numbers as one flat dictionary for a tracker: "coco/AP", "tide/dAP_Loc", ..."""
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
class Extras:
    """What to find beside COCO's numbers.

    Attributes:
        resamples: for intervals; 0 for none.
        level: how much of the resamples an interval holds.
        seed: of the draws.
        slices: name -> keys of images.
    """

    resamples: int = 0
    level: float = 0.95
    seed: int = 0
    slices: Mapping[str, Sequence[str]] = field(default_factory=dict)

    @property
    def wanted(self) -> bool:
        """Whether anything is asked for."""
        return bool(self.resamples or self.slices)


@dataclass(frozen=True, slots=True, eq=False)
class Extended:
    """COCO's numbers with what surrounds them.

    Attributes:
        result: the numbers.
        curves: precision by recall.
        intervals: where the numbers may lie.
        slices: the numbers on parts of the images.
    """

    result: CocoResult
    curves: PrecisionRecall
    intervals: Intervals | None = None
    slices: Slices | None = None

    @property
    def metrics(self) -> dict[str, float | None]:
        """The numbers; "AP/low" and "AP/high" with intervals, "night/AP" with slices."""
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
        """The result's own, and the rest under its names."""
        found = {**self.result.as_dict(), "curves": self.curves.as_dict()}
        for name, extra in (("intervals", self.intervals), ("slices", self.slices)):
            if extra is not None:
                found[name] = extra.as_dict()
        return found


@dataclass(frozen=True, slots=True, eq=False)
class Prepared:
    """Evaluators that have seen all images.

    Attributes:
        evaluators: those that apply, by name.
        skipped: why the others do not.
        context: data set, split, predictions and counts.
    """

    evaluators: Mapping[str, Evaluator]
    skipped: Mapping[str, str]
    context: Mapping[str, Any]

    def overview(self, extras: Extras | None = None) -> Overview:
        """Their results.

        Raises ``EvaluationError`` where extras are asked for and no evaluator of COCO's numbers is there.
        """
        extras = extras or Extras()
        if extras.wanted and not any(isinstance(one, CocoEvaluator) for one in self.evaluators.values()):
            raise EvaluationError(
                f"intervals and slices are of COCO's numbers, not of {', '.join(self.evaluators)}",
                fix="add coco to --metrics",
            )
        results = {name: _result(evaluator, extras) for name, evaluator in self.evaluators.items()}
        return Overview(results, self.skipped, self.context)


def prepare_evaluators(
    inputs: Iterable[Inputs],
    names: Sequence[str] | None = None,
    *,
    plugins: Plugins | None = None,
    engine: Engine | None = None,
) -> Prepared:
    """Show all inputs to evaluators.

    Args:
        inputs: of ``inputs.read_parts``; parts that share no image.
        names: registered evaluators, or ``None`` for all default ones that apply.
        plugins: where to look; the installed ones by default.
        engine: who matches for COCO's numbers; the best installed one by default.

    Raises:
        PluginError: there is no evaluator of that name.
        EvaluationError: one that is named does not apply, or none does, or there is no image.
    """
    plugins = plugins or Plugins.from_env()
    parts = list(inputs)
    if not parts:
        raise EvaluationError("nothing to evaluate: no image was added", fix="add images first")
    specs = plugins.specs("evaluators")
    evaluators: dict[str, Evaluator] = {}
    skipped = {}
    for name in names if names is not None else [name for name, spec in specs.items() if spec.default]:
        evaluator: Evaluator = plugins.load("evaluators", name)(parts[0].ground_truth)
        reasons = [evaluator.applies(part.detections, part.ground_truth) for part in parts]
        if None not in reasons:
            skipped[name] = str(reasons[0])
            continue
        if engine is not None and isinstance(evaluator, EngineUser):
            evaluator.use_engine(engine)
        if isinstance(evaluator, CocoEvaluator):
            evaluator.context = parts[-1].context
        for part in parts:
            evaluator.add(part.detections, part.ground_truth)
        evaluators[name] = evaluator
    if not evaluators or (names is not None and skipped):
        name, reason = next(iter(skipped.items()))
        raise EvaluationError(f"{name} does not apply: {reason}", fix="name other evaluators with --metrics")
    return Prepared(evaluators, skipped, parts[-1].context)


def _result(evaluator: Evaluator, extras: Extras) -> Result:
    if not isinstance(evaluator, CocoEvaluator):
        return evaluator.result()
    result = evaluator.result()
    intervals = None
    if extras.resamples:
        intervals = find_intervals(
            evaluator, resamples=extras.resamples, level=extras.level, seed=extras.seed
        )
    slices = slice_metrics(evaluator, extras.slices) if extras.slices else None
    return Extended(result, trace_curves(result), intervals, slices)
