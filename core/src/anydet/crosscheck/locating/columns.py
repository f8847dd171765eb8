"""Numbers of two adapters, column by column: equal, in another order, or functions of each other."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence

import numpy as np
from numpy.typing import NDArray

from anydet.dataclass import dataclass
from anydet.types import FloatArray

EQUAL = 1e-3
"""Difference of equal columns, as a fraction of their largest number: in single precision a tenth of it."""


def _sigmoid(x: FloatArray) -> FloatArray:
    found: FloatArray = 0.5 * (1 + np.tanh(0.5 * x))
    return found


def _logit(x: FloatArray) -> FloatArray:
    with np.errstate(divide="ignore", invalid="ignore"):
        found: FloatArray = np.log(x / (1 - x))
    return found


FUNCTIONS: Mapping[str, Callable[[FloatArray], FloatArray]] = {
    "a sigmoid is applied once more": _sigmoid,
    "two sigmoids are applied more": lambda x: _sigmoid(_sigmoid(x)),
    "the sigmoid is missing": _logit,
    "an exponential is applied more": lambda x: np.exp(np.minimum(x, 80.0)),
    "the exponential is missing": lambda x: np.log(np.maximum(x, 1e-30)),
    "the square root is taken": lambda x: np.sqrt(np.maximum(x, 0)),
    "it is squared": np.square,
    "a tanh is applied more": np.tanh,
    "the sign is reversed": np.negative,
}
"""What B may do to a column of A."""


@dataclass(frozen=True, slots=True, eq=False)
class Relation:
    """What columns of B are of those of A.

    Attributes:
        kind: "function" (``text`` says which), "line" (``factor`` and ``offset``), "order" (``sources``), or
            "unknown".
        columns: of B.
        text: what B does.
        factor: of the line.
        offset: of the line.
        sources: column of A for each of ``columns``.
        error: what is left over, as a fraction of the largest number.
    """

    kind: str
    columns: tuple[int, ...]
    text: str = ""
    factor: float = 1.0
    offset: float = 0.0
    sources: tuple[int, ...] = ()
    error: float = 0.0


def error_of(x: NDArray[np.floating], y: NDArray[np.floating]) -> float:
    """99.9th percentile of the difference as a fraction of the largest number; infinity for NaN."""
    if not np.isfinite(y).all():
        return np.inf if np.isfinite(x).all() else 0.0
    scale = max(float(np.abs(x).max(initial=0)), float(np.abs(y).max(initial=0)), 1e-6)
    return float(np.quantile(np.abs(x - y), 0.999)) / scale if x.size else 0.0


def relations(a: NDArray[np.floating], b: NDArray[np.floating], tolerance: float = EQUAL) -> list[Relation]:
    """What (N, K) columns of B are of those of A; nothing where all are equal.

    Args:
        a: (N, K).
        b: (N, K), the same rows.
        tolerance: largest error of columns that count as equal.
    """
    x, y = (table.astype(np.float64) for table in (a, b))
    different = [j for j in range(x.shape[1]) if error_of(x[:, j], y[:, j]) > tolerance]
    if not different:
        return []
    found: dict[tuple[str, str], list[int]] = {}
    sources: dict[int, int] = {}
    lines: dict[int, tuple[float, float]] = {}
    for j in different:
        kind, text, found_line = _relation(x, y[:, j], (j, different), tolerance)
        if kind == "order":
            sources[j] = int(text)
            text = ""
        lines[j] = found_line
        found.setdefault((kind, text), []).append(j)
    return [
        Relation(
            kind,
            tuple(columns),
            text,
            factor=float(np.median([lines[j][0] for j in columns])) if kind == "line" else 1.0,
            offset=float(np.median([lines[j][1] for j in columns])) if kind == "line" else 0.0,
            sources=tuple(sources[j] for j in columns) if kind == "order" else (),
            error=max(error_of(x[:, j], y[:, j]) for j in columns),
        )
        for (kind, text), columns in found.items()
    ]


def _relation(
    x: FloatArray, y: FloatArray, columns: tuple[int, Sequence[int]], tolerance: float
) -> tuple[str, str, tuple[float, float]]:
    """Kind, text (the source's number for "order") and line of one column.

    Args:
        x: (N, K) of A.
        y: (N,) of B.
        columns: the number of ``y``, and those of all that differ.
        tolerance: largest error.
    """
    j, different = columns
    same = (1.0, 0.0)
    for text, function in FUNCTIONS.items():
        with np.errstate(over="ignore", invalid="ignore"):
            guess = function(x[:, j])
        if np.isfinite(guess).all() and error_of(guess, y) <= tolerance and np.ptp(y) > 0:
            return "function", text, same
    nearest = min(different, key=lambda i: error_of(x[:, i], y))
    if nearest != j and error_of(x[:, nearest], y) <= tolerance:
        return "order", str(nearest), same
    factor, offset, left = line(x[:, j], y)
    if left <= tolerance and abs(factor) > 1e-6:
        return "line", "", (factor, offset)
    return "unknown", "", same


def line(x: FloatArray, y: FloatArray) -> tuple[float, float, float]:
    """Factor and offset of the best line through (x, y), and its error as ``error_of`` has it."""
    spread = float(x.std())
    if spread == 0 or not (np.isfinite(x).all() and np.isfinite(y).all()):
        return 1.0, 0.0, np.inf
    factor = float(((x - x.mean()) * (y - y.mean())).mean()) / spread**2
    offset = float(y.mean() - factor * x.mean())
    return factor, offset, error_of(factor * x + offset, y)


def ranges(columns: Sequence[int]) -> str:
    """``0 to 3, 7``."""
    parts: list[list[int]] = []
    for column in sorted(columns):
        if parts and column == parts[-1][1] + 1:
            parts[-1][1] = column
        else:
            parts.append([column, column])
    text = ", ".join(str(a) if a == b else f"{a} to {b}" for a, b in parts[:5])
    return text + ", ..." * (len(parts) > 5)
