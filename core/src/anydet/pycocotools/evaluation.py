"""``evaluate`` and ``accumulate`` of pycocotools' ``COCOeval`` on the compiled engine.

They are functions of any object of that class, so that one that exists already can be given them
(``patching``). Attributes that are rarely looked at are computed when they are taken.
"""

from __future__ import annotations

import contextlib
import copy
import io
import time
from collections import defaultdict
from collections.abc import Iterator, Mapping
from dataclasses import replace
from datetime import datetime
from functools import cache, cached_property
from typing import Any
from weakref import WeakSet

import numpy as np
from pycocotools.cocoeval import COCOeval as Original

from anydet.dataclass import dataclass
from anydet.errors import AnydetError
from anydet.evaluation.engines import choose_engine
from anydet.evaluation.evaluator import Engine, EngineArrays, EngineParams
from anydet.evaluation.matches import Matches
from anydet.pycocotools import columns

if Original.__module__ != "pycocotools.cocoeval":
    raise AnydetError(
        f"pycocotools was replaced by {Original.__module__} in this process",
        fix="call anydet.patch_pycocotools() in place of what replaced it",
    )

ORIGINAL = {name: vars(Original)[name] for name in ("evaluate", "accumulate", "_prepare")}
"""pycocotools' own methods, whatever the class is given later."""
_STEPS = {name: vars(Original)[name] for name in ("computeIoU", "computeOks", "evaluateImg")}
MATCHED = "_anydet_matched"
"""Attribute of an evaluator with what ``evaluate`` found."""
ON_DEMAND = ("evalImgs", "ious", "_gts", "_dts")
lazy_evaluators: WeakSet[Any] = WeakSet()
"""Evaluators that have not computed all of ``ON_DEMAND``, but for those that were copied."""
REFUSED = (
    *(columns.UnusualError, AnydetError),
    *(AttributeError, KeyError, TypeError, ValueError, OverflowError),
)
"""Raised where something has no place in columns; pycocotools' code gives the result or the error then."""


@dataclass(frozen=True, slots=True, eq=False)
class Matched:
    """What came of an evaluation.

    Attributes:
        matches: of all detections.
        counted: what was counted, as engines take it.
        params: the same as pycocotools has it.
    """

    matches: Matches
    counted: EngineParams
    params: Any


def evaluate(self: Any) -> None:
    """Match detections to annotations; ``COCOeval.evaluate``."""
    vars(self).pop(MATCHED, None)
    if compiled() is None or not _has_own_steps(self):
        ORIGINAL["evaluate"](self)
        return
    start = time.time()
    print("Running per image evaluation...")
    _complete(self.params)
    try:
        matched = _match(self)
    except REFUSED:
        with contextlib.redirect_stdout(io.StringIO()):
            ORIGINAL["evaluate"](self)
    else:
        self.eval = {}
        self._paramsEval = matched.params
        vars(self)[MATCHED] = matched
        for name in ON_DEMAND:
            vars(self).pop(name, None)
        lazy_evaluators.add(self)
    print(f"DONE (t={time.time() - start:0.2f}s).")


def accumulate(self: Any, p: Any = None) -> None:
    """Compute ``eval``, the curves of all classes; ``COCOeval.accumulate``.

    Once ``evalImgs`` was taken, or set, its content counts, whatever was done to it.
    """
    matched: Matched | None = vars(self).get(MATCHED)
    params = self.params if p is None else p
    if matched is None or "evalImgs" in vars(self) or not _agree(params, matched.params):
        ORIGINAL["accumulate"](self, p)
        return
    print("Accumulating evaluation results...")
    start = time.time()
    # pycocotools leaves it so, and evaluates no class after that.
    params.catIds = params.catIds if params.useCats == 1 else [-1]
    arrays = curves(matched, params)
    self.eval = {
        "params": params,
        "counts": [*arrays.precision.shape],
        "date": datetime.now().strftime("%Y-%m-%d %H:%M:%S"),
        "precision": arrays.precision,
        "recall": arrays.recall,
        "scores": arrays.scores,
    }
    print(f"DONE (t={time.time() - start:0.2f}s).")


def curves(matched: Matched, params: Any) -> EngineArrays:
    """Precision, recall and scores at the recall thresholds of ``params``."""
    recalls = np.asarray(params.recThrs, np.float64)
    engine = compiled() or choose_engine()
    return engine.accumulate(matched.matches, replace(matched.counted, recall_thresholds=recalls))


@cache
def compiled() -> Engine | None:
    """The best engine, or ``None`` where that is pycocotools itself."""
    engine = choose_engine()
    return None if engine.name == "pycocotools" else engine


def _has_own_steps(evaluator: Any) -> bool:
    """Whether overlaps and matches are those of pycocotools, overridden by nobody."""
    return not vars(evaluator).keys() & _STEPS.keys() and all(
        getattr(type(evaluator), name) is step for name, step in _STEPS.items()
    )


def _complete(params: Any) -> None:
    """Sort and complete ``COCOeval.params``, as ``evaluate`` of pycocotools does, with what that prints."""
    if params.useSegm is not None:
        params.iouType = "segm" if params.useSegm == 1 else "bbox"
        print(f"useSegm (deprecated) is not None. Running {params.iouType} evaluation")
    print(f"Evaluate annotation type *{params.iouType}*")
    sort_params(params)


def sort_params(params: Any) -> None:
    """Sort images, classes and limits, as ``evaluate`` does."""
    params.imgIds = list(np.unique(params.imgIds))
    if params.useCats:
        params.catIds = list(np.unique(params.catIds))
    params.maxDets = sorted(params.maxDets)


def _match(evaluator: Any) -> Matched:
    if type(evaluator)._prepare is not ORIGINAL["_prepare"]:
        raise columns.UnusualError
    params = evaluator.params
    counted = columns.engine_params(params)
    truth = columns.annotations_of(evaluator.cocoGt, params)
    found = columns.annotations_of(evaluator.cocoDt, params)
    if counted.iou_type == "segm":
        columns.set_masks(evaluator.cocoGt, truth)
        columns.set_masks(evaluator.cocoDt, found)
    columns.set_ignored(truth, counted.iou_type)
    matches = match(evaluator, truth, found, counted)
    return Matched(matches, counted, copy.deepcopy(params))


def match(
    evaluator: Any, truth: list[columns.Annotation], found: list[columns.Annotation], counted: EngineParams
) -> Matches:
    """What the engine finds for annotations and results as dictionaries."""
    params, engine = evaluator.params, compiled() or choose_engine()
    rows = columns.by_class(found, params)
    detections = columns.detection_columns(evaluator.cocoDt, rows, params, counted)
    rows = columns.by_class(truth, params)
    annotations = columns.truth_columns(evaluator.cocoGt, rows, params, counted)
    return engine.match(detections, annotations, counted)


def _agree(params: Any, evaluated: Any) -> bool:
    """Whether curves are wanted of exactly what was evaluated; other recall thresholds are fine."""
    names = ("imgIds", "iouThrs", "areaRng", "maxDets", *(("catIds",) if evaluated.useCats else ()))
    if params is evaluated:
        return True
    try:
        recalls = np.asarray(params.recThrs, np.float64)
        return (
            params.useCats == evaluated.useCats
            and bool(len(recalls) and np.isfinite(recalls).all() and (np.diff(recalls) >= 0).all())
            and all(np.array_equal(getattr(params, name), getattr(evaluated, name)) for name in names)
        )
    except (AttributeError, TypeError, ValueError):
        return False


@contextlib.contextmanager
def _as_evaluated(evaluator: Any) -> Iterator[Any]:
    """The parameters of the evaluation; raises ``AttributeError`` where there was none."""
    matched: Matched | None = vars(evaluator).get(MATCHED)
    if matched is None:
        raise AttributeError("nothing was evaluated")
    now = evaluator.params
    evaluator.params = matched.params
    try:
        yield matched.params
    finally:
        evaluator.params = now


def _grouped(coco: Any, params: Any) -> dict[tuple[Any, Any], list[columns.Annotation]]:
    """Annotations by image and class."""
    groups: dict[tuple[Any, Any], list[columns.Annotation]] = defaultdict(list)
    for one in columns.annotations_of(coco, params):
        groups[one["image_id"], one["category_id"]].append(one)
    return groups


def _gts(self: Any) -> dict[tuple[Any, Any], list[columns.Annotation]]:
    with _as_evaluated(self) as params:
        return _grouped(self.cocoGt, params)


def _dts(self: Any) -> dict[tuple[Any, Any], list[columns.Annotation]]:
    with _as_evaluated(self) as params:
        return _grouped(self.cocoDt, params)


def _ious(self: Any) -> dict[tuple[Any, Any], Any]:
    with _as_evaluated(self) as params:
        compute = self.computeOks if params.iouType == "keypoints" else self.computeIoU
        classes = params.catIds if params.useCats else [-1]
        return {(image, c): compute(image, c) for image in params.imgIds for c in classes}


def _eval_imgs(self: Any) -> list[dict[str, Any] | None]:
    with _as_evaluated(self) as params:
        return [
            self.evaluateImg(image, class_id, area, params.maxDets[-1])
            for class_id in (params.catIds if params.useCats else [-1])
            for area in params.areaRng
            for image in params.imgIds
        ]


def fill(evaluator: Any) -> None:
    """Compute all that is computed on demand."""
    for name in ON_DEMAND:
        getattr(evaluator, name, None)
    lazy_evaluators.discard(evaluator)


def replacements(kind: type) -> Mapping[str, Any]:
    """What ``kind``, a ``COCOeval``, is given in place of its own.

    Attributes compute themselves when they are taken from an evaluator that has none of the name.
    """
    computed = {"evalImgs": _eval_imgs, "ious": _ious, "_gts": _gts, "_dts": _dts}
    attributes = {name: cached_property(function) for name, function in computed.items()}
    for name, attribute in attributes.items():
        attribute.__set_name__(kind, name)
    return {"evaluate": evaluate, "accumulate": accumulate, **attributes}
