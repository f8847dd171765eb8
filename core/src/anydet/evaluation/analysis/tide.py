"""TIDE: what kinds of errors cost how much AP (Bolya et al. 2020, "TIDE: A General Toolbox ...").

Equal to the package ``tidecv`` on boxes, order of equal scores included. Every detection that is no true
positive has one error, the first of these that fits, with t_f = 0.5 and t_b = 0.1:

- Loc: t_b <= best IoU with its class <= t_f.
- Cls: IoU >= t_f with an annotation of another class.
- Dupe: IoU >= t_f with an annotation of its class that a better detection has.
- Bkg: IoU <= t_b with everything.
- Both: the rest, wrong in class and place.

Miss are annotations that no Loc or Cls error could correct. What a kind costs is the AP gained once it is all
corrected (dAP); FP and FN are the gains of no false positives and of no false negatives.
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from anydet.evaluation.analysis.pool import ImageRows, PooledEvaluator
from anydet.evaluation.figures import Axis, Bar, Bars
from anydet.evaluation.greedy_matching import Overlaps, overlaps
from anydet.evaluation.results import Measured
from anydet.evaluation.tables import Cell, Table
from anydet.types import BoolArray, ClassTable, DetectionColumns, FloatArray, GroundTruthColumns, IntArray

ERRORS = ("Cls", "Loc", "Both", "Dupe", "Bkg", "Miss")
"""In the order in which tidecv lists them."""
_CLS, _LOC, _BOTH, _DUPE, _BKG, TRUE = range(6)
_MOST = 100
"""Detections per image, of all classes together."""
_RECALLS = np.arange(101) / 100


@dataclass(frozen=True, slots=True, eq=False)
class _Found(ImageRows):
    """Detections, of each image in falling score.

    Attributes:
        class_ids: (N,).
        scores: (N,).
        kinds: (N,) error, or ``TRUE``.
        counted: (N,) bool, not excused by a crowd.
        fixed_class: (N,) the class it is a true positive of when its error is corrected, or -1.
    """

    class_ids: IntArray
    scores: FloatArray
    kinds: NDArray[np.int8]
    counted: BoolArray
    fixed_class: IntArray


@dataclass(frozen=True, slots=True, eq=False)
class _Wanted(ImageRows):
    """Annotations that are no crowds.

    Attributes:
        class_ids: (G,).
        found: (G,) bool, some detection matches it.
        missed: (G,) bool, nothing could be corrected to match it.
    """

    class_ids: IntArray
    found: BoolArray
    missed: BoolArray


@dataclass(frozen=True, slots=True, eq=False)
class Errors:
    """What is wrong with each detection, and what became of each annotation.

    Attributes:
        rows: (N,) rows of the detections that are looked at: the best of each image, in falling score.
        kinds: (N,) position in ``ERRORS``, or ``TRUE``.
        counted: (N,) bool, not excused by a crowd.
        fixed_class: (N,) the class it is a true positive of when its error is corrected, or -1.
        found: (G,) bool, some detection matches the annotation.
        missed: (G,) bool, no correction of a detection would match it; crowds never are.
        about: (N,) row of the annotation that a Loc or Cls error is about, else -1.
        iou: (N,) with that annotation, else 0.
    """

    rows: IntArray
    kinds: NDArray[np.int8]
    counted: BoolArray
    fixed_class: IntArray
    found: BoolArray
    missed: BoolArray
    about: IntArray
    iou: FloatArray


class TideEvaluator(PooledEvaluator):
    """AP at one IoU and how much of it each kind of error costs.

    Args:
        classes: the class table of the ground truth.
        foreground: lowest IoU of a match, t_f.
        background: highest IoU with nothing, t_b; above 0.
    """

    name = "tide"

    def __init__(self, classes: ClassTable, foreground: float = 0.5, background: float = 0.1) -> None:
        super().__init__(classes)
        self.foreground, self.background = foreground, background

    def rows(self, detections: DetectionColumns, ground_truth: GroundTruthColumns) -> Sequence[ImageRows]:
        """Errors of the detections, fates of the annotations."""
        errors = self.find_errors(detections, ground_truth)
        found, labels = detections.take(errors.rows), ground_truth.labels
        wanted = ~labels.iscrowd
        return (
            _Found(
                found.image_index,
                found.class_ids,
                found.scores,
                errors.kinds,
                errors.counted,
                errors.fixed_class,
            ),
            _Wanted(
                ground_truth.image_index[wanted],
                labels.class_ids[wanted],
                errors.found[wanted],
                errors.missed[wanted],
            ),
        )

    def find_errors(
        self, detections: DetectionColumns, ground_truth: GroundTruthColumns, most: int = _MOST
    ) -> Errors:
        """The error of each of the best ``most`` detections per image, and what became of each annotation."""
        best_first = _best_per_image(detections, most)
        found = detections.take(best_first)
        pairs = overlaps(found, ground_truth, least=self.background, class_agnostic=True)
        labels = ground_truth.labels
        same = found.class_ids[pairs.detections] == labels.class_ids[pairs.annotations]
        crowd = labels.iscrowd[pairs.annotations]
        # Without crowds: a detection inside one is excused below, it never is a true positive.
        matched, used = _match(
            _kept(pairs, same & ~crowd & (pairs.iou >= self.foreground)), len(found), len(labels)
        )
        inside = pairs.detections[same & crowd & (pairs.iou > self.foreground)]
        kinds, target, iou = self._errors(pairs, same, crowd, used, len(found))
        kinds[matched] = TRUE
        counted = np.ones(len(found), np.bool_)
        counted[inside] = False
        target[matched], iou[matched] = -1, 0.0
        about = target.copy()
        # An annotation that is found already cannot be won by correcting another detection.
        target[target >= 0] = np.where(used[target[target >= 0]], -1, target[target >= 0])
        usable = np.zeros(len(labels), np.bool_)
        usable[target[target >= 0]] = True
        # Of several errors that would be right on one annotation, only the best detection becomes right.
        fixed, first = np.full(len(found), -1, np.int64), _first_of_each(target)
        fixed[first] = labels.class_ids[target[first]]
        missed = ~used & ~usable & ~labels.iscrowd
        return Errors(best_first, kinds, counted | matched, fixed, used, missed, about, iou)

    def _errors(
        self, pairs: Overlaps, same: BoolArray, crowd: BoolArray, used: BoolArray, count: int
    ) -> tuple[NDArray[np.int8], IntArray, FloatArray]:
        """(N,) kinds as if nothing were true, rows of the annotations that would be right or -1, IoUs."""
        own_iou, own = _best(_kept(pairs, same & ~crowd), count)
        other_iou, other = _best(_kept(pairs, ~same & ~crowd), count)
        taken_iou, _ = _best(_kept(pairs, same & ~crowd & used[pairs.annotations]), count)
        any_iou = np.maximum(own_iou, other_iou)
        loc = (own_iou >= self.background) & (own_iou <= self.foreground)
        cls, dupe = other_iou >= self.foreground, taken_iou >= self.foreground
        cases = [loc, cls, dupe, any_iou <= self.background]
        kinds = np.select(cases, [_LOC, _CLS, _DUPE, _BKG], _BOTH).astype(np.int8)
        iou = np.where(loc, own_iou, np.where(cls, other_iou, 0.0))
        return kinds, np.where(loc, own, np.where(cls, other, -1)), iou

    def count(self, images: tuple[str, ...], found: _Found, wanted: _Wanted) -> Measured:
        """AP, dAP of each kind, and how many there are."""
        del images
        base = self._mean_ap(found, wanted, None)
        gains = {kind: max(self._mean_ap(found, wanted, kind) - base, 0.0) for kind in ERRORS}
        special = {kind: self._mean_ap(found, wanted, kind) - base for kind in ("FP", "FN")}
        counts = self._counts(found, wanted)
        rows: list[tuple[Cell, ...]] = [
            (k, gains[k], int(n)) for k, n in zip(ERRORS, counts.sum(axis=1), strict=True)
        ]
        rows += [(kind, gain, None) for kind, gain in special.items()]
        by_class = tuple(
            (name, *column)
            for name, column in zip(self.classes.names, counts.T.tolist(), strict=True)
            if any(column)
        )
        return Measured(
            {
                f"AP{round(100 * self.foreground)}": base,
                **{f"dAP_{k}": v for k, v in {**gains, **special}.items()},
            },
            (
                Table("what errors cost", ("error", "dAP", "count"), tuple(rows)),
                Table("errors by class", ("class", *ERRORS), by_class),
            ),
            {"foreground_iou": self.foreground, "background_iou": self.background},
            (_costs({**gains, **special}, dict(zip(ERRORS, counts.sum(axis=1).tolist(), strict=True))),),
        )

    def _counts(self, found: _Found, wanted: _Wanted) -> IntArray:
        """(6, C) errors of each kind; of detections by their own class."""
        classes = len(self.classes)
        columns = [np.bincount(found.class_ids[found.kinds == kind], minlength=classes) for kind in range(5)]
        return np.stack([*columns, np.bincount(wanted.class_ids[wanted.missed], minlength=classes)])

    def _mean_ap(self, found: _Found, wanted: _Wanted, corrected: str | None) -> float:
        """Mean AP over the classes that have annotations or detections left, as tidecv counts them."""
        classes = len(self.classes)
        positives = np.bincount(wanted.class_ids, minlength=classes)
        if corrected == "Miss":
            positives -= np.bincount(wanted.class_ids[wanted.missed], minlength=classes)
        if corrected == "FN":
            positives -= np.bincount(wanted.class_ids[~wanted.found], minlength=classes)
        class_ids, true, kept = found.class_ids, found.kinds == TRUE, found.counted
        scores, order = found.scores, np.arange(len(true))
        if corrected is not None:
            order = np.argsort(true, kind="stable")  # tidecv puts true positives behind errors of equal score
        if corrected == "FP":
            scores = true.astype(np.float64)
        elif corrected in ERRORS[:5]:
            wrong = found.kinds == ERRORS.index(corrected)
            fixed = wrong & (found.fixed_class >= 0)
            class_ids = np.where(fixed, found.fixed_class, class_ids)
            true, kept = true | fixed, (kept & ~wrong) | fixed
        order = order[kept[order]]
        order = order[np.lexsort((-scores[order], class_ids[order]))]
        values = list(_average_precisions(class_ids[order], true[order], positives))
        return sum(values) / len(values) if values else 0.0


def _costs(gains: Mapping[str, float], counts: Mapping[str, int]) -> Bars:
    """A bar an error; those without a count, FP and FN, hold errors of several kinds."""
    bars = tuple(
        Bar(kind, gain, note=str(counts.get(kind, "")), secondary=kind not in counts)
        for kind, gain in gains.items()
    )
    return Bars(
        "errors", "what errors cost (TIDE)", Axis("AP gained if corrected (and how many there are)"), bars
    )


def tide_evaluator(ground_truth: GroundTruthColumns) -> TideEvaluator:
    """The evaluator that is registered as ``tide``."""
    return TideEvaluator(ground_truth.classes)


def _best_per_image(detections: DetectionColumns, most: int) -> IntArray:
    """Rows of the best detections of each image, in falling score; of equal ones the first row leads."""
    order = np.lexsort((-detections.scores, detections.image_index))
    index = detections.image_index[order]
    kept: IntArray = order[np.arange(len(order)) - np.searchsorted(index, index) < most]
    return kept


def _kept(pairs: Overlaps, which: BoolArray) -> Overlaps:
    return Overlaps(pairs.detections[which], pairs.annotations[which], pairs.iou[which])


def _best(pairs: Overlaps, count: int) -> tuple[FloatArray, IntArray]:
    """(N,) highest IoU of each detection and the row of its annotation, the first of equal ones; 0 and -1."""
    order = np.lexsort((-pairs.annotations, pairs.iou, pairs.detections))
    iou, best = np.zeros(count), np.full(count, -1, np.int64)
    # The last write to a place stays.
    iou[pairs.detections[order]] = pairs.iou[order]
    best[pairs.detections[order]] = pairs.annotations[order]
    return iou, best


def _match(pairs: Overlaps, detections: int, annotations: int) -> tuple[BoolArray, BoolArray]:
    """(N,) detections and (G,) annotations that are matched: best score first, each to the best free one."""
    order = np.lexsort((pairs.annotations, -pairs.iou, pairs.detections))
    matched, used = [False] * detections, [False] * annotations
    for row, target in zip(pairs.detections[order].tolist(), pairs.annotations[order].tolist(), strict=True):
        if not (matched[row] or used[target]):
            matched[row] = used[target] = True
    return np.array(matched, np.bool_), np.array(used, np.bool_)


def _first_of_each(values: IntArray) -> BoolArray:
    """(N,) whether a value that is not -1 stands there for the first time."""
    first = np.zeros(len(values), np.bool_)
    first[np.unique(values, return_index=True)[1]] = True
    return first & (values >= 0)


def _average_precisions(class_ids: IntArray, true: BoolArray, positives: IntArray) -> Iterator[float]:
    """AP of each class that has anything, as the package adds it up."""
    edges = np.searchsorted(class_ids, np.arange(len(positives) + 1))
    for c, count in enumerate(positives.tolist()):
        mine = true[edges[c] : edges[c + 1]]
        if count:
            yield _average_precision(mine, count)
        elif len(mine):
            yield 0.0


def _average_precision(true: BoolArray, positives: int) -> float:
    hits = np.cumsum(true)
    precision = hits / np.arange(1, len(true) + 1)
    precision = np.append(np.maximum.accumulate(precision[::-1])[::-1], 0.0)
    return float(sum(precision[np.searchsorted(hits / positives, _RECALLS)].tolist())) / len(_RECALLS)
