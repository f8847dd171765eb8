"""The same for ``COCOeval_faster`` of the package faster_coco_eval, as torchmetrics and rfdetr use it.

Its results by image are in C++. What else it computes (``extra_calc``, ``separate_eval``, ``lvis_style``,
boundaries, crowded keypoints, ``extended_metrics``) is left to it.
"""

from __future__ import annotations

import copy
import time
from collections.abc import Mapping
from datetime import datetime
from functools import cached_property
from typing import Any

from faster_coco_eval import COCOeval_faster

from anydet.pycocotools import columns, evaluation

_STEPS = {name: getattr(COCOeval_faster, name) for name in ("computeIoU", "computeOks", "_prepare")}
_ORIGINAL = {name: vars(COCOeval_faster)[name] for name in ("evaluate", "compute_mIoU", "extended_metrics")}


def evaluate(self: Any) -> None:
    """Match detections to annotations and compute the curves; ``COCOeval_faster.evaluate``."""
    vars(self).pop(evaluation.MATCHED, None)
    if not _is_usual(self):
        _ORIGINAL["evaluate"](self)
        return
    start = time.time()
    try:
        matched = _match(self)
    except evaluation.REFUSED:
        _ORIGINAL["evaluate"](self)
        return
    self.print_function(f"Evaluate annotation type *{self.params.iouType}*")
    vars(self).pop("ious", None)
    vars(self)[evaluation.MATCHED] = matched
    evaluation.lazy_evaluators.add(self)
    self._paramsEval = matched.params
    arrays = evaluation.curves(matched, matched.params)
    self.eval = {
        "params": matched.params,
        "counts": [*arrays.precision.shape],
        "date": datetime.now().strftime("%Y-%m-%d %H:%M:%S"),
        "precision": arrays.precision,
        "scores": arrays.scores,
        "recall": arrays.recall,
    }
    self.print_function("COCOeval_opt.evaluate() finished...")
    self.print_function(f"DONE (t={time.time() - start:0.2f}s).")


def replacements() -> Mapping[str, Any]:
    """What the class is given in place of its own."""
    overlaps = cached_property(_ious)
    overlaps.__set_name__(COCOeval_faster, "ious")
    return {
        "evaluate": evaluate,
        "ious": overlaps,
        "compute_mIoU": _mean_iou,
        "extended_metrics": property(_extended_metrics),
    }


def _is_usual(evaluator: Any) -> bool:
    """Whether pycocotools would compute the same, with overlaps that nobody has overridden."""
    own = not vars(evaluator).keys() & _STEPS.keys() and all(
        getattr(type(evaluator), name) is step for name, step in _STEPS.items()
    )
    more = evaluator.extra_calc or evaluator.lvis_style or evaluator.separate_eval
    return own and evaluator.use_area and not more and evaluation.compiled() is not None


def _match(evaluator: Any) -> evaluation.Matched:
    params = evaluator.params
    evaluation.sort_params(params)
    counted = columns.engine_params(params)
    # What faster_coco_eval takes for stated where it is not.
    absent: dict[str, Any] = {"iscrowd": 0}
    if counted.iou_type == "keypoints":
        absent["num_keypoints"] = 0
    truth = [absent | one for one in columns.annotations_of(evaluator.cocoGt, params)]
    found = columns.annotations_of(evaluator.cocoDt, params)
    matches = evaluation.match(evaluator, truth, found, counted)
    return evaluation.Matched(matches, counted, copy.deepcopy(params))


def _evaluated(evaluator: Any, matched: evaluation.Matched) -> Any:
    """A copy that faster_coco_eval has evaluated."""
    other = copy.copy(evaluator)
    other.params = copy.deepcopy(matched.params)
    other.print_function = lambda text: None
    _ORIGINAL["evaluate"](other)
    return other


def _ious(self: Any) -> dict[tuple[Any, Any], Any]:
    matched: evaluation.Matched | None = vars(self).get(evaluation.MATCHED)
    if matched is None:
        raise AttributeError("nothing was evaluated")
    found: dict[tuple[Any, Any], Any] = _evaluated(self, matched).ious
    return found


def _complete(evaluator: Any) -> None:
    """Add the pairs that matched to ``eval``, where faster_coco_eval has them."""
    matched: evaluation.Matched | None = vars(evaluator).get(evaluation.MATCHED)
    if matched is not None and "matched" not in evaluator.eval:
        evaluator.eval["matched"] = _evaluated(evaluator, matched).eval["matched"]


def _mean_iou(self: Any) -> float:
    _complete(self)
    return float(_ORIGINAL["compute_mIoU"](self))


def _extended_metrics(self: Any) -> dict[str, Any]:
    _complete(self)
    found: dict[str, Any] = _ORIGINAL["extended_metrics"].__get__(self, type(self))
    return found


__all__ = ["COCOeval_faster", "evaluate", "replacements"]
