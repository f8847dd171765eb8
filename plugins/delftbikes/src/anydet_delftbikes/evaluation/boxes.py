"""The protocol of DelftBikes and the VIPriors challenge: COCO's AP over the parts that are there."""

from __future__ import annotations

from collections.abc import Hashable, Sequence
from dataclasses import KW_ONLY, dataclass, field, replace
from typing import ClassVar

import numpy as np

from anydet.evaluation.coco import CocoEvaluator
from anydet.evaluation.coco_partial import CocoPartial
from anydet.evaluation.engines import choose_engine
from anydet.evaluation.evaluator import Engine
from anydet.evaluation.partial import JoinedImages, MergeableEvaluator, PartialResult
from anydet.evaluation.results import Measured
from anydet.types import BoolArray, DetectionColumns, GroundTruthColumns, IntArray
from anydet_delftbikes.parts import STATES

ABSENT = STATES.index("absent")
"""State of a part that is missing, where the data set does not name its states."""


@dataclass(frozen=True, slots=True, eq=False)
class DelftBikesPartial(PartialResult):
    """COCO's partial results of some images.

    Attributes:
        present: without absent parts.
        every: with all parts.
    """

    present: CocoPartial
    every: CocoPartial


@dataclass(eq=False)
class DelftBikesEvaluator(MergeableEvaluator[DelftBikesPartial]):
    """COCO's numbers at original size without absent parts, and beside them with all.

    Annotations of absent parts are dropped, and so are detections whose own state is "absent"; a detection
    where a part is missing is a false positive otherwise. Every image counts, also one that the
    predictions do not mention.

    Source: VIPriors challenges toolkit, object detection: "the evaluation is done on available parts, namely
    intact, damaged and occluded parts", "on images with their original sizes".

    Attributes:
        classes: the parts.
        absent: the state of a part that is missing.
        engine: matches detections to annotations.
    """

    name: ClassVar[str] = "delftbikes"
    absent: int = ABSENT
    _: KW_ONLY
    engine: Engine
    _present: CocoEvaluator = field(init=False, repr=False)
    _all: CocoEvaluator = field(init=False, repr=False)

    def __post_init__(self) -> None:
        self._present = CocoEvaluator(self.classes, engine=self.engine)
        self._all = CocoEvaluator(self.classes, engine=self.engine)

    @property
    def settings_key(self) -> Hashable:
        """Classes, and which state is absent."""
        return self.classes, self.absent

    def use_engine(self, engine: Engine) -> None:
        """Match with this one."""
        self.engine = engine
        self._present.use_engine(engine)
        self._all.use_engine(engine)

    def applies(self, detections: DetectionColumns, ground_truth: GroundTruthColumns) -> str | None:
        """The reason why there is nothing to measure, or ``None``."""
        if not _is(ground_truth.labels.states, self.absent, len(ground_truth)).any():
            return "no annotation has the state of an absent part"
        return self._all.applies(detections, ground_truth)

    def measure(self, detections: DetectionColumns, ground_truth: GroundTruthColumns) -> DelftBikesPartial:
        """Matches with all parts, and of those that are there."""
        present = ~_is(ground_truth.labels.states, self.absent, len(ground_truth))
        found = detections.take(~_is(detections.states, self.absent, len(detections)))
        true = replace(
            ground_truth,
            image_index=ground_truth.image_index[present],
            labels=ground_truth.labels.take(present),
        )
        return DelftBikesPartial(
            ground_truth.images,
            ground_truth.image_ids,
            self._present.measure(found, true),
            self._all.measure(detections, ground_truth),
        )

    def join(self, partials: Sequence[DelftBikesPartial], images: JoinedImages) -> DelftBikesPartial:
        """One partial result of all images."""
        return DelftBikesPartial(
            images.keys,
            images.ids,
            self._present.join([partial.present for partial in partials], images),
            self._all.join([partial.every for partial in partials], images),
        )

    def result(self) -> Measured:
        """The numbers; those with all states are called ``all_states_AP``, ``all_states_AP50``, ..."""
        joint = self.joint()
        present, every = self._present.result_of(joint.present), self._all.result_of(joint.every)
        tables = [replace(table, title="parts that are there") for table in present.tables]
        tables += [replace(table, title="parts in all states") for table in every.tables]
        return Measured(
            {**present.metrics, **{f"all_states_{name}": value for name, value in every.metrics.items()}},
            tuple(tables),
            {**present.protocol, "absent_state": self.absent, "all_states": dict(every.protocol)},
            present.figures,
        )


def delftbikes_evaluator(ground_truth: GroundTruthColumns) -> DelftBikesEvaluator:
    """The evaluator with the best installed engine; what is registered as ``delftbikes``."""
    return DelftBikesEvaluator(ground_truth.classes, absent_state(ground_truth), engine=choose_engine())


def absent_state(ground_truth: GroundTruthColumns) -> int:
    """The state called "absent", ``ABSENT`` where states have no names; else one that nothing has."""
    names = ground_truth.state_names
    if "absent" in names:
        return names.index("absent")
    # Names of its own and none called absent: no state of such a data set may be dropped.
    return len(names) if names else ABSENT


def _is(states: IntArray | None, state: int, count: int) -> BoolArray:
    return np.zeros(count, np.bool_) if states is None else states == state
