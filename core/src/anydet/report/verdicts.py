"""What became of boxes, in words and in looks: right, wrong and missed ones differ in line, sign and text."""

from __future__ import annotations

from collections import Counter
from collections.abc import Callable

import numpy as np

from anydet.evaluation.image_outcomes import (
    DUPLICATE,
    IGNORED,
    MISPLACED,
    MISPLACED_CLASS,
    NOTHING,
    RIGHT,
    WRONG,
    WRONG_CLASS,
    ImageOutcomes,
)
from anydet.report import badges
from anydet.report.marks import CORNERS, DASHED, FAINT, Verdict, class_name, pictured_name
from anydet.report.palette import LIGHT
from anydet.report.tags import LegendLine
from anydet.types import ClassTable

WAYS = {
    WRONG_CLASS: "wrong class",
    MISPLACED: "misplaced",
    MISPLACED_CLASS: "wrong class and place",
    DUPLICATE: "duplicate",
    NOTHING: "on background",
}
"""How a detection is wrong."""
_NAMED = 3
"""Classes or ways that a reason names."""
_NOT_COUNTED = "not counted: in crowds, or beyond 100 of a class"

Name = Callable[[int, ClassTable | None], str]


MISSED, FOUND = Verdict(CORNERS, badges.MISSED), Verdict()


def verdict_on(outcomes: ImageOutcomes, row: int) -> Verdict:
    """That on a detection."""
    kind = int(outcomes.kinds[row])
    if kind == RIGHT:
        return Verdict(badge=badges.RIGHT)
    if kind == IGNORED:
        return Verdict(FAINT)
    note = ""
    if kind == WRONG_CLASS and outcomes.about[row] >= 0:
        labels, classes = outcomes.ground_truth.labels, outcomes.ground_truth.classes
        note = f"for {pictured_name(int(labels.class_ids[outcomes.about[row]]), classes)}"
    elif kind == MISPLACED:
        note = f"IoU {outcomes.iou[row]:.2f}"
    elif kind == DUPLICATE:
        note = WAYS[DUPLICATE]
    return Verdict(DASHED, badges.WRONG, note)


def legend(outcomes: ImageOutcomes, image: int) -> tuple[LegendLine, ...]:
    """What the signs and lines on an image stand for, and how often each is there."""
    right, wrong, missed = (
        int(counts[image]) for counts in (outcomes.right, outcomes.wrong, outcomes.missed_per_image)
    )
    ways = [(int(outcomes.per_image(kind)[image]), WAYS[kind]) for kind in WRONG]
    ignored = int(outcomes.per_image(IGNORED)[image])
    return (
        LegendLine(f"{right} right", LIGHT, badges.RIGHT),
        LegendLine(f"{missed} missed (corners)", LIGHT, badges.MISSED),
        LegendLine(f"{wrong} wrong (dashed)" + ":" * bool(wrong), LIGHT, badges.WRONG),
        *(LegendLine(f"{count} {name}") for count, name in ways if count),
        *([LegendLine(f"{ignored} {_NOT_COUNTED}", LIGHT)] if ignored else []),
    )


def reason(outcomes: ImageOutcomes, image: int, name: Name = class_name) -> str:
    """``2 missed (2 cup); 3 false positives (2 duplicate, 1 cup for bowl)``; "" without mistakes."""
    true, found = outcomes.ground_truth, outcomes.detections
    missed = np.flatnonzero(outcomes.missed & (true.image_index == image))
    wrong = np.flatnonzero((found.image_index == image) & np.isin(outcomes.kinds, WRONG))
    parts = []
    if len(missed):
        names = [name(i, true.classes) for i in true.labels.class_ids[missed].tolist()]
        parts.append(f"{len(missed)} missed ({_most_common(names)})")
    if len(wrong):
        ways = _most_common([way(outcomes, row, name) for row in wrong.tolist()])
        parts.append(f"{len(wrong)} false positive{'s' * (len(wrong) > 1)} ({ways})")
    return "; ".join(parts)


def way(outcomes: ImageOutcomes, row: int, name: Name = class_name) -> str:
    """How a false positive is wrong: ``duplicate``, or ``cup for bowl`` where a bowl was taken for a cup."""
    kind, classes, at = int(outcomes.kinds[row]), outcomes.ground_truth.classes, int(outcomes.about[row])
    if kind != WRONG_CLASS or at < 0:
        return WAYS[kind]
    true = name(int(outcomes.ground_truth.labels.class_ids[at]), classes)
    return f"{name(int(outcomes.detections.class_ids[row]), classes)} for {true}"


def _most_common(names: list[str]) -> str:
    """``2 cup, 1 bowl and 3 more``: names with their counts, the most common first."""
    counts = Counter(names).most_common()
    first = ", ".join(f"{count} {name}" for name, count in counts[:_NAMED])
    rest = sum(count for _, count in counts[_NAMED:])
    return f"{first} and {rest} more" if rest else first
