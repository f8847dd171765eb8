"""All that installed evaluators have to say about predictions; what ``anydet eval`` shows."""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass
from importlib.metadata import version
from typing import Any

from anydet.errors import EvaluationError
from anydet.evaluation.coco import CocoEvaluator
from anydet.evaluation.evaluator import Engine, Evaluator, Result
from anydet.evaluation.inputs import Inputs
from anydet.plugins.manager import Plugins


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
            "protocol": {**self.context, "versions": {"anydet": version("anydet")}},
        }


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

    def overview(self) -> Overview:
        """Their results."""
        results = {name: evaluator.result() for name, evaluator in self.evaluators.items()}
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
        if isinstance(evaluator, CocoEvaluator):
            evaluator.engine = engine or evaluator.engine
            evaluator.context = parts[-1].context
        for part in parts:
            evaluator.add(part.detections, part.ground_truth)
        evaluators[name] = evaluator
    if not evaluators or (names is not None and skipped):
        name, reason = next(iter(skipped.items()))
        raise EvaluationError(f"{name} does not apply: {reason}", fix="name other evaluators with --metrics")
    return Prepared(evaluators, skipped, parts[-1].context)
