"""A report from a data set and predictions: evaluated, judged row by row, sampled, drawn and packed."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from contextlib import AbstractContextManager, nullcontext
from pathlib import Path
from typing import Any

import numpy as np

from anydet.data.dataset.protocols import Dataset
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
from anydet.report.page.crops import Picture, draw_items, media_type, sides_of
from anydet.report.page.document import assemble
from anydet.report.page.outcomes import ASPECTS, SIZES, STEPS, Column, Judgements, annotation_columns, judge
from anydet.report.page.payload import pack, pack_pictures
from anydet.report.page.sampling import Item, choose
from anydet.text import escaped
from anydet.types import GroundTruthColumns, IntArray
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
class PageSettings:
    """What a page holds.

    Attributes:
        pictures: most items that get a picture.
        resamples: of the intervals; 0 for none.
        level: of the intervals.
        seed: of the resamples.
        skip_unread: leave the pictures of images that cannot be read empty.
    """

    pictures: int = 800
    resamples: int = 1000
    level: float = 0.95
    seed: int = 0
    skip_unread: bool = False


@dataclass(frozen=True, slots=True, eq=False)
class Page:
    """A finished report.

    Attributes:
        html: the document.
        names: of the models, as the page calls them.
        runs: what the evaluators gave, by model.
        comparisons: of each further model with the first.
        pictures: items that have one.
        left_out: detections and annotations that have none.
        unread: keys of images that could not be read.
    """

    html: str
    names: tuple[str, ...]
    runs: tuple[EvaluationRun, ...]
    comparisons: tuple[Comparison, ...]
    pictures: int
    left_out: int
    unread: tuple[str, ...]


def _silent(label: str, total: int, unit: str) -> AbstractContextManager[Callable[[int], None]]:
    del label, total, unit
    return nullcontext(lambda count: None)


def build_page(
    models: Sequence[Model],
    dataset: Dataset,
    settings: PageSettings | None = None,
    *,
    plugins: Plugins | None = None,
    engine: Engine | None = None,
    progress: Progress = _silent,
) -> Page:
    """The report of one model, or of several on the same images.

    Args:
        models: at least one; the others are compared with the first.
        dataset: has the images.
        settings: what the page holds.
        plugins: where evaluators come from; the installed ones by default.
        engine: matches boxes for COCO's metrics; the best installed one by default.
        progress: shows what is done.

    Raises:
        EvaluationError: COCO's metrics do not apply, or two files have other classes.
        ImageError: an image cannot be read, and they are not to be skipped.
    """
    settings, plugins = settings or PageSettings(), plugins or Plugins.from_env()
    truth = _common_truth(models)
    runs, comparisons = _evaluate(models, settings, plugins, engine, progress)
    found = [model.inputs.detections for model in models]
    annotations = annotation_columns(truth)
    judged = []
    with progress("judge", len(models), "files") as advance:
        for columns in found:
            judged.append(judge(columns, truth))
            advance(1)
    items = choose(truth, annotations, found, judged, settings.pictures)
    with progress("crop", len(items), "pictures") as advance:
        pictures, unread = draw_items(
            items, dataset, sides_of(truth, found), judged, skip=settings.skip_unread, advance=advance
        )
    names = _names([model.path for model in models])
    header = {
        **_describe(truth, models, names, runs, settings),
        "comparisons": [_difference(one) for one in comparisons],
        "items": [_written(picture) for picture in pictures],
        "unread": [escaped(key) for key in unread],
    }
    content, header["picture_bytes"] = pack_pictures([picture.content for picture in pictures])
    packed = pack(header, _columns(truth, annotations, models, judged, runs))
    title = (
        f"anydet report: {', '.join(names)} on {escaped(str(models[0].inputs.context.get('dataset', '')))}"
    )
    return Page(
        assemble(title, packed, content),
        names,
        tuple(runs),
        tuple(comparisons),
        len(items),
        len(truth) + sum(map(len, found)) - len(items),
        tuple(unread),
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
    settings: PageSettings,
    plugins: Plugins,
    engine: Engine | None,
    progress: Progress,
) -> tuple[list[EvaluationRun], list[Comparison]]:
    """All evaluators on each model, and the differences to the first."""
    draws: dict[str, Any] = {
        "resamples": settings.resamples,
        "level": settings.level,
        "seed": settings.seed,
    }
    runs, comparisons = [], []
    with progress("evaluate", 2 * len(models) - 1, "steps") as advance:
        for model in models:
            analysis = AnalysisSettings(**draws)
            run = run_evaluators([model.inputs], plugins=plugins, engine=engine, analysis=analysis)
            if "coco" not in run.results:
                reason = run.skipped.get("coco") or str(run.failed.get("coco", "it is not installed"))
                raise EvaluationError(
                    f"{model.path}: no report without COCO's metrics, which do not apply: {reason}",
                    fix="give a data set with boxes",
                )
            runs.append(run)
            advance(1)
        for other in models[1:] if settings.resamples else ():
            both = [prepare_coco([one.inputs], engine=engine) for one in (models[0], other)]
            comparisons.append(compare(*both, **draws))
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
    settings: PageSettings,
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
        "draws": {"resamples": settings.resamples, "level": settings.level, "seed": settings.seed},
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


def _written(picture: Picture) -> dict[str, Any]:
    item: Item = picture.item
    return {
        "m": item.model,
        "r": item.row,
        "wh": picture.size_wh,
        "marks": picture.marks,
        "iou": picture.iou,
        "more": picture.marks_left_out,
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
