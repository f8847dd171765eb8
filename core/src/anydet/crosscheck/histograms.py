"""Histograms of differences, by powers of ten: what is rounding and what is a mistake are decades apart."""

from __future__ import annotations

from typing import Any

import numpy as np

from anydet.crosscheck.quantities import Quantity
from anydet.dataclass import dataclass
from anydet.evaluation.figures import Axis, Bar, Bars

_LEAST, _MOST = 1e-7, 1e6
"""Ends of the powers of ten."""
ALONE = "on one side alone"
"""What a bin is called that holds what the other side does not state."""


@dataclass(frozen=True, slots=True)
class Histogram:
    """Counts of differences.

    Attributes:
        name: of what differs.
        unit: of the differences.
        tolerance: an end of one of the bins.
        labels: what each bin holds.
        edges: upper end of each bin, included in it; infinity for the last, and for what has no difference,
            as one side alone states it.
        counts: differences of each bin.
    """

    name: str
    unit: str
    tolerance: float
    labels: tuple[str, ...]
    edges: tuple[float, ...]
    counts: tuple[int, ...]

    @property
    def figure(self) -> Bars:
        """A bar a bin; those within the tolerance are gray."""
        bars = tuple(
            Bar(label, count, secondary=edge <= self.tolerance)
            for label, edge, count in zip(self.labels, self.edges, self.counts, strict=True)
        )
        title = f"differences of {self.name}, tolerance {self.tolerance:g} {self.unit}".rstrip()
        return Bars(f"{'-'.join(self.name.split())}-difference", title, Axis("pairs"), bars)

    def lines(self, width: int = 40) -> list[str]:
        """Bars of text; those beyond the tolerance are marked."""
        most, wide = max(self.counts, default=0), max(map(len, self.labels), default=0)
        digits = len(str(most))
        bars = [
            _bar(count, most, width, beyond=edge > self.tolerance)
            for edge, count in zip(self.edges, self.counts, strict=True)
        ]
        return [
            f"{label:>{wide}}  {count:>{digits}}  {bar}".rstrip()
            for label, count, bar in zip(self.labels, self.counts, bars, strict=True)
        ]

    def as_dict(self) -> dict[str, Any]:
        """Bins for JSON; the last one has no upper end."""
        return {
            "upper_ends": [edge if np.isfinite(edge) else None for edge in self.edges],
            "counts": list(self.counts),
        }


def histogram(quantity: Quantity) -> Histogram:
    """Counts by powers of ten and the tolerance, from the first bin with any to the last."""
    values, tolerance = quantity.known, quantity.tolerance
    powers = 10.0 ** np.arange(np.log10(_LEAST), np.log10(_MOST) + 1)
    inner = np.unique([0.0, tolerance, *powers.round(7)])
    # The slack of decimal numbers, as in `Quantity.beyond`.
    finite = np.isfinite(values)
    bins = np.searchsorted(inner + 1e-9 * np.maximum(1.0, inner) * (inner == tolerance), values[finite])
    counts = np.bincount(bins, minlength=len(inner) + 1)
    used = np.flatnonzero(counts)
    shown = range(int(used[0]), int(used[-1]) + 1) if len(used) else range(0)
    edges = [*inner.tolist(), float("inf")]
    labels = [_label(edges, i) for i in shown]
    ends = [edges[i] for i in shown]
    found = [int(counts[i]) for i in shown]
    if not finite.all():
        # What one side alone states has no difference, and is no large one.
        labels, ends = [*labels, ALONE], [*ends, float("inf")]
        found.append(int(np.count_nonzero(~finite)))
    return Histogram(quantity.name, quantity.unit, tolerance, tuple(labels), tuple(ends), tuple(found))


def _label(edges: list[float], at: int) -> str:
    if at == 0:
        return "0"
    return f"> {edges[at - 1]:g}" if np.isinf(edges[at]) else f"<= {edges[at]:g}"


def _bar(count: int, most: int, width: int, *, beyond: bool) -> str:
    # At least one character for what is there: one detection in a million is what is looked for.
    length = max(1, round(width * count / most)) if count else 0
    return ("x" if beyond else "#") * length
