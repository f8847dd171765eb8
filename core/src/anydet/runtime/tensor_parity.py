"""Whether two runs of one model give the same tensors: every output, any inputs, rows in any order.

Two programs that compute the same function differ by rounding, and rounding changes the order of rows where
scores are nearly equal: a top-k of queries or a non-maximum suppression then gives the same detections in
other places. Rows are therefore matched, one to one, before they are compared; where a row has moved, the
scores say whether rounding explains it.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import asdict, dataclass, fields, replace
from typing import Any, TypeAlias

import numpy as np
from numpy.typing import NDArray

from anydet.plugins.export import SHAPES, ModelDescription
from anydet.types import FloatArray, IntArray

Tensors: TypeAlias = Mapping[str, NDArray[Any]]
Run: TypeAlias = Callable[[Tensors], Tensors]
"""Inputs by name to outputs by name."""

_MATCHED_ROWS = 2000
"""Rows of an image that are matched at most: the table of distances has the square of it."""


@dataclass(frozen=True, slots=True)
class Tolerance:
    """A number is the same where ``|b - a| <= absolute + relative * |a|``, as ``numpy.isclose`` has it.

    Whole numbers must be equal.

    Attributes:
        absolute: in units of the output.
        relative: part of the reference's number.
        top_k: rows of an image, highest scores first, whose set and order are compared; 0 for none.
    """

    absolute: float = 1e-4
    relative: float = 1e-3
    top_k: int = 100


@dataclass(frozen=True, slots=True)
class Rows:
    """Outputs whose second axis is rows that may change places: queries, or detections.

    Attributes:
        outputs: names; each (B, N) or (B, N, D).
        scores: the one that rows are ranked by: (B, N) scores, or (B, N, C) logits whose highest counts.
        labels: the one that is below 0 in rows of padding, which are left out; ``None`` where none are.
    """

    outputs: tuple[str, ...]
    scores: str
    labels: str | None = None

    @classmethod
    def of(cls, description: ModelDescription) -> Rows | None:
        """Those of a described model; ``None`` where its outputs have no rows."""
        named = {output.meaning: output.name for output in description.outputs}
        rows = tuple(named[meaning] for meaning in named if SHAPES[meaning][1:2] == ("N",))
        scores = named.get("scores", named.get("class_logits"))
        return None if scores is None else cls(rows, scores, named.get("labels"))


@dataclass(frozen=True, slots=True)
class OutputParity:
    """How far one output of one run is from the reference's.

    Attributes:
        name: of the output.
        shape: the reference's.
        numbers: how many were compared.
        max_abs: largest absolute difference; ``nan`` where shapes differ or nothing was compared.
        max_rel: largest difference as part of the reference's number, where that is above the absolute
            tolerance.
        outside: numbers that are outside of the tolerance.
        problem: what else is wrong (another shape, NaN on one side); empty where nothing is.
        worst: position of the largest difference, relative to the tolerance.
        values: the reference's number there, and the other's.
    """

    name: str
    shape: tuple[int, ...]
    numbers: int
    max_abs: float
    max_rel: float
    outside: int = 0
    problem: str = ""
    worst: tuple[int, ...] = ()
    values: tuple[float, float] | None = None

    @property
    def passed(self) -> bool:
        """Whether all numbers are within the tolerance."""
        return not self.outside and not self.problem


@dataclass(frozen=True, slots=True)
class RowParity:
    """Rows of one run, over all its images.

    Attributes:
        reference: rows that are no padding.
        moved: matched rows that stand in another place.
        extra: rows that only the other run has.
        missing: rows that only the reference has.
        top_k_missing: of the reference's best rows, those that are not among the other's best.
        swapped: neighbors of the reference's ranking that the other ranks the other way round, though their
            scores differ by more than the tolerance.
    """

    reference: int
    moved: int = 0
    extra: int = 0
    missing: int = 0
    top_k_missing: int = 0
    swapped: int = 0

    @property
    def passed(self) -> bool:
        """Whether both runs have the same rows, ranked alike."""
        return not (self.extra or self.missing or self.top_k_missing or self.swapped)


@dataclass(frozen=True, slots=True)
class CaseParity:
    """One run on both sides.

    Attributes:
        name: of the inputs: "random, batch 2".
        outputs: in the reference's order.
        rows: where outputs have rows.
    """

    name: str
    outputs: tuple[OutputParity, ...]
    rows: RowParity | None = None

    @property
    def passed(self) -> bool:
        """Whether all outputs and the ranking of rows are the same."""
        return all(output.passed for output in self.outputs) and (self.rows is None or self.rows.passed)


@dataclass(frozen=True, slots=True)
class TensorParity:
    """All runs of a comparison.

    Attributes:
        tolerance: what counts as the same.
        cases: in the order of the inputs.
    """

    tolerance: Tolerance
    cases: tuple[CaseParity, ...]

    @property
    def passed(self) -> bool:
        """Whether there was a run, and all were the same."""
        return bool(self.cases) and all(case.passed for case in self.cases)

    @property
    def max_abs(self) -> float:
        """Largest absolute difference of any number; ``nan`` where one could not be compared."""
        return float(np.max([o.max_abs for case in self.cases for o in case.outputs], initial=0.0))

    @property
    def max_rel(self) -> float:
        """Largest relative difference, likewise."""
        return float(np.max([o.max_rel for case in self.cases for o in case.outputs], initial=0.0))

    def as_dict(self) -> dict[str, Any]:
        """Plain data for a report: all numbers, with what passed."""
        return {
            "passed": self.passed,
            "tolerance": asdict(self.tolerance),
            "max_abs": self.max_abs,
            "max_rel": self.max_rel,
            "cases": [
                {
                    **asdict(case),
                    "passed": case.passed,
                    "outputs": [{**asdict(output), "passed": output.passed} for output in case.outputs],
                }
                for case in self.cases
            ],
        }

    def findings(self) -> list[str]:
        """A sentence on each thing that is not the same."""
        return [text for case in self.cases for text in _findings(case)]


def tensor_parity(
    reference: Run,
    candidate: Run,
    cases: Mapping[str, Tensors],
    *,
    tolerance: Tolerance | None = None,
    rows: Rows | None = None,
) -> TensorParity:
    """Run both on each case and compare all outputs of the reference.

    Args:
        reference: the run that is right.
        candidate: the other, whose outputs have the same names.
        cases: name -> inputs by name.
        tolerance: what counts as the same.
        rows: outputs whose rows may change places; ``None`` compares all of them in place.
    """
    tolerance = tolerance or Tolerance()
    found = [
        compare_outputs(name, reference(feeds), candidate(feeds), tolerance, rows)
        for name, feeds in cases.items()
    ]
    return TensorParity(tolerance, tuple(found))


def compare_outputs(
    name: str, reference: Tensors, candidate: Tensors, tolerance: Tolerance, rows: Rows | None = None
) -> CaseParity:
    """Outputs of one run on both sides, compared as ``tensor_parity`` does."""
    if rows is None or not _same_shapes(rows, reference, candidate):
        return CaseParity(name, tuple(_compare_all(reference, candidate, tolerance)))
    pairs = [_match_image(rows, reference, candidate, image, tolerance) for image in _images(rows, reference)]
    first, second = dict(reference), dict(candidate)
    for output in rows.outputs:
        first[output] = _gathered(reference[output], [pair.ours for pair in pairs])
        second[output] = _gathered(candidate[output], [pair.theirs for pair in pairs])
    places = [(image, int(row)) for image, pair in enumerate(pairs) for row in pair.ours]
    outputs = [
        replace(found, worst=(*places[found.worst[0]], *found.worst[1:]), shape=reference[found.name].shape)
        if found.name in rows.outputs and found.worst
        else found
        for found in _compare_all(first, second, tolerance)
    ]
    sums = {f.name: sum(getattr(pair.parity, f.name) for pair in pairs) for f in fields(RowParity)}
    return CaseParity(name, tuple(outputs), RowParity(**sums))


def _images(rows: Rows, outputs: Tensors) -> range:
    return range(len(outputs[rows.scores]))


def _compare_all(reference: Tensors, candidate: Tensors, tolerance: Tolerance) -> Iterator[OutputParity]:
    for name, values in reference.items():
        yield _compare(name, values, candidate.get(name), tolerance)


def _same_shapes(rows: Rows, reference: Tensors, candidate: Tensors) -> bool:
    """Whether rows can be matched: of an output that is missing or has another shape that is said instead."""
    return all(
        name in reference and name in candidate and reference[name].shape == candidate[name].shape
        for name in rows.outputs
    )


def _compare(name: str, a: NDArray[Any], b: NDArray[Any] | None, tolerance: Tolerance) -> OutputParity:
    """One output against the reference's."""
    if b is None or a.shape != b.shape:
        there = "it is missing" if b is None else f"its shape is {b.shape}, the reference's is {a.shape}"
        return OutputParity(name, a.shape, 0, float("nan"), float("nan"), problem=there)
    if not a.size:
        return OutputParity(name, a.shape, 0, 0.0, 0.0)
    left, right = a.astype(np.float64), b.astype(np.float64)
    # Infinities are the same where both sides have them; NaN is the same as NaN.
    same = (left == right) | (np.isnan(left) & np.isnan(right))
    with np.errstate(invalid="ignore"):
        difference = np.where(same, 0.0, np.abs(right - left))
    broken = ~same & ~(np.isfinite(left) & np.isfinite(right))
    excess = difference / _allowed(a, left, tolerance)
    outside = broken | (excess > 1)
    worst = np.unravel_index(int(np.argmax(np.where(broken, np.inf, excess))), a.shape)
    finite = np.where(broken, 0.0, difference)
    large = np.isfinite(left) & (np.abs(left) > tolerance.absolute)
    relative = np.divide(finite, np.abs(left), out=np.zeros(a.shape), where=large)
    return OutputParity(
        name,
        a.shape,
        a.size,
        float(finite.max()),
        float(relative.max()),
        int(outside.sum()),
        _broken(left, right) if broken.any() else "",
        tuple(int(i) for i in worst),
        (float(left[worst]), float(right[worst])),
    )


def _allowed(a: NDArray[Any], values: FloatArray, tolerance: Tolerance) -> FloatArray:
    """Largest difference that is within the tolerance; of whole numbers and truth values nearly none."""
    if a.dtype.kind in "iub":
        return np.full(a.shape, 1e-9)
    return tolerance.absolute + tolerance.relative * np.where(np.isfinite(values), np.abs(values), 0.0)


def _broken(left: FloatArray, right: FloatArray) -> str:
    sides = ("the reference has", left), ("the other has", right)
    counts = [
        f"{side} {np.isnan(values).sum()} NaN and {np.isinf(values).sum()} infinite" for side, values in sides
    ]
    return f"numbers that are not finite: {', '.join(counts)}"


def _gathered(values: NDArray[Any], rows: Sequence[IntArray]) -> NDArray[Any]:
    """(sum of rows, ...) of all images, one below the other."""
    return np.concatenate([values[image][chosen] for image, chosen in enumerate(rows)])


@dataclass(frozen=True, slots=True, eq=False)
class _Pairs:
    """Matched rows of one image, in the order of the reference; rows without partner are in neither."""

    ours: IntArray
    theirs: IntArray
    parity: RowParity


def _match_image(
    rows: Rows, reference: Tensors, candidate: Tensors, image: int, tolerance: Tolerance
) -> _Pairs:
    known, left = _rows_of(rows, reference, image)
    others, right = _rows_of(rows, candidate, image)
    i, j = _matched(left, right, tolerance)
    parity = RowParity(
        reference=len(known),
        moved=int((known[i] != others[j]).sum()),
        extra=len(others) - len(j),
        missing=len(known) - len(i),
        **_ranking(left[rows.scores], right[rows.scores], i, j, tolerance),
    )
    return _Pairs(known[i], others[j], parity)


def _rows_of(rows: Rows, outputs: Tensors, image: int) -> tuple[IntArray, Tensors]:
    """Positions of the rows that are no padding, and what stands in them."""
    count = len(outputs[rows.scores][image])
    there = np.arange(count) if rows.labels is None else np.flatnonzero(outputs[rows.labels][image] >= 0)
    return there, {name: outputs[name][image][there] for name in rows.outputs}


def _matched(left: Tensors, right: Tensors, tolerance: Tolerance) -> tuple[IntArray, IntArray]:
    """One-to-one pairs: rows that are the same in their place, then the nearest of what is left."""
    counts = [len(next(iter(side.values()))) for side in (left, right)]
    heads = [{name: values[: min(counts)] for name, values in side.items()} for side in (left, right)]
    in_place = _row_distance(heads[0], heads[1], tolerance) <= 1
    same, other = np.flatnonzero(in_place), np.flatnonzero(~in_place)
    free = [np.setdiff1d(np.arange(count), same) for count in counts]
    if max(map(len, free)) <= _MATCHED_ROWS:
        ours = {name: values[free[0]] for name, values in left.items()}
        theirs = {name: values[free[1]] for name, values in right.items()}
        near, far = _nearest(ours, theirs, tolerance)
        pairs = free[0][near], free[1][far]
    else:
        pairs = other, other
    i, j = np.concatenate([same, pairs[0]]), np.concatenate([same, pairs[1]])
    order = np.argsort(i)
    return i[order], j[order]


def _nearest(left: Tensors, right: Tensors, tolerance: Tolerance) -> tuple[IntArray, IntArray]:
    """Pairs of rows, the nearest first, each row once."""
    counts = [len(next(iter(side.values()))) for side in (left, right)]
    if not min(counts):
        return np.zeros(0, np.int64), np.zeros(0, np.int64)
    singles = ({name: values[row][None] for name, values in left.items()} for row in range(counts[0]))
    table = np.stack([_row_distance(single, right, tolerance) for single in singles])
    taken = [np.zeros(count, bool) for count in counts]
    pairs = []
    for cell in np.argsort(table, axis=None, kind="stable"):
        a, b = divmod(int(cell), counts[1])
        if not (taken[0][a] or taken[1][b]):
            taken[0][a] = taken[1][b] = True
            pairs.append((a, b))
    near, far = np.array(pairs, np.int64).T
    return near, far


def _row_distance(left: Tensors, right: Tensors, tolerance: Tolerance) -> FloatArray:
    """Largest difference of each pair of rows, in tolerances: up to 1 is the same.

    ``left`` has as many rows as ``right``, or one that is compared with all of them.
    """
    found: FloatArray = np.zeros(len(next(iter(right.values()))))
    for name, values in left.items():
        a, b = values.astype(np.float64), right[name].astype(np.float64)
        with np.errstate(invalid="ignore"):
            excess = np.where(a == b, 0.0, np.abs(b - a) / _allowed(values, a, tolerance))
        excess = np.where(np.isnan(excess), np.inf, excess)
        found = np.maximum(found, excess.max(axis=tuple(range(1, excess.ndim)), initial=0.0))
    return found


def _ranking(
    left: NDArray[Any], right: NDArray[Any], i: IntArray, j: IntArray, tolerance: Tolerance
) -> dict[str, int]:
    """How many of the best rows are others, and how many neighbors are ranked the other way round."""
    ours, theirs = _best(left), _best(right)
    k = min(tolerance.top_k, len(ours), len(theirs))
    if not k:
        return {}
    partner = np.full(len(ours), -1)
    partner[i] = j
    best = np.argsort(-ours, kind="stable")[:k]
    lowest = np.sort(theirs)[-k]
    allowed = tolerance.absolute + tolerance.relative * np.abs(ours)
    # A row just below the last of the best is the last of the best but for rounding.
    matched = best[partner[best] >= 0]
    missing = int((theirs[partner[matched]] < lowest - 2 * allowed[matched]).sum()) + k - len(matched)
    gaps = ours[matched[:-1]] - ours[matched[1:]]
    turned = theirs[partner[matched[:-1]]] < theirs[partner[matched[1:]]]
    return {
        "top_k_missing": missing,
        "swapped": int((turned & (gaps > 2 * allowed[matched[:-1]])).sum()),
    }


def _best(scores: NDArray[Any]) -> FloatArray:
    """(N,) highest score of each row."""
    found: FloatArray = scores.astype(np.float64).max(axis=tuple(range(1, scores.ndim)), initial=-np.inf)
    return found


def _findings(case: CaseParity) -> list[str]:
    found = []
    for output in case.outputs:
        if output.problem:
            found.append(f"{case.name}: {output.name}: {output.problem}")
        elif output.outside and output.values is not None:
            a, b = output.values
            found.append(
                f"{case.name}: {output.name}: {output.outside} of {output.numbers} numbers differ, by up to "
                f"{output.max_abs:.3g}; at {list(output.worst)} {b:.6g} instead of {a:.6g}"
            )
    rows = case.rows
    if rows is not None:
        texts = {
            "missing": "rows are missing",
            "extra": "rows are extra",
            "top_k_missing": "of the best rows are not among the best",
            "swapped": "neighbors are ranked the other way round",
        }
        found += [f"{case.name}: {n} {text}" for key, text in texts.items() if (n := getattr(rows, key))]
    return found
