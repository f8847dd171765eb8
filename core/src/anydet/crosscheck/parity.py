"""Whether two sets of predictions are the same within tolerances, and how they differ where they are not.

They are when each detection has a partner of its own on the same image and of the same class, within all
tolerances. Order counts for nothing. A detection without partner is a failure, but for one whose score is
within ``score_band`` of where the other side stops keeping detections: its partner may be just below.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import field, replace
from typing import Any

import numpy as np

from anydet.arguments import require_number
from anydet.crosscheck.histograms import histogram
from anydet.crosscheck.joining import Joined, Limits
from anydet.crosscheck.matching import Pairs, Side, match_equal, match_similar, sides
from anydet.crosscheck.quantities import Quantity, differences, image_differences, mean_shift_px
from anydet.crosscheck.tolerances import Tolerances
from anydet.dataclass import dataclass
from anydet.evaluation.analysis.comparison import Comparison
from anydet.evaluation.figures import Bars
from anydet.evaluation.tables import Cell, Table
from anydet.geometry.boxes import xywh_to_xyxy
from anydet.text import counted
from anydet.types import BoolArray, DetectionColumns, FloatArray, IntArray

_SHOWN = 200
"""Detections without partner, and images, that are written to JSON."""


@dataclass(frozen=True, slots=True)
class ParitySettings:
    """What counts as the same.

    Attributes:
        tolerances: of pairs.
        score_threshold: lowest score that is compared, or ``None`` for the higher one of those that the sides
            state; a pair is compared where either score reaches it.
        score_band: how far above the end of the other side's detections a detection may lack a partner;
            ``None`` for the tolerance of scores.
        match_iou: least IoU of a pair that is beyond the tolerances of box and score.
    """

    tolerances: Tolerances = Tolerances()
    score_threshold: float | None = None
    score_band: float | None = None
    match_iou: float = 0.5

    def __post_init__(self) -> None:
        """Raises ``OptionError`` where a number is out of range."""
        if self.score_threshold is not None:
            require_number("score_threshold", self.score_threshold, 0, 1)
        if self.score_band is not None:
            require_number("score_band", self.score_band, 0, 1)
        require_number("match_iou", self.match_iou, 0, 1, above=True)


@dataclass(frozen=True, slots=True, eq=False)
class Parity:
    """Two sides, pair by pair.

    Attributes:
        joined: both sides.
        settings: what counted as the same.
        score_threshold: lowest score that was compared; ``None`` for all.
        pairs: rows that belong together and were compared.
        quantities: differences of the pairs, a value a pair.
        image_quantities: differences of the images as wholes, a value an image.
        only_a: rows of A without partner.
        only_b: rows of B without partner.
        excused_a: rows of A without partner at the end of B's detections, which are no failure.
        excused_b: rows of B without partner at the end of A's.
        below: pairs that were not compared, as both scores are below the threshold.
        comparison: difference of AP with its interval, where there is ground truth.
    """

    joined: Joined
    settings: ParitySettings
    score_threshold: float | None
    pairs: Pairs
    quantities: tuple[Quantity, ...]
    image_quantities: tuple[Quantity, ...]
    only_a: IntArray
    only_b: IntArray
    excused_a: IntArray
    excused_b: IntArray
    below: int
    comparison: Comparison | None = None
    context: Mapping[str, Any] = field(default_factory=dict)

    @property
    def changed(self) -> IntArray:
        """Positions of pairs that are beyond a tolerance."""
        return _any_beyond(self.quantities)

    @property
    def changed_images(self) -> IntArray:
        """Images whose own predictions are beyond a tolerance."""
        return _any_beyond(self.image_quantities)

    @property
    def ok(self) -> bool:
        """Whether nothing failed."""
        return self._compared and not (
            len(self.only_a)
            or len(self.only_b)
            or len(self.changed)
            or len(self.changed_images)
            or self._ap_fails
        )

    @property
    def reason(self) -> str:
        """One line: what was compared, or what failed."""
        pairs = counted(len(self.pairs), "pair")
        if self.ok:
            excused = len(self.excused_a) + len(self.excused_b)
            note = (
                f"; {counted(excused, 'detection')} without partner at the score threshold" if excused else ""
            )
            images = counted(len(self.joined.a.images), "image")
            return f"parity holds: {pairs} on {images} within tolerances{note}"
        if not self._compared:
            return f"parity fails: nothing was compared, {self._nothing}"
        parts = [
            f"{counted(len(rows), 'detection')} only in {name}"
            for rows, name in zip((self.only_a, self.only_b), self.joined.names, strict=True)
            if len(rows)
        ]
        if len(self.changed):
            parts.append(f"{len(self.changed)} of {pairs} beyond tolerance ({self._beyond(self.quantities)})")
        if len(self.changed_images):
            images = counted(len(self.changed_images), "image")
            parts.append(f"{images} as wholes beyond tolerance ({self._beyond(self.image_quantities)})")
        if self._ap_fails:
            parts.append(
                f"AP differs by {self._ap_difference:.4f}, tolerance {self.settings.tolerances.ap:g}"
            )
        return f"parity fails: {', '.join(parts)}"

    @property
    def failures_by_image(self) -> IntArray:
        """(I,) how many detections of each image are without partner or beyond a tolerance."""
        a, b = self.joined.a, self.joined.b
        where = [
            a.image_index[self.only_a],
            b.image_index[self.only_b],
            a.image_index[self.pairs.a[self.changed]],
            self.changed_images,
        ]
        counts: IntArray = np.bincount(np.concatenate(where), minlength=len(a.images)).astype(np.int64)
        return counts

    def worst_images(self, most: int) -> IntArray:
        """Images with failures, those with most first; of equal ones that with the highest score first."""
        failures = self.failures_by_image
        highest = np.zeros(len(failures))
        for side, rows in ((self.joined.a, self.only_a), (self.joined.b, self.only_b)):
            np.maximum.at(highest, side.image_index[rows], side.scores[rows])
        changed = self.pairs.a[self.changed]
        np.maximum.at(highest, self.joined.a.image_index[changed], self.joined.a.scores[changed])
        order = np.lexsort((np.arange(len(failures)), -highest, -failures))
        worst: IntArray = order[failures[order] > 0][:most]
        return worst

    @property
    def tables(self) -> tuple[Table, ...]:
        """Counts, differences, and images with failures."""
        a, b = self.joined.a, self.joined.b
        rows: list[tuple[Cell, ...]] = [
            ("detections", len(a), len(b)),
            ("paired and compared", len(self.pairs), len(self.pairs)),
            ("below the score threshold, not compared", self.below + self._low(0), self.below + self._low(1)),
            ("without partner", len(self.only_a), len(self.only_b)),
            ("without partner at the end of the other side", len(self.excused_a), len(self.excused_b)),
        ]
        names = [images_row(self, i) for i in self.worst_images(_SHOWN).tolist()]
        header = ("difference of", "unit", "tolerance", "compared", "beyond", "mean", "p99", "largest")
        return (
            Table("detections", ("", "a", "b"), tuple(rows)),
            Table(
                "differences of pairs",
                header,
                tuple(_quantity_row(one) for one in (*self.quantities, *self.image_quantities)),
            ),
            Table(
                "images with failures, most first",
                ("image", "only in a", "only in b", "beyond tolerance"),
                tuple(names),
            ),
        )

    @property
    def figures(self) -> tuple[Bars, ...]:
        """A histogram of each difference."""
        return tuple(histogram(one).figure for one in (*self.quantities, *self.image_quantities))

    def as_dict(self) -> dict[str, Any]:
        """What ``parity --json`` writes."""
        a, b = self.joined.a, self.joined.b
        shift = mean_shift_px(a, b, self.pairs).tolist()
        ap = None
        if self.comparison is not None:
            ap = {name: one.as_dict() for name, one in self.comparison.overall.items()}
        return {
            "ok": self.ok,
            "reason": self.reason,
            "counts": {
                "images": len(a.images),
                "detections": {"a": len(a), "b": len(b)},
                "pairs": len(self.pairs),
                "changed": len(self.changed),
                "only": {"a": len(self.only_a), "b": len(self.only_b)},
                "excused": {"a": len(self.excused_a), "b": len(self.excused_b)},
                "below_threshold": {"a": self.below + self._low(0), "b": self.below + self._low(1)},
                "changed_images": len(self.changed_images),
            },
            "settings": {
                "tolerances": self.settings.tolerances.as_dict(),
                "score_threshold": self.score_threshold,
                "score_band": self._band,
                "match_iou": self.settings.match_iou,
                "limits": {
                    side: {"score_threshold": one.score_threshold, "max_detections": one.max_detections}
                    for side, one in zip("ab", self.joined.limits, strict=True)
                },
            },
            "quantities": [_quantity_dict(one) for one in (*self.quantities, *self.image_quantities)],
            "mean_shift_px": dict(zip(("x1", "y1", "x2", "y2"), shift, strict=True)),
            "only": {
                "a": [_detection(a, row) for row in _best(a, self.only_a)],
                "b": [_detection(b, row) for row in _best(b, self.only_b)],
            },
            "images": [
                dict(zip(("image", "only_a", "only_b", "changed"), images_row(self, i), strict=True))
                for i in self.worst_images(_SHOWN).tolist()
            ],
            "ap": ap,
            **self.context,
        }

    @property
    def _band(self) -> float:
        band = self.settings.score_band
        return self.settings.tolerances.score if band is None else band

    @property
    def _compared(self) -> bool:
        """Whether anything was: two files without detections are no evidence of anything."""
        only = len(self.only_a) + len(self.only_b)
        return len(self.pairs) + only > 0 or any(len(one.known) for one in self.image_quantities)

    @property
    def _nothing(self) -> str:
        """Why nothing was compared."""
        a, b = len(self.joined.a), len(self.joined.b)
        if a + b == 0:
            return "neither side has a detection"
        return f"{a} and {b} detections are all below the score threshold of {self.score_threshold:g}"

    @property
    def _ap_difference(self) -> float | None:
        if self.comparison is None:
            return None
        difference = next(iter(self.comparison.overall.values())).difference
        return None if difference is None else abs(difference)

    @property
    def _ap_fails(self) -> bool:
        most, difference = self.settings.tolerances.ap, self._ap_difference
        return most is not None and difference is not None and difference > most + 1e-12

    def _low(self, side: int) -> int:
        """Detections of a side that are in no pair and below the threshold."""
        total = len((self.joined.a, self.joined.b)[side])
        rows = (self.only_a, self.only_b)[side], (self.excused_a, self.excused_b)[side]
        return total - len(self.pairs) - self.below - sum(map(len, rows))

    def _beyond(self, quantities: Sequence[Quantity]) -> str:
        """``box up to 12.3 px, score up to 0.2``: of the things that are beyond their tolerance."""
        parts = []
        for one in quantities:
            values = one.values[one.beyond]
            finite = values[np.isfinite(values)]
            if len(finite) and one.tolerance:
                parts.append(f"{one.name} up to {finite.max():.4g}{' ' * bool(one.unit)}{one.unit}")
            elif len(values):
                what = "differs" if len(finite) else "on one side alone"
                parts.append(f"{one.name} {what} in {len(values)}")
        return ", ".join(parts)


def compare(joined: Joined, settings: ParitySettings = ParitySettings()) -> Parity:
    """Match both sides and measure their differences.

    Detections within the tolerances of box and score are paired first, as many as there can be; then, of
    those that are left, boxes of at least ``settings.match_iou``.

    Args:
        joined: both sides over the same images and classes.
        settings: what counts as the same.
    """
    a, b, limits = joined.a, joined.b, settings.tolerances
    one, other = sides(a, b)
    # In an order of their own, so that that of the files counts for nothing.
    order_a, order_b = _canonical(a, one), _canonical(b, other)
    pairs = _match(one.take(order_a), other.take(order_b), settings)
    pairs = Pairs(order_a[pairs.a], order_b[pairs.b], pairs.cost)
    threshold = _threshold(joined, settings)
    lowest = -np.inf if threshold is None else threshold
    compared = np.maximum(a.scores[pairs.a], b.scores[pairs.b]) >= lowest
    alone = _alone(len(a), pairs.a), _alone(len(b), pairs.b)
    band = limits.score if settings.score_band is None else settings.score_band
    only, excused = [], []
    for side, free, ends in zip((a, b), alone, _ends(joined, threshold), strict=True):
        rows = free[side.scores[free] >= lowest]
        near = side.scores[rows] < ends[side.image_index[rows]] + band
        only.append(rows[~near])
        excused.append(rows[near])
    kept = pairs.take(compared)
    return Parity(
        joined,
        settings,
        threshold,
        kept,
        differences(a, b, kept, limits),
        image_differences(a.about, b.about, limits),
        only[0],
        only[1],
        excused[0],
        excused[1],
        int(np.count_nonzero(~compared)),
    )


def leave_out(joined: Joined, images: IntArray) -> Joined:
    """The same without the detections of some images."""
    gone = np.zeros(len(joined.a.images), np.bool_)
    gone[images] = True
    a, b = (side.take(~gone[side.image_index]) for side in (joined.a, joined.b))
    kept = np.flatnonzero(~gone)
    renumbered = np.cumsum(~gone) - 1

    def over_kept(side: DetectionColumns) -> DetectionColumns:
        return replace(
            side,
            images=tuple(side.images[i] for i in kept.tolist()),
            sizes_wh=side.sizes_wh[kept],
            image_index=renumbered[side.image_index],
            about=None if side.about is None else side.about.take(kept),
        )

    lacking = tuple(renumbered[rows[~gone[rows]]] for rows in joined.lacking)
    return replace(joined, a=over_kept(a), b=over_kept(b), lacking=(lacking[0], lacking[1]))


def images_row(parity: Parity, image: int) -> tuple[Cell, ...]:
    """An image's key and its failures: only in A, only in B, beyond tolerance."""
    a, b = parity.joined.a, parity.joined.b
    changed = a.image_index[parity.pairs.a[parity.changed]]
    counts = [
        np.count_nonzero(where == image)
        for where in (a.image_index[parity.only_a], b.image_index[parity.only_b], changed)
    ]
    whole = int(np.count_nonzero(parity.changed_images == image))
    return (a.images[image], int(counts[0]), int(counts[1]), int(counts[2]) + whole)


def _match(a: Side, b: Side, settings: ParitySettings) -> Pairs:
    limits = settings.tolerances
    equal = match_equal(a, b, limits.box_px, limits.score)
    left = _alone(len(a), equal.a), _alone(len(b), equal.b)
    similar = match_similar(a.take(left[0]), b.take(left[1]), settings.match_iou)
    return Pairs(
        np.concatenate([equal.a, left[0][similar.a]]),
        np.concatenate([equal.b, left[1][similar.b]]),
        np.concatenate([equal.cost, similar.cost]),
    )


def _canonical(columns: DetectionColumns, side: Side) -> IntArray:
    """Rows by group and falling score; those with equal ones by box and whatever else they have."""
    order: IntArray = np.lexsort((-side.scores, side.groups))
    same = (np.diff(side.groups[order]) == 0) & (np.diff(side.scores[order]) == 0)
    tied = np.flatnonzero(np.append(same, False)[: len(order)] | np.insert(same, 0, False)[: len(order)])
    if not len(tied):
        return order
    rows = order[tied]
    keys: list[Any] = [side.groups[rows], -side.scores[rows], *side.boxes_xyxy_px[rows].T]
    rest = (columns.states, columns.state_scores, columns.keypoints, columns.keypoint_visibility)
    poses = columns.poses
    of_poses = () if poses is None else (poses.log_z, poses.rot6d, poses.rotations, poses.translations_m)
    for column in (*rest, *of_poses):
        if column is not None:
            keys.extend(column[rows].reshape(len(rows), -1).T)
    order[tied] = rows[np.lexsort(keys[::-1])]
    return order


def _any_beyond(quantities: Sequence[Quantity]) -> IntArray:
    """Rows that are beyond the tolerance of any of them."""
    rows = np.zeros(len(quantities[0].values) if quantities else 0, np.bool_)
    for one in quantities:
        rows[one.beyond] = True
    return np.flatnonzero(rows)


def _alone(count: int, paired: IntArray) -> IntArray:
    free: BoolArray = np.ones(count, np.bool_)
    free[paired] = False
    return np.flatnonzero(free)


def _threshold(joined: Joined, settings: ParitySettings) -> float | None:
    if settings.score_threshold is not None:
        return settings.score_threshold
    stated = [one.score_threshold for one in joined.limits if one.score_threshold is not None]
    return max(stated, default=None)


def _ends(joined: Joined, threshold: float | None) -> tuple[FloatArray, FloatArray]:
    """(I,) score below which detections of each side may lack a partner: the other side keeps none."""
    ends = [_end(side, one, threshold) for side, one in zip((joined.a, joined.b), joined.limits, strict=True)]
    return ends[1], ends[0]


def _end(side: DetectionColumns, limits: Limits, threshold: float | None) -> FloatArray:
    """(I,) lowest score that a side keeps on each image; minus infinity where it keeps all."""
    end = np.full(len(side.images), -np.inf)
    if limits.score_threshold is not None:
        end[:] = limits.score_threshold
    elif threshold is not None and side.scores.min(initial=np.inf) >= threshold:
        end[:] = threshold
    if limits.max_detections is not None:
        counts = np.bincount(side.image_index, minlength=len(end))
        lowest = np.full(len(end), np.inf)
        np.minimum.at(lowest, side.image_index, side.scores)
        full = counts >= limits.max_detections
        end[full] = np.maximum(end[full], lowest[full])
    return end


def _quantity_row(one: Quantity) -> tuple[Cell, ...]:
    values = one.known
    finite = values[np.isfinite(values)]
    numbers = (finite.mean(), np.quantile(finite, 0.99), finite.max()) if len(finite) else (None, None, None)
    shown = [None if number is None else f"{number:.3g}" for number in numbers]
    return (one.name, one.unit, f"{one.tolerance:g}", len(values), len(one.beyond), *shown)


def _quantity_dict(one: Quantity) -> dict[str, Any]:
    values = one.known
    finite = values[np.isfinite(values)]
    numbers = {
        name: float(np.quantile(finite, at)) if len(finite) else None
        for name, at in (("p50", 0.5), ("p90", 0.9), ("p99", 0.99), ("largest", 1.0))
    }
    return {
        "name": one.name,
        "unit": one.unit,
        "tolerance": one.tolerance,
        "compared": len(values),
        "beyond": len(one.beyond),
        "on_one_side": int(np.isinf(values).sum()),
        "mean": float(finite.mean()) if len(finite) else None,
        **numbers,
        "histogram": histogram(one).as_dict(),
    }


def _best(side: DetectionColumns, rows: IntArray) -> list[int]:
    best: list[int] = rows[np.argsort(-side.scores[rows], kind="stable")][:_SHOWN].tolist()
    return best


def _detection(side: DetectionColumns, row: int) -> dict[str, Any]:
    class_id = int(side.class_ids[row])
    names = side.classes
    return {
        "image": side.images[int(side.image_index[row])],
        "class": class_id if names is None or class_id >= len(names) else names[class_id],
        "score": float(side.scores[row]),
        "box_xyxy_px": xywh_to_xyxy(side.boxes_xywh_px[row : row + 1])[0].tolist(),
    }
