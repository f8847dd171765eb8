"""``Threshold``: what a number must be at least or at most, and whether it is."""

from __future__ import annotations

import math
from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any

from anydet.errors import OptionError, did_you_mean
from anydet.text import quoted

NUMBERS = {
    "AP": "COCO's AP of boxes",
    "AP50": "AP at IoU 0.5",
    "AP75": "AP at IoU 0.75",
    "AR100": "COCO's average recall with 100 detections of each class",
    "of_clean": "AP divided by that of the scenario without changes and selections",
    "recall": "objects found at IoU 0.5 by detections of at least score_threshold",
    "precision": "of these detections, those that found an object",
    "rejection_rate": "images with objects, but without a detection of at least score_threshold",
    "images_per_s": "images predicted in a second, the making of changed images counted",
    "rotation_error_deg": "mean error of rotations, to the nearest pose that looks the same",
    "depth_error_m": "mean error of depths",
}
"""Numbers of a scenario by their short names."""
_BOUNDS = ("min", "max")


@dataclass(frozen=True, slots=True)
class Threshold:
    """A bound of a number.

    Attributes:
        number: one of ``NUMBERS``, or ``EVALUATOR/METRIC``.
        least: smallest value that is good, or ``None``.
        most: largest value that is good, or ``None``.
    """

    number: str
    least: float | None = None
    most: float | None = None

    def met_by(self, value: float | None) -> bool:
        """Whether a value is within both bounds; what could not be measured is not."""
        if value is None:
            return False
        return (self.least is None or value >= self.least) and (self.most is None or value <= self.most)

    def __str__(self) -> str:
        bounds = [("at least", self.least), ("at most", self.most)]
        return " and ".join(f"{word} {bound:g}" for word, bound in bounds if bound is not None)


def read_thresholds(
    given: Mapping[str, Any], evaluators: tuple[str, ...], owner: str
) -> tuple[Threshold, ...]:
    """Thresholds of ``{number: {min, max}}``.

    Args:
        given: as it stands in a setting.
        evaluators: that run, whose metrics may be named, too.
        owner: what has them, for messages.

    Raises:
        OptionError: a number is unknown, or its bounds are not numbers.
    """
    return tuple(_threshold(name, bounds, evaluators, owner) for name, bounds in given.items())


def _threshold(name: str, bounds: object, evaluators: tuple[str, ...], owner: str) -> Threshold:
    evaluator, slash, _ = str(name).partition("/")
    if name not in NUMBERS and not (slash and evaluator in evaluators):
        known = evaluators if slash else tuple(NUMBERS)
        raise OptionError(
            f"{owner}: threshold {quoted(name)}: no number of that name"
            f"{did_you_mean(evaluator if slash else str(name), known)}",
            fix=f"name one of {', '.join(NUMBERS)}, or EVALUATOR/METRIC of {', '.join(evaluators)}",
        )
    where, fix = f"{owner}: threshold {quoted(name)}", f"write {name}: {{min: 0.3}}, or max, or both"
    if not isinstance(bounds, Mapping) or not bounds:
        raise OptionError(f"{where}: expected min or max, got {quoted(bounds)}", fix=fix)
    for bound, value in bounds.items():
        if bound not in _BOUNDS:
            raise OptionError(
                f"{where}: {quoted(bound)} is neither min nor max{did_you_mean(str(bound), _BOUNDS)}", fix=fix
            )
        if isinstance(value, bool) or not isinstance(value, int | float) or not math.isfinite(value):
            raise OptionError(f"{where}: {bound}: {quoted(value)} is no finite number", fix=fix)
    least, most = bounds.get("min"), bounds.get("max")
    if least is not None and most is not None and least > most:
        raise OptionError(f"{where}: min {least:g} is above max {most:g}", fix=fix)
    return Threshold(name, least, most)
