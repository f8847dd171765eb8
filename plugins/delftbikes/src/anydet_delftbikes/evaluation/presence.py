"""Whether the parts of an image are there at all, by its best detections."""

from __future__ import annotations

from collections.abc import Hashable, Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING, ClassVar

import numpy as np

from anydet.evaluation.analysis.thresholds import OperatingPoint, find_operating_point
from anydet.evaluation.confusion import Confusion, cells, mean
from anydet.evaluation.partial import JoinedImages, MergeableEvaluator, PartialResult
from anydet.evaluation.ranking import area_under_roc, average_precision
from anydet.evaluation.results import Measured
from anydet.evaluation.tables import Table
from anydet.types import DetectionColumns, FloatArray, GroundTruthColumns, IntArray
from anydet_delftbikes.evaluation.boxes import ABSENT, absent_state

if TYPE_CHECKING:
    from typing_extensions import Self

_NOWHERE = -np.inf
"""Score of a part that nothing was detected of; below every other."""
_HEADER = (
    *("part", "present", "absent", "AP", "AUROC", "F1", "accuracy", "majority"),
    *("own best threshold", "own best F1"),
)


@dataclass(frozen=True, slots=True, eq=False)
class PresencePartial(PartialResult):
    """Scores and presence of each part on some images.

    Attributes:
        scores: (I, C) highest score of the part's detections.
        present: (I, C) 1 where the part is there, 0 where it is absent, -1 where that is unknown.
    """

    scores: FloatArray
    present: IntArray


@dataclass(eq=False)
class PresenceEvaluator(MergeableEvaluator[PresencePartial]):
    """AP and AUROC of ranking images with a part above those without, and F1 and accuracy at a threshold.

    A part is present on an image unless its state there is "absent", with a box or without; where its state
    is unknown it does not count. Its score is that of its best detection, wherever that is, without
    detections whose own state is "absent"; an image without any ranks last. AP and AUROC are means over
    the parts that some images have and others have not; only those can be ranked.

    The threshold is the one of the highest F1 over all parts on the very images that are evaluated; numbers
    that rest on it are called "at best" for that reason.

    Attributes:
        classes: the parts.
        absent: the state of a part that is missing.
    """

    name: ClassVar[str] = "presence"
    absent: int = ABSENT

    @property
    def settings_key(self) -> Hashable:
        """Classes, and which state is absent."""
        return self.classes, self.absent

    def applies(self, detections: DetectionColumns, ground_truth: GroundTruthColumns) -> str | None:
        """The reason why there is nothing to measure, or ``None``."""
        states = _part_states(ground_truth)
        if states is None:
            return "the data set does not state which parts its images have"
        return None if (states == self.absent).any() else "no part is absent on any image"

    def measure(self, detections: DetectionColumns, ground_truth: GroundTruthColumns) -> PresencePartial:
        """Scores and presence of each part on each image; none where no states are known."""
        states = _part_states(ground_truth)
        if states is None:
            none = np.zeros((0, len(self.classes)))
            return PresencePartial((), None, none, none.astype(np.int64))
        if detections.states is not None:
            # A detection that states its part as absent is no evidence that the part is there.
            detections = detections.take(detections.states != self.absent)
        scores = np.full(states.shape, _NOWHERE)
        np.maximum.at(scores, (detections.image_index, detections.class_ids), detections.scores)
        present = np.where(states < 0, -1, states != self.absent)
        return PresencePartial(ground_truth.images, ground_truth.image_ids, scores, present)

    def join(self, partials: Sequence[PresencePartial], images: JoinedImages) -> PresencePartial:
        """The rows of all images, in the images' order."""
        order = np.argsort(np.concatenate(images.places))
        return PresencePartial(
            images.keys,
            images.ids,
            np.concatenate([partial.scores for partial in partials])[order],
            np.concatenate([partial.present for partial in partials])[order],
        )

    def result(self) -> Measured:
        """The numbers; calling it twice gives the same.

        Raises ``EvaluationError`` where no image was added, or one twice.
        """
        joint = self.joint()
        scores, present = joint.scores, joint.present
        best = _best_point(scores, present)
        found = (scores >= (best.threshold if best else np.inf)).astype(np.int64)
        every = Confusion.of(present.ravel(), found.ravel(), 2)
        columns = [(scores[:, c], present[:, c], found[:, c]) for c in range(len(self.classes))]
        parts = [_Part.of(*column) for column in columns]
        metrics = {
            "presence_AP": mean(np.array([part.precision for part in parts])),
            "presence_AP_chance": mean(np.array([part.chance for part in parts])),
            "presence_AUROC": mean(np.array([part.auroc for part in parts])),
            "presence_threshold": best.threshold if best else None,
            "presence_F1_at_best": _f1(every),
            "presence_F1_all_present": _f1_all_present(every),
            "presence_accuracy_at_best": every.accuracy,
            "presence_balanced_accuracy_at_best": every.balanced_accuracy,
            "presence_majority_accuracy": _majority([part.counts for part in parts]),
        }
        rows = zip(self.classes.names, parts, strict=True)
        table = Table("presence of each part", _HEADER, tuple((name, *part.cells()) for name, part in rows))
        return Measured(
            metrics,
            (table, every.table("presence of all parts", ("absent", "present"))),
            self._protocol(joint),
        )

    def _protocol(self, joint: PresencePartial) -> dict[str, int | str]:
        present = joint.present
        vary = (present == 0).any(axis=0) & (present == 1).any(axis=0)
        return {
            "images": len(joint.images),
            "absent_state": self.absent,
            "parts_present": int(np.count_nonzero(present == 1)),
            "parts_absent": int(np.count_nonzero(present == 0)),
            "parts_unknown": int(np.count_nonzero(present < 0)),
            "classes_in_means": int(np.count_nonzero(vary)),
            "threshold": "of the highest F1 over all parts, on these images",
        }


def presence_evaluator(ground_truth: GroundTruthColumns) -> PresenceEvaluator:
    """The evaluator for the data set's parts; what is registered as ``presence``."""
    return PresenceEvaluator(ground_truth.classes, absent_state(ground_truth))


@dataclass(frozen=True, slots=True, eq=False)
class _Part:
    """What came of one part; NaN where images do not differ in it."""

    counts: Confusion
    precision: float
    chance: float
    auroc: float
    best: OperatingPoint | None

    @classmethod
    def of(cls, scores: FloatArray, present: IntArray, found: IntArray) -> Self:
        """Of (I,) scores, presence (-1 unknown), and what the common threshold makes of the scores."""
        known = present >= 0
        right, ranked = present[known] == 1, scores[known]
        counts, best = Confusion.of(present, found, 2), _best_point(scores, present)
        if right.all() or not right.any():
            return cls(counts, np.nan, np.nan, np.nan, best)
        precision = average_precision(ranked, right)
        return cls(counts, precision, float(right.mean()), area_under_roc(ranked, right), best)

    def cells(self) -> tuple[float | int | None, ...]:
        """A row of the table, without the name."""
        absent, present = self.counts.true.tolist()
        ranking = cells(np.array([self.precision, self.auroc]))
        at_best = _f1(self.counts), self.counts.accuracy, self.counts.majority
        own = (self.best.threshold, self.best.f1) if self.best else (None, None)
        return (present, absent, *ranking, *at_best, *own)


def _part_states(ground_truth: GroundTruthColumns) -> IntArray | None:
    return None if ground_truth.about is None else ground_truth.about.part_states


def _best_point(scores: FloatArray, present: IntArray) -> OperatingPoint | None:
    """The threshold of the highest F1; ``None`` where nothing that is there was detected."""
    # No threshold can accept a part without detections, so that -inf is no operating point.
    known = (present >= 0) & (scores > _NOWHERE)
    return find_operating_point(scores[known], present[known] == 1, int(np.count_nonzero(present == 1)))


def _f1(counts: Confusion) -> float | None:
    """Of being present."""
    return mean(counts.f1[1:])


def _f1_all_present(counts: Confusion) -> float | None:
    """F1 of always predicting "present"."""
    absent, present = counts.true.tolist()
    return 2 * present / (2 * present + absent) if present else None


def _majority(counts: list[Confusion]) -> float | None:
    """The accuracy of predicting for each part what is true of most images."""
    total = sum(int(one.true.sum()) for one in counts)
    return sum(int(one.true.max()) for one in counts) / total if total else None
