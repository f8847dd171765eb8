"""Two models on the same images: how far their numbers differ, and whether that could be chance.

Both are scored on the same draws of images (paired bootstrap; Koehn 2004). The interval of a difference is
that of the resampled differences around their mean, laid around the difference measured. The p-value is
two-sided: how often a resampled difference is at least as far from the mean of all as the measured one is
from zero (Hall & Wilson 1991, "Two Guidelines for Bootstrap Hypothesis Testing": resample the null, not the
alternative), counting the measured one itself, so that it is never 0. P-values of many classes are not
corrected for their number.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np

from anydet.errors import EvaluationError
from anydet.evaluation.analysis.bootstrap import (
    FEWEST_IMAGES,
    Drawn,
    check_counts,
    draw,
    draw_images,
    rests_on_enough,
    spread,
)
from anydet.evaluation.coco import CocoEvaluator
from anydet.evaluation.tables import Table
from anydet.types import FloatArray

_COLUMNS = ("a", "b", "difference", "low", "high", "p")


@dataclass(frozen=True, slots=True)
class Difference:
    """A number of two models; fields are ``None`` where there is nothing to measure on.

    Attributes:
        a: of the first model.
        b: of the second.
        difference: b - a.
        low: lower end of the interval of the difference.
        high: upper end.
        p: how likely so large a difference is by chance.
    """

    a: float | None
    b: float | None
    difference: float | None
    low: float | None
    high: float | None
    p: float | None

    def as_dict(self) -> dict[str, float | None]:
        """The fields."""
        return {name: getattr(self, name) for name in _COLUMNS}


@dataclass(frozen=True, slots=True, eq=False)
class Comparison:
    """Differences of all of COCO's numbers.

    Attributes:
        overall: by name.
        by_class: by class, then by name.
        level: how much of the resampled differences the intervals hold.
        resamples: how many there were.
        seed: of the draws.
    """

    overall: Mapping[str, Difference]
    by_class: Mapping[str, Mapping[str, Difference]]
    level: float
    resamples: int
    seed: int

    @property
    def metrics(self) -> dict[str, float | None]:
        """Flat names for trackers: "AP/difference", "AP/p", ..."""
        return {
            f"{name}/{column}": value
            for name, difference in self.overall.items()
            for column, value in difference.as_dict().items()
        }

    @property
    def tables(self) -> tuple[Table, Table]:
        """All numbers; then the first one of each class, largest difference first."""
        first = next(iter(self.overall))
        title = f"differences, {100 * self.level:g} % intervals, {self.resamples} resamples of images"
        classes = sorted(self.by_class, key=lambda name: -abs(self.by_class[name][first].difference or 0.0))
        return (
            Table(title, ("metric", *_COLUMNS), _rows(self.overall, list(self.overall))),
            Table(
                f"{first} of classes, largest difference first",
                ("class", *_COLUMNS),
                _rows({name: row[first] for name, row in self.by_class.items()}, classes),
            ),
        )

    def as_dict(self) -> dict[str, Any]:
        """What ``compare --json`` writes."""
        return {
            "metrics": self.metrics,
            "overall": {name: one.as_dict() for name, one in self.overall.items()},
            "by_class": {
                name: {metric: one.as_dict() for metric, one in row.items()}
                for name, row in self.by_class.items()
            },
            "level": self.level,
            "resamples": self.resamples,
            "seed": self.seed,
        }


def compare(
    a: CocoEvaluator, b: CocoEvaluator, *, resamples: int = 1000, level: float = 0.95, seed: int = 0
) -> Comparison:
    """How the second model differs from the first.

    Args:
        a: has seen the detections of the first model.
        b: has seen those of the second, on the same images, with the same settings.
        resamples: draws of images.
        level: how much of the resampled differences an interval holds.
        seed: of the draws; equal seeds give equal bits.

    Raises:
        EvaluationError: the two have seen other images or count other things.
    """
    check_counts(resamples, level)
    require_comparable(a, b)
    # One set of draws for both, so that what is common to both models cancels out (paired bootstrap).
    weights = draw_images(len(a.joint().images), resamples, seed)
    return compare_drawn(draw(a, weights), draw(b, weights), level=level, seed=seed)


def require_comparable(a: CocoEvaluator, b: CocoEvaluator) -> None:
    """Raise ``EvaluationError`` unless both have seen the same images and count the same things."""
    if (a.settings, a.classes) != (b.settings, b.classes) or a.joint().images != b.joint().images:
        raise EvaluationError(
            f"evaluators of {len(a.joint().images)} and {len(b.joint().images)} images cannot be compared: "
            "images, classes and settings must be the same",
            fix="evaluate both on the same data set and split, with the same flags",
        )


def compare_drawn(a: Drawn, b: Drawn, *, level: float, seed: int) -> Comparison:
    """As ``compare``, of two models whose numbers on the same draws are there already.

    Args:
        a: the first model.
        b: the second, on the same draws of the same images.
        level: how much of the resampled differences an interval holds.
        seed: of the draws.
    """
    gaps = b.resamples.overall - a.resamples.overall
    by_class = b.resamples.by_class - a.resamples.by_class
    names = a.resamples.names
    return Comparison(
        _differences(
            names,
            [a.result.metrics, b.result.metrics],
            gaps,
            level if a.images >= FEWEST_IMAGES else None,
        ),
        {
            str(rows[0]["name"]): _differences(
                names, rows, by_class[:, c], level if rests_on_enough(rows[0]) else None
            )
            for c, rows in enumerate(zip(a.result.per_class, b.result.per_class, strict=True))
        },
        level,
        len(gaps),
        seed,
    )


def _differences(
    names: Sequence[str], values: Sequence[Mapping[str, Any]], gaps: FloatArray, level: float | None
) -> dict[str, Difference]:
    """Differences by name; ``gaps`` are (B, K)."""
    return {
        name: _difference(values[0][name], values[1][name], gaps[:, k], level) for k, name in enumerate(names)
    }


def _difference(a: float | None, b: float | None, gaps: FloatArray, level: float | None) -> Difference:
    if a is None or b is None:
        return Difference(a, b, None, None, None, None)
    ends = None if level is None else spread(gaps, level)
    if ends is None:
        return Difference(a, b, b - a, None, None, None)
    known = gaps[~np.isnan(gaps)]
    # A little slack, as differences that are equal on paper may differ in their last bits.
    far = np.count_nonzero(np.abs(known - known.mean()) >= abs(b - a) - 1e-12)
    return Difference(a, b, b - a, b - a + ends[0], b - a + ends[1], (int(far) + 1) / (len(known) + 1))


def _rows(differences: Mapping[str, Difference], order: Sequence[str]) -> tuple[tuple[Any, ...], ...]:
    return tuple((name, *differences[name].as_dict().values()) for name in order)
