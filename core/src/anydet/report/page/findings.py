"""What a page says, whoever shows it: models evaluated and each row judged, as plain data and columns."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from contextlib import AbstractContextManager, nullcontext
from pathlib import Path
from typing import Any

import numpy as np

from anydet.dataclass import dataclass
from anydet.errors import EvaluationError
from anydet.evaluation.analysis.analyzed import AnalyzedResult
from anydet.evaluation.analysis.calibration import CalibrationEvaluator
from anydet.evaluation.analysis.comparison import Comparison, compare
from anydet.evaluation.analysis.confusion import ConfusionEvaluator
from anydet.evaluation.analysis.tide import ERRORS
from anydet.evaluation.evaluator import AnalysisSettings, Engine
from anydet.evaluation.reading import Inputs
from anydet.evaluation.results import shown
from anydet.evaluation.run import EvaluationRun, prepare_coco, run_evaluators
from anydet.plugins.manager import Plugins
from anydet.report.page.crops import Side, media_type, sides_of
from anydet.report.page.outcomes import ASPECTS, SIZES, STEPS, Column, Judgements, annotation_columns, judge
from anydet.text import escaped
from anydet.types import DetectionColumns, GroundTruthColumns, IntArray
from anydet.version import __version__

Progress = Callable[[str, int, str], AbstractContextManager[Callable[[int], None]]]
"""Shows that so many things of a kind are worked on; gives a function that says how many are done."""
_DRAWN_BY_THE_PAGE = ("coco", "tide", "confusion", "calibration")
"""Evaluators whose figures the page draws from its columns, so that they lead to pictures."""


@dataclass(frozen=True, slots=True, eq=False)
class Model:
    """Predictions of one model, laid over the data set.

    Attributes:
        path: their file, as it was given.
        inputs: detections and ground truth.
        meta: what the file says of its run; may be empty.
    """

    path: str
    inputs: Inputs
    meta: Mapping[str, Any]


@dataclass(frozen=True, slots=True, eq=False)
class Findings:
    """All that is known of some models on a data set.

    Attributes:
        title: of the page.
        names: of the models, as the page calls them.
        truth: the annotations.
        annotations: what they are: ``outcomes.annotation_columns``.
        found: detections of each model.
        judged: what became of them.
        runs: what the evaluators gave, by model.
        comparisons: of each further model with the first.
        header: plain data of the page.
        columns: what the page filters and counts.
    """

    title: str
    names: tuple[str, ...]
    truth: GroundTruthColumns
    annotations: Mapping[str, Column]
    found: tuple[DetectionColumns, ...]
    judged: tuple[Judgements, ...]
    runs: tuple[EvaluationRun, ...]
    comparisons: tuple[Comparison, ...]
    header: Mapping[str, Any]
    columns: Mapping[str, Column]

    def __len__(self) -> int:
        """Detections and annotations."""
        return len(self.truth) + sum(map(len, self.found))

    def sides(self) -> list[Side]:
        """The ground truth, and then each model, for pictures of them."""
        return sides_of(self.truth, self.found, [one.pairs for one in self.judged])


def silent(label: str, total: int, unit: str) -> AbstractContextManager[Callable[[int], None]]:
    """A ``Progress`` that shows nothing."""
    del label, total, unit
    return nullcontext(lambda count: None)


def find(
    models: Sequence[Model],
    draws: AnalysisSettings,
    *,
    plugins: Plugins | None = None,
    engine: Engine | None = None,
    progress: Progress = silent,
) -> Findings:
    """What is to say of one model, or of several on the same images.

    Args:
        models: at least one; the others are compared with the first.
        draws: resamples of the intervals, 0 for none.
        plugins: where evaluators come from; the installed ones by default.
        engine: matches boxes for COCO's metrics; the best installed one by default.
        progress: shows what is done.

    Raises:
        EvaluationError: COCO's metrics do not apply, or two files have other classes.
    """
    truth = _common_truth(models)
    runs, comparisons = _evaluate(models, draws, plugins or Plugins.from_env(), engine, progress)
    annotations, judged = annotation_columns(truth), []
    with progress("judge", len(models), "files") as advance:
        for model in models:
            judged.append(judge(model.inputs.detections, truth))
            advance(1)
    names = _names([model.path for model in models])
    header = {
        **_describe(truth, models, names, runs, draws),
        "comparisons": [_difference(one) for one in comparisons],
    }
    return Findings(
        f"anydet report: {', '.join(names)} on {escaped(str(models[0].inputs.context.get('dataset', '')))}",
        names,
        truth,
        annotations,
        tuple(model.inputs.detections for model in models),
        tuple(judged),
        tuple(runs),
        tuple(comparisons),
        header,
        _columns(truth, annotations, models, judged, runs),
    )


def _common_truth(models: Sequence[Model]) -> GroundTruthColumns:
    """The ground truth of all models; raises ``EvaluationError`` where their classes differ."""
    first = models[0].inputs.ground_truth
    for other in models[1:]:
        if other.inputs.ground_truth.classes != first.classes:
            raise EvaluationError(
                f"{models[0].path} and {other.path} have other classes, and the data set names none",
                fix="give a data set with class names, or files with the same meta.classes",
            )
    return first


def _evaluate(
    models: Sequence[Model],
    draws: AnalysisSettings,
    plugins: Plugins,
    engine: Engine | None,
    progress: Progress,
) -> tuple[list[EvaluationRun], list[Comparison]]:
    """All evaluators on each model, and the differences to the first."""
    runs, comparisons = [], []
    with progress("evaluate", 2 * len(models) - 1, "steps") as advance:
        for model in models:
            run = run_evaluators([model.inputs], plugins=plugins, engine=engine, analysis=draws)
            if "coco" not in run.results:
                reason = run.skipped.get("coco") or str(run.failed.get("coco", "it is not installed"))
                raise EvaluationError(
                    f"{model.path}: no report without COCO's metrics, which do not apply: {reason}",
                    fix="give a data set with boxes",
                )
            runs.append(run)
            advance(1)
        for other in models[1:] if draws.resamples else ():
            both = [prepare_coco([one.inputs], engine=engine) for one in (models[0], other)]
            comparisons.append(compare(*both, resamples=draws.resamples, level=draws.level, seed=draws.seed))
            advance(1)
    return runs, comparisons


def _names(paths: Sequence[str]) -> tuple[str, ...]:
    """The name of each file without suffix, after as many of its folders as tell it from the others."""
    parts = [Path(path).with_suffix("").parts for path in paths]
    for depth in range(1, max(map(len, parts)) + 1):
        names = ["/".join(one[-depth:]) for one in parts]
        if len(set(names)) == len(names):
            return tuple(map(escaped, names))
    return tuple(escaped(f"{'/'.join(one)} ({i + 1})") for i, one in enumerate(parts))


def _describe(
    truth: GroundTruthColumns,
    models: Sequence[Model],
    names: Sequence[str],
    runs: Sequence[EvaluationRun],
    draws: AnalysisSettings,
) -> dict[str, Any]:
    """What the page says of the data set, the models and itself."""
    context = models[0].inputs.context
    described = [
        {
            "name": name,
            "path": escaped(model.path),
            "detections": len(model.inputs.detections),
            "meta": _meta(model.meta),
            "warnings": list(map(escaped, model.inputs.warnings)),
            **_results(run),
        }
        for name, model, run in zip(names, models, runs, strict=True)
    ]
    confusion, calibration = ConfusionEvaluator(truth.classes), CalibrationEvaluator(truth.classes)
    return {
        "version": __version__,
        "dataset": {
            "root": escaped(str(context.get("dataset", ""))),
            "split": escaped(str(context.get("split") or "")),
            "source": escaped(truth.source),
            "annotations": int(np.count_nonzero(~truth.labels.iscrowd)),
            "crowds": int(np.count_nonzero(truth.labels.iscrowd)),
        },
        "images": list(map(escaped, truth.images)),
        "classes": list(map(escaped, truth.classes.names)),
        "states": list(map(escaped, truth.state_names)),
        "sizes": SIZES,
        "aspects": [name for name, _, _ in ASPECTS],
        "errors": ERRORS,
        "steps": STEPS,
        "models": described,
        "confusion": {"score": confusion.score_threshold, "iou": confusion.iou_threshold},
        "bins": calibration.bins,
        "draws": {"resamples": draws.resamples, "level": draws.level, "seed": draws.seed},
        "media_type": media_type(),
    }


def _meta(meta: Mapping[str, Any]) -> dict[str, Any]:
    """What readers of a report want to know of a run, as far as its file says it."""
    runtime = meta.get("runtime") or {}
    extra = (meta.get("extra") or {}).get("runtime") or {}
    named = {
        **{
            name: meta.get(name)
            for name in ("adapter", "adapter_version", "checkpoint", "config", "timestamp")
        },
        **{name: runtime.get(name) for name in ("device", "wall_s", "images_per_s")},
        **{name: extra.get(name) for name in ("runtime", "version", "precision", "threads")},
        "tta": (meta.get("tta") or {}).get("enabled"),
        "ttt": (meta.get("ttt") or {}).get("enabled"),
    }
    return {
        k: escaped(v) if isinstance(v, str) else v for k, v in named.items() if v not in (None, "", False)
    }


def _results(run: EvaluationRun) -> dict[str, Any]:
    """Metrics, tables and figures of all evaluators, with what the page draws by itself left out."""
    results = []
    for name, result in run.results.items():
        parts = shown(result)
        if name in _DRAWN_BY_THE_PAGE:
            parts["figures"] = []
        if name == "confusion":
            # As large as the square of the number of classes; the page counts it from its columns.
            parts["tables"] = parts["tables"][:1]
        metrics = {k: v for k, v in result.metrics.items() if not k.endswith(("/low", "/high"))}
        results.append({"name": name, "metrics": metrics, **parts})
    coco: Any = run.results["coco"]
    intervals = coco.intervals if isinstance(coco, AnalyzedResult) else None
    return {
        "results": _escaped_text(results),
        "skipped": {name: escaped(reason) for name, reason in run.skipped.items()},
        "failed": {name: escaped(error.problem) for name, error in run.failed.items()},
        "metrics": dict(coco.result.metrics),
        "intervals": None if intervals is None else intervals.as_dict()["overall"],
        "per_class": [{k: row[k] for k in ("AP", "AP50") if k in row} for row in coco.result.per_class],
    }


def _escaped_text(value: Any) -> Any:
    """Plain data whose texts have no control characters."""
    if isinstance(value, str):
        return escaped(value)
    if isinstance(value, Mapping):
        return {escaped(str(k)): _escaped_text(v) for k, v in value.items()}
    return [_escaped_text(one) for one in value] if isinstance(value, list | tuple) else value


def _difference(comparison: Comparison) -> dict[str, Any]:
    """All numbers, and the first one of each class."""
    first = next(iter(comparison.overall))
    return {
        "overall": {name: one.as_dict() for name, one in comparison.overall.items()},
        "by_class": [row[first].as_dict() for row in comparison.by_class.values()],
    }


def _columns(
    truth: GroundTruthColumns,
    annotations: Mapping[str, Column],
    models: Sequence[Model],
    judged: Sequence[Judgements],
    runs: Sequence[EvaluationRun],
) -> dict[str, Column]:
    """All columns by name: ``truth/class``, ``0/step``, ``0/curve``, ..."""
    columns = {f"truth/{name}": column for name, column in annotations.items()}
    columns["truth/image"] = _images(truth.image_index)
    for m, (model, one, run) in enumerate(zip(models, judged, runs, strict=True)):
        columns |= {f"{m}/{name}": column for name, column in one.detections.items()}
        columns |= {f"{m}/truth/{name}": column for name, column in one.annotations.items()}
        columns[f"{m}/image"] = _images(model.inputs.detections.image_index)
        coco: Any = run.results["coco"]
        arrays = coco.result.arrays
        # Precision and score at each recall, class by class: all areas, most detections, first IoU.
        columns[f"{m}/curve"] = arrays.precision[0, :, :, 0, -1].T.astype(np.float32).ravel()
        columns[f"{m}/curve_score"] = arrays.scores[0, :, :, 0, -1].T.astype(np.float32).ravel()
    return columns


def _images(image_index: IntArray) -> Column:
    """Image of each row, as the distance to that of the row before it, which compresses to little."""
    return np.diff(image_index, prepend=0).astype(np.int64).astype(np.uint32)
