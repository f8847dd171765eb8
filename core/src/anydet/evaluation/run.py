"""Runs of evaluators: all that are installed and apply, or COCO's metrics with other settings.

The CLI, ``anydet.evaluate`` and the validation of a training all run evaluators through these functions.
"""

from __future__ import annotations

import math
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import field
from pathlib import Path
from typing import TYPE_CHECKING, Any

from anydet.contract.reading.shards import PredictionPaths
from anydet.data.dataset.protocols import Dataset
from anydet.dataclass import dataclass
from anydet.errors import AnydetError, ContractError, EvaluationError
from anydet.evaluation.coco import CocoEvaluator, CocoResult
from anydet.evaluation.engines import choose_engine
from anydet.evaluation.evaluator import (
    AnalysisSettings,
    AnalyzableEvaluator,
    ContextUser,
    DoubtfulResult,
    Engine,
    EngineUser,
    Evaluator,
    Result,
)
from anydet.evaluation.protocol import CocoSettings
from anydet.evaluation.reading import Inputs, read_shards
from anydet.evaluation.tables import MetricsByName
from anydet.plugins.calls import PluginCalls
from anydet.plugins.manager import Plugins
from anydet.text import listed
from anydet.version import __version__

if TYPE_CHECKING:
    from anydet.evaluation.matched_protocol import ProtocolOptions


@dataclass(frozen=True, slots=True, eq=False)
class EvaluationRun(MetricsByName):
    """Results by evaluator; what ``anydet eval`` prints.

    Attributes:
        results: of the evaluators that apply.
        skipped: why the others do not apply.
        failed: what went wrong in those that failed.
        context: data set, split, predictions and counts.
    """

    results: Mapping[str, Result]
    skipped: Mapping[str, str]
    context: Mapping[str, Any]
    failed: Mapping[str, AnydetError] = field(default_factory=dict)

    __repr__ = MetricsByName.__repr__

    @property
    def metrics(self) -> dict[str, float | None]:
        """All metrics as one flat dictionary for a tracker: "coco/AP", "tide/dAP_Loc", ..."""
        return {
            f"{name}/{metric}": value
            for name, result in self.results.items()
            for metric, value in result.metrics.items()
        }

    @property
    def doubt(self) -> str | None:
        """The first doubt that a result has of itself, or ``None``."""
        doubts = (one.doubt for one in self.results.values() if isinstance(one, DoubtfulResult))
        return next(filter(None, doubts), None)

    def as_dict(self) -> dict[str, Any]:
        """What ``eval --json`` writes."""
        # `eval-coco` imports this module, writes no figures, and starts sooner without theirs.
        from anydet.evaluation.results import shown

        return {
            "metrics": self.metrics,
            "results": {name: {**one.as_dict(), **shown(one)} for name, one in self.results.items()},
            "skipped": dict(self.skipped),
            "failed": {name: error.problem for name, error in self.failed.items()},
            "protocol": {**self.context, "versions": {"anydet": __version__}},
        }


def run_evaluators(
    inputs: Iterable[Inputs],
    names: Sequence[str] | None = None,
    *,
    required: bool = True,
    plugins: Plugins | None = None,
    engine: Engine | None = None,
    analysis: AnalysisSettings | None = None,
    options: ProtocolOptions | None = None,
) -> EvaluationRun:
    """Run registered evaluators on all inputs; one that fails leaves the numbers of the others.

    Args:
        inputs: of ``reading.read_shards``, without an image in common.
        names: registered evaluators, or ``None`` for all default ones that apply.
        required: whether an evaluator that is named must apply, and one of the default ones; otherwise
            those that do not apply are skipped, even all of them.
        plugins: where evaluators come from; the installed ones by default.
        engine: matches boxes for COCO's metrics; the best installed one by default.
        analysis: intervals and slices, of the evaluators that can be analyzed.
        options: of protocols, of the evaluators that have any.

    Raises:
        PluginError: there is no evaluator of that name, or all that apply failed.
        EvaluationError: a required evaluator does not apply, there is no image, or none of the evaluators can
            be analyzed as ``analysis`` wants, or has ``options``.
    """
    plugins = plugins or Plugins.from_env()
    # All inputs at once: whether an evaluator applies is known when all are read, and `add` of one that
    # applies to some of the files must also see the images of the others, which lower its numbers.
    chunks = list(inputs)
    if not chunks:
        raise _no_image()
    specs = plugins.specs("evaluators")
    chosen = names if names is not None else [name for name, spec in specs.items() if spec.default]
    for name in chosen:
        plugins.spec("evaluators", name)  # before the first of them works
    evaluators: dict[str, Evaluator] = {}
    skipped: dict[str, str] = {}
    failed: dict[str, AnydetError] = {}
    for name in chosen:
        try:
            started = _start(name, chunks, plugins, engine, options)
        except AnydetError as exc:
            failed[name] = exc
            continue
        if isinstance(started, str):
            skipped[name] = started
        else:
            evaluators[name] = started
    if required and (not evaluators or (names is not None and skipped)):
        if not evaluators and failed:
            raise next(iter(failed.values()))
        name, reason = next(iter(skipped.items()))
        raise EvaluationError(f"{name} does not apply: {reason}", fix="name other evaluators with --metrics")
    if analysis and not any(isinstance(one, AnalyzableEvaluator) for one in evaluators.values()):
        raise EvaluationError(
            f"evaluators without intervals and slices: {', '.join(evaluators)}",
            fix="add coco to --metrics",
        )
    _require_options(options, evaluators)
    results = {}
    for name, evaluator in evaluators.items():
        try:
            results[name] = _result(name, evaluator, analysis or AnalysisSettings(), plugins)
        except AnydetError as exc:
            failed[name] = exc
    if required and failed and not results:
        raise next(iter(failed.values()))
    return EvaluationRun(results, skipped, chunks[-1].context, failed)


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
    class_map: str | None = None,
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
        class_map: how category ids of COCO results count, as ``reading.read_inputs`` has it.
        split: the split, where ``dataset`` is a path.
        max_images: only the first so many images of the data set, on both sides.
        engine: matches detections; the best installed one by default.

    Raises:
        AnydetError: as ``reading.read_shards`` and ``CocoEvaluator.add``.
    """
    engine = engine or choose_engine()
    limits: dict[str, Any] = {"box_format": box_format, "split": split, "max_images": max_images}
    shards = read_shards(dataset, predictions, **limits, scanner=engine.scanner, class_map=class_map)
    return prepare_coco(shards, settings, engine=engine).result()


def _require_options(options: ProtocolOptions | None, evaluators: Mapping[str, Evaluator]) -> None:
    """Raise ``EvaluationError`` where an option is given that none of the evaluators has."""
    if options is None or not options.given:
        return
    from anydet.evaluation.matched_protocol import OPTION_NAMES, OPTION_OWNERS, ProtocolUser

    known = {name for one in evaluators.values() if isinstance(one, ProtocolUser) for name in one.options}
    for name in options.given:
        if name not in known:
            raise EvaluationError(
                f"{OPTION_NAMES[name]}: none of the evaluators has it: {listed(evaluators, quotes=False)}",
                fix=f"add {' or '.join(OPTION_OWNERS[name])} to --metrics, or leave it out",
            )


def _add(evaluator: Evaluator, chunk: Inputs) -> None:
    evaluator.add(chunk.detections, chunk.ground_truth)
    if isinstance(evaluator, ContextUser):
        # The last chunk's context counts the images that no file mentions, and names all files.
        evaluator.use_context(chunk.context)


def _no_image() -> EvaluationError:
    return EvaluationError("nothing to evaluate: no image was added", fix="add images first")


def _start(
    name: str,
    chunks: Sequence[Inputs],
    plugins: Plugins,
    engine: Engine | None,
    options: ProtocolOptions | None,
) -> Evaluator | str:
    """An evaluator that has seen all images, or why it does not apply.

    Raises:
        AnydetError: it cannot be imported, or fails.
    """
    # Late: `eval-coco` imports this module, and has no such options.
    from anydet.evaluation.matched_protocol import ProtocolUser

    calls = PluginCalls("evaluators", name, plugins)
    factory = plugins.load("evaluators", name)
    with calls.to("its factory"):
        evaluator: Evaluator = factory(chunks[0].ground_truth)
    with calls.to("applies"):
        reasons = [evaluator.applies(chunk.detections, chunk.ground_truth) for chunk in chunks]
    if None not in reasons:
        return str(reasons[0])
    with calls.to("add"):
        if engine is not None and isinstance(evaluator, EngineUser):
            evaluator.use_engine(engine)
        if options is not None and isinstance(evaluator, ProtocolUser):
            evaluator.use_options(options)
        for chunk in chunks:
            _add(evaluator, chunk)
    return evaluator


def _result(name: str, evaluator: Evaluator, analysis: AnalysisSettings, plugins: Plugins) -> Result:
    """Its numbers; those of a plugin are looked at, so that nobody stumbles over them later.

    Raises:
        AnydetError: it fails, or gives what cannot be written.
    """
    calls = PluginCalls("evaluators", name, plugins)
    if isinstance(evaluator, AnalyzableEvaluator):
        with calls.to("analyze"):
            result = evaluator.analyze(analysis)
    else:
        with calls.to("result"):
            result = evaluator.result()
    if plugins.owner("evaluators", name) is not None:
        _check_result(result, calls)
    return result


def _check_result(result: Result, calls: PluginCalls) -> None:
    # Late: `eval-coco` imports this module, and runs no evaluator of a plugin.
    from anydet.contract.encode import encode_json
    from anydet.evaluation.results import shown

    with calls.to("its result"):
        for metric, value in result.metrics.items():
            if not isinstance(metric, str) or not (value is None or math.isfinite(value)):
                raise calls.error(
                    f"gave the metric {metric!r} the value {value!r}; metrics are numbers by name, and None "
                    "where there is nothing to measure on"
                )
        try:
            encode_json({**result.as_dict(), **shown(result)}, where="its result")
        except ContractError as exc:
            raise calls.error(f"gave what cannot be written: {exc.problem}") from exc
