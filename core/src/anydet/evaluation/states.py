"""Accuracy of the predicted states of parts: on matched detections, and as AP of a part in a state."""

from __future__ import annotations

import math
from collections.abc import Hashable, Mapping, Sequence
from dataclasses import KW_ONLY, dataclass, field, replace
from typing import Any, ClassVar

import numpy as np

from anydet.errors import EvaluationError
from anydet.evaluation.coco import CocoEvaluator
from anydet.evaluation.coco_partial import CocoPartial
from anydet.evaluation.confusion import Confusion, cells, mean
from anydet.evaluation.engines import choose_engine
from anydet.evaluation.evaluator import Engine, EngineArrays
from anydet.evaluation.figures import Matrix
from anydet.evaluation.greedy_matching import pair
from anydet.evaluation.partial import JoinedImages, MergeableEvaluator, PartialResult
from anydet.evaluation.results import Measured
from anydet.evaluation.tables import Table
from anydet.types import ClassTable, DetectionColumns, FloatArray, GroundTruthColumns, IntArray

_UNNAMED_STATES = 4


@dataclass(frozen=True, slots=True, eq=False)
class StatePartial(PartialResult):
    """What is kept of some images.

    Attributes:
        counts: (C, S, S + 1) matched annotations by class, true state and predicted state; the last column
            is no state.
        labeled: (C,) annotations whose state is known.
        any_state: COCO's partial result over the classes.
        each_state: COCO's partial result with a class for each class in each state.
    """

    counts: IntArray
    labeled: IntArray
    any_state: CocoPartial
    each_state: CocoPartial


@dataclass(eq=False)
class StateEvaluator(MergeableEvaluator[StatePartial]):
    """Accuracy, macro-F1 and confusion of states, in all and of each part, and AP of each part in each state.

    A detection is matched by its part alone (COCO's greedy order at one IoU); it then has the right state or
    not. For AP a part in a state is a class of its own, so that a wrong state is a miss and a false alarm.
    Annotations of unknown state are left out, with the detections that match them.

    Attributes:
        classes: the parts.
        states: names of the states 0, 1, ...
        engine: matches detections for AP.
        iou_threshold: lowest IoU of a match that states are compared on.
        score_threshold: detections below are not matched; AP takes all.
    """

    name: ClassVar[str] = "states"
    states: tuple[str, ...]
    _: KW_ONLY
    engine: Engine
    iou_threshold: float = 0.5
    score_threshold: float = 0.0
    _any_state: CocoEvaluator = field(init=False, repr=False)
    _each_state: CocoEvaluator = field(init=False, repr=False)

    def __post_init__(self) -> None:
        names = tuple(f"{part} {state}" for state in self.states for part in self.classes.names)
        self._any_state = CocoEvaluator(self.classes, engine=self.engine)
        self._each_state = CocoEvaluator(ClassTable(names), engine=self.engine)

    @property
    def settings_key(self) -> Hashable:
        """Classes, states and thresholds."""
        return self.classes, self.states, self.iou_threshold, self.score_threshold

    def use_engine(self, engine: Engine) -> None:
        """Match with this one."""
        self.engine = engine
        self._any_state.use_engine(engine)
        self._each_state.use_engine(engine)

    def applies(self, detections: DetectionColumns, ground_truth: GroundTruthColumns) -> str | None:
        """The reason why there is nothing to measure, or ``None``."""
        if ground_truth.labels.states is None or not (ground_truth.labels.states >= 0).any():
            return "the data set has no states"
        if detections.states is None or not (detections.states >= 0).any():
            return "the predictions have no states"
        return None

    def measure(self, detections: DetectionColumns, ground_truth: GroundTruthColumns) -> StatePartial:
        """States of matched annotations, and matches for AP.

        Raises ``EvaluationError`` for a state that the data set does not have.
        """
        found, true = _states(detections.states, len(detections)), _true_states(ground_truth)
        _check(found, len(self.states), "detections", detections)
        _check(true, len(self.states), "annotations", ground_truth)
        pairs = pair(detections, ground_truth, iou_threshold=self.iou_threshold)
        certain = np.ones(len(detections), np.bool_)
        # What matches an annotation of unknown state is neither right nor wrong and counts nowhere.
        certain[pairs.hits] = true[pairs.annotations[pairs.hits]] >= 0
        hits = pairs.hits[certain[pairs.hits] & (detections.scores[pairs.hits] >= self.score_threshold)]
        by_state = self._by_state(detections.take(certain & (found >= 0)), ground_truth)
        return StatePartial(
            ground_truth.images,
            ground_truth.image_ids,
            *self._count(ground_truth, pairs.annotations[hits], found[hits]),
            self._any_state.measure(detections, ground_truth),
            self._each_state.measure(*by_state),
        )

    def join(self, partials: Sequence[StatePartial], images: JoinedImages) -> StatePartial:
        """One partial result of all images."""
        return StatePartial(
            images.keys,
            images.ids,
            np.sum([partial.counts for partial in partials], axis=0),
            np.sum([partial.labeled for partial in partials], axis=0),
            self._any_state.join([partial.any_state for partial in partials], images),
            self._each_state.join([partial.each_state for partial in partials], images),
        )

    def result(self) -> Measured:
        """The numbers; calling it twice gives the same."""
        kept = self.joint()
        parts = self._any_state.result_of(kept.any_state)
        joint = self._each_state.result_of(kept.each_state)
        every = Confusion(kept.counts.sum(axis=0))
        precision = _mean_precision(joint.arrays).reshape(len(self.states), len(self.classes))
        matched, labeled = int(every.true.sum()), int(kept.labeled.sum())
        metrics = {
            "accuracy": every.accuracy,
            "balanced_accuracy": every.balanced_accuracy,
            "macro_f1": every.macro_f1,
            "majority_accuracy": every.majority,
            "matched": matched / labeled if labeled else None,
            "AP": joint.metrics["AP"],
            "AP50": joint.metrics["AP50"],
            **{f"AP_{state}": mean(row) for state, row in zip(self.states, precision, strict=True)},
        }
        tables = (
            every.rates("states", self.states, "state"),
            every.table("confusion of states", self.states),
            self._part_rates(kept),
            self._part_confusions(kept),
            self._part_precision(_mean_precision(parts.arrays), precision),
        )
        matrix = Matrix.of_counts(
            tables[1], "confusion", rows="true", columns="predicted", value="annotations"
        )
        return Measured(metrics, tables, self._protocol(joint.protocol, matched, labeled), (matrix,))

    def _count(
        self, ground_truth: GroundTruthColumns, matched: IntArray, found: IntArray
    ) -> tuple[IntArray, IntArray]:
        """``counts`` and ``labeled`` of ``StatePartial``, from matched annotations and the states found."""
        classes, true, states = ground_truth.labels.class_ids, _true_states(ground_truth), len(self.states)
        column = np.where(found < 0, states, found)
        # One number for each cell of the three axes, so that a single bincount counts all of them.
        flat = (classes[matched] * states + true[matched]) * (states + 1) + column
        shape = len(self.classes), states, states + 1
        counts = np.bincount(flat, minlength=math.prod(shape)).reshape(shape)
        counted = (true >= 0) & ~ground_truth.labels.iscrowd
        return counts, np.bincount(classes[counted], minlength=len(self.classes))

    def _by_state(
        self, detections: DetectionColumns, ground_truth: GroundTruthColumns
    ) -> tuple[DetectionColumns, GroundTruthColumns]:
        """Both with a class for each part in each state; annotations of unknown state are dropped."""
        count = len(self.classes)
        found = _states(detections.states, len(detections))
        kept = _true_states(ground_truth) >= 0
        labels = ground_truth.labels.take(kept)
        true = _states(labels.states, len(labels))
        return (
            replace(detections, class_ids=found * count + detections.class_ids),
            replace(
                ground_truth,
                image_index=ground_truth.image_index[kept],
                labels=replace(labels, class_ids=true * count + labels.class_ids),
                classes=self._each_state.classes,
            ),
        )

    def _part_rates(self, kept: StatePartial) -> Table:
        rows = []
        for part, counts, labeled in zip(self.classes.names, kept.counts, kept.labeled.tolist(), strict=True):
            one = Confusion(counts)
            rates = one.accuracy, one.balanced_accuracy, one.macro_f1, one.majority
            rows.append((part, labeled, int(one.true.sum()), *rates))
        header = ("part", "annotations", "matched", "accuracy", "balanced accuracy", "macro-F1", "majority")
        return Table("states of each part", header, tuple(rows))

    def _part_confusions(self, kept: StatePartial) -> Table:
        rows = [
            (f"{part}: {state}", *counts)
            for part, table in zip(self.classes.names, kept.counts.tolist(), strict=True)
            for state, counts in zip(self.states, table, strict=True)
            if sum(counts)
        ]
        return Table("confusion of each part", ("part: true state", *self.states, "nothing"), tuple(rows))

    def _part_precision(self, parts: FloatArray, precision: FloatArray) -> Table:
        rows = zip(self.classes.names, cells(parts), *map(cells, precision), strict=True)
        return Table("AP of each part", ("part", "in any state", *self.states), tuple(rows))

    def _protocol(self, joint: Mapping[str, Any], matched: int, labeled: int) -> dict[str, Any]:
        return {
            "iou_threshold": self.iou_threshold,
            "score_threshold": self.score_threshold,
            "states": list(self.states),
            "annotations_with_state": labeled,
            "matched": matched,
            "AP": {name: joint[name] for name in ("iou_thresholds", "max_detections", "crowd", "engine")},
        }


def state_evaluator(ground_truth: GroundTruthColumns) -> StateEvaluator:
    """The evaluator of states with the best installed engine; what is registered as ``states``."""
    return StateEvaluator(ground_truth.classes, state_names(ground_truth), engine=choose_engine())


def state_names(ground_truth: GroundTruthColumns) -> tuple[str, ...]:
    """The data set's names of states; "0" to "3" or more where it has none."""
    if ground_truth.state_names:
        return ground_truth.state_names
    most = int(_true_states(ground_truth).max(initial=-1)) + 1
    return tuple(map(str, range(max(_UNNAMED_STATES, most))))


def _true_states(ground_truth: GroundTruthColumns) -> IntArray:
    return _states(ground_truth.labels.states, len(ground_truth))


def _states(states: IntArray | None, count: int) -> IntArray:
    return np.full(count, -1, np.int64) if states is None else states


def _check(states: IntArray, count: int, what: str, columns: DetectionColumns | GroundTruthColumns) -> None:
    wrong = states >= count
    if wrong.any():
        row = int(np.argmax(wrong))
        raise EvaluationError(
            f"{np.count_nonzero(wrong)} {what} have undefined states, such as {states[row]} "
            f"in image {columns.images[columns.image_index[row]]}; its {count} states are 0 to {count - 1}",
            fix="export with the states of the data set, or name all of them in it",
        )


def _mean_precision(arrays: EngineArrays) -> FloatArray:
    """(C,) AP of each class over all areas; NaN where it has no ground truth."""
    precision = arrays.precision[:, :, :, 0, -1]
    return np.where(precision[0, 0] > -1, precision.mean(axis=(0, 1)), np.nan)
