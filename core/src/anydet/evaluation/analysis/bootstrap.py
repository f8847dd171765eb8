"""Confidence intervals by bootstrap over images, and paired differences of two models.

Images are what a data set samples, so images are what is drawn again (Efron & Tibshirani 1993, "An
Introduction to the Bootstrap"); boxes of one image stay together. Nothing is matched again.

Average precision is biased: interpolation takes the best of what follows, and does so the more the fewer
different images there are, so that resamples score higher than the images themselves. Intervals are therefore
percentiles of the resamples around their own mean, laid around the number measured.

Two models are compared on the same draws (Koehn 2004, "Statistical Significance Tests for Machine Translation
Evaluation"), which cancels what is hard or easy about the images, and the bias.
"""

from __future__ import annotations

import os
from collections.abc import Mapping, Sequence
from concurrent.futures import ThreadPoolExecutor
from typing import Any

import numpy as np
from numpy.typing import NDArray

from anydet.dataclass import dataclass
from anydet.errors import EvaluationError
from anydet.evaluation.analysis.resampling import ClassRows, Resampler, resample_class, split_classes
from anydet.evaluation.coco import CocoEvaluator, CocoResult
from anydet.evaluation.figures import Axis, Bar, Bars
from anydet.evaluation.protocol import Metric, metrics
from anydet.evaluation.tables import Table
from anydet.types import BoolArray, FloatArray

FEWEST_IMAGES = 5
"""Fewer images, or a class on fewer, give no interval and no p-value."""


@dataclass(frozen=True, slots=True, eq=False)
class Resamples:
    """COCO's numbers on resampled images; NaN where nothing was drawn that they are measured on.

    Attributes:
        names: (K,) names of the numbers.
        overall: (B, K) over all classes.
        by_class: (B, C, K) of each class.
    """

    names: tuple[str, ...]
    overall: FloatArray
    by_class: FloatArray


@dataclass(frozen=True, slots=True)
class Interval:
    """A number with its confidence interval.

    Attributes:
        value: on the images as they are; ``None`` where there is nothing to measure on.
        low: lower end.
        high: upper end.
        error: standard error, the deviation of the resamples.
    """

    value: float | None
    low: float | None
    high: float | None
    error: float | None


@dataclass(frozen=True, slots=True, eq=False)
class Intervals:
    """Intervals of all numbers.

    Attributes:
        overall: by name.
        by_class: by class, then by name.
        level: how much of the resamples they hold.
        resamples: how many there were.
        seed: of the draws.
    """

    overall: dict[str, Interval]
    by_class: dict[str, dict[str, Interval]]
    level: float
    resamples: int
    seed: int

    @property
    def tables(self) -> tuple[Table, ...]:
        """All numbers, and the first one of each class."""
        first, title = next(iter(self.overall)), self._title
        columns = ("value", "low", "high", "error")
        return (
            Table(title, ("metric", *columns), tuple((k, *_cells(v)) for k, v in self.overall.items())),
            Table(
                f"{first} of classes, {title}",
                ("class", *columns),
                tuple((name, *_cells(row[first])) for name, row in self.by_class.items()),
            ),
        )

    @property
    def figure(self) -> Bars:
        """The numbers that have an interval."""
        bars = tuple(Bar(k, v.value, v.low, v.high) for k, v in self.overall.items() if v.low is not None)
        return Bars("intervals", self._title, Axis("", limits=(0.0, 1.0)), bars)

    @property
    def _title(self) -> str:
        return f"{100 * self.level:g} % intervals, {self.resamples} resamples of images"

    def as_dict(self) -> dict[str, Any]:
        """All of it for JSON."""
        return {
            "level": self.level,
            "resamples": self.resamples,
            "seed": self.seed,
            "overall": {name: _written(interval) for name, interval in self.overall.items()},
            "by_class": {
                c: {name: _written(interval) for name, interval in row.items()}
                for c, row in self.by_class.items()
            },
        }


def draw_images(images: int, resamples: int, seed: int = 0) -> NDArray[np.int32]:
    """(B, I) how often each image is drawn when as many as there are are drawn with replacement."""
    rng = np.random.default_rng(seed)
    counts = [np.bincount(rng.integers(0, images, images), minlength=images) for _ in range(resamples)]
    return np.array(counts, np.int32).reshape(resamples, images)


def resample(evaluator: CocoEvaluator, weights: NDArray[np.int32]) -> Resamples:
    """COCO's numbers for each draw of images.

    Uses the engine's ``resampler`` and number of threads where it has one, else numpy and all cores; the bits
    depend on neither.

    Args:
        evaluator: one that has seen all images.
        weights: (B, I) how often each image of ``evaluator.joint().images`` counts.
    """
    engine, params = evaluator.engine, evaluator.params
    compiled: Resampler | None = getattr(engine, "resampler", None)
    work = compiled or resample_class
    chosen = metrics(params, evaluator.settings)
    rows = list(split_classes(evaluator.matches(), evaluator.joint().positives))
    selections = [
        (m, slice(None) if m.iou is None else np.flatnonzero(params.iou_thresholds == m.iou)) for m in chosen
    ]
    by_class = np.full((len(weights), len(rows), len(chosen)), np.nan)

    def run(c: int) -> None:
        arrays = work(rows[c], weights, params)
        for k, (metric, which) in enumerate(selections):
            values = (
                arrays[0][:, metric.area]
                if metric.of == "precision"
                else arrays[1][:, metric.area, metric.rank]
            )
            by_class[:, c, k] = mean_of_known(np.where(values[:, which] < 0, np.nan, values[:, which]))

    # The largest class first, so that no thread starts on it when the others are done.
    largest_first = sorted(range(len(rows)), key=lambda c: -_size(rows[c]))
    with ThreadPoolExecutor(max(1, engine.threads if compiled else os.cpu_count() or 1)) as pool:
        list(pool.map(run, largest_first))
    return Resamples(tuple(m.name for m in chosen), _overall(by_class, chosen, evaluator), by_class)


def find_intervals(
    evaluator: CocoEvaluator, *, resamples: int = 1000, level: float = 0.95, seed: int = 0
) -> Intervals:
    """Percentile intervals of all of COCO's numbers, overall and by class.

    Args:
        evaluator: one that has seen all images.
        resamples: draws of images.
        level: how much of the resampled numbers an interval holds.
        seed: of the draws; equal seeds give equal bits.

    Raises:
        EvaluationError: there are no images, or nothing was matched.
    """
    check_counts(resamples, level)
    images = len(evaluator.joint().images)
    return draw(evaluator, draw_images(images, resamples, seed)).intervals(level, seed)


@dataclass(frozen=True, slots=True, eq=False)
class Drawn:
    """A model's numbers on its images, and on draws of them.

    Attributes:
        evaluator: has seen all images.
        result: of the images as they are.
        resamples: of the draws.
    """

    evaluator: CocoEvaluator
    result: CocoResult
    resamples: Resamples

    @property
    def images(self) -> int:
        """How many there are to draw from."""
        return len(self.evaluator.joint().images)

    def intervals(self, level: float, seed: int) -> Intervals:
        """Percentile intervals that hold a fraction ``level`` of the draws, which came of ``seed``."""
        found = self.resamples
        enough = level if self.images >= FEWEST_IMAGES else None
        overall = {
            name: _interval(self.result.metrics[name], found.overall[:, k], enough)
            for k, name in enumerate(found.names)
        }
        by_class = {
            str(row["name"]): {
                name: _interval(row[name], found.by_class[:, c, k], level if rests_on_enough(row) else None)
                for k, name in enumerate(found.names)
            }
            for c, row in enumerate(self.result.per_class)
        }
        return Intervals(overall, by_class, level, len(found.overall), seed)


def draw(evaluator: CocoEvaluator, weights: NDArray[np.int32]) -> Drawn:
    """The numbers of an evaluator that has seen all images; ``weights`` as for ``resample``."""
    return Drawn(evaluator, evaluator.result(), resample(evaluator, weights))


def check_counts(resamples: int, level: float) -> None:
    """Raise ``EvaluationError`` unless there are resamples and the level is between 0 and 1."""
    if resamples < 1 or not 0 < level < 1:
        raise EvaluationError(
            f"{resamples} resamples and a level of {level:g} make no interval",
            fix="use at least 1 resample (1000 is usual) and a level like 0.95",
        )


def rests_on_enough(row: Mapping[str, Any]) -> bool:
    """Whether a class (a row of ``CocoResult.per_class``) is on enough images to be resampled.

    Draws from fewer differ too little: with one image, all of them are equal, and the interval is a point.
    """
    return int(row["images"]) >= FEWEST_IMAGES


def spread(values: FloatArray, level: float) -> tuple[float, float, float] | None:
    """Interval around the mean with a fraction ``level`` of the values (low, high), and their deviation."""
    known = values[~np.isnan(values)]
    if not len(known):
        return None
    around = known - known.mean()
    low, high = np.quantile(around, [(1 - level) / 2, (1 + level) / 2]).tolist()
    return low, high, float(around.std())


def _interval(value: float | None, values: FloatArray, level: float | None) -> Interval:
    found = None if level is None else spread(values, level)
    if value is None or found is None:
        return Interval(value, None, None, None)
    # Centered on the number measured, and cut to what the numbers can be: 0 to 1.
    return Interval(value, max(value + found[0], 0.0), min(value + found[1], 1.0), found[2])


def _overall(by_class: FloatArray, chosen: Sequence[Metric], evaluator: CocoEvaluator) -> FloatArray:
    """(B, K) means over classes."""
    groups = np.array(evaluator.classes.frequencies)
    columns = []
    for k, metric in enumerate(chosen):
        some: BoolArray | slice = slice(None) if metric.frequency is None else groups == metric.frequency
        columns.append(mean_of_known(by_class[:, some, k]))
    return np.stack(columns, axis=1)


def mean_of_known(values: FloatArray) -> FloatArray:
    """(B,) means over the known values of each row; NaN where none is."""
    known = ~np.isnan(values)
    counts = known.sum(axis=1)
    sums = np.where(known, values, 0.0).sum(axis=1)
    means: FloatArray = np.where(counts > 0, sums / np.maximum(counts, 1), np.nan)
    return means


def _size(rows: ClassRows) -> int:
    return len(rows.images)


def _cells(interval: Interval) -> tuple[float | None, float | None, float | None, float | None]:
    return interval.value, interval.low, interval.high, interval.error


def _written(interval: Interval) -> dict[str, float | None]:
    return dict(zip(("value", "low", "high", "error"), _cells(interval), strict=True))
