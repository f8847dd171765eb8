"""When two results of one image, or two readings of one file, count as the same."""

from __future__ import annotations

import pickle
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, fields, is_dataclass
from typing import Any, TypeVar

import numpy as np

from anydet.columns import Columns, LazyColumn
from anydet.types import ImagePredictions, IntArray

_C = TypeVar("_C")


@dataclass(frozen=True, slots=True)
class Tolerance:
    """How much two runs of one adapter may differ.

    Keys, sizes and class ids are exact; the order of detections is free, because batched arithmetic may swap
    near-equal scores.

    Attributes:
        box_px: largest difference of a coordinate, in pixels of the image.
        score: largest difference of a score.
    """

    box_px: float = 1e-4
    score: float = 1e-5


def first_difference(
    left: Sequence[ImagePredictions],
    right: Sequence[ImagePredictions],
    tolerance: Tolerance,
    *,
    floor: float = 0.0,
) -> str:
    """A sentence on the first image whose results differ, or an empty string.

    Detections whose score is within the tolerance of ``floor`` (``score_floor``) may be there or not.
    """
    if len(left) != len(right):
        return f"{len(left)} results against {len(right)}"
    for a, b in zip(left, right, strict=True):
        for name in ("image", "size_wh", "classification", "semantic_mask"):
            if getattr(a, name) != getattr(b, name):
                return f"{a.image}: {name} {getattr(a, name)} against {getattr(b, name)}"
        # Both ways, as one way alone misses detections that only the other result has.
        difference = _difference(a, b, tolerance, floor) or _difference(b, a, tolerance, floor)
        if difference:
            return f"{a.image}: {difference}"
    return ""


def _difference(a: ImagePredictions, b: ImagePredictions, tolerance: Tolerance, floor: float) -> str:
    """What ``a`` has that ``b`` does not."""
    a = a.take(a.scores > floor + tolerance.score)
    partner = _partners(a, b, tolerance)
    alone = np.flatnonzero(partner < 0)
    if len(alone):
        row = int(alone[0])
        return (
            f"{len(alone)} of {len(a)} detections have no equal, the first is class {a.class_ids[row]} "
            f"score {a.scores[row]:.6g} box {np.round(a.boxes_xyxy_px[row], 4).tolist()}"
        )
    paired = b.take(partner)
    # Boxes, scores and class ids come first and are equal by now: partners were found by them.
    for name in ImagePredictions.ROWS[3:]:
        if not _same(getattr(a, name), getattr(paired, name), tolerance.box_px):
            return f"{name} differ"
    return ""


def _partners(a: ImagePredictions, b: ImagePredictions, tolerance: Tolerance) -> IntArray:
    """(N,) row of ``b`` that equals each row of ``a``, each used once; -1 where there is none."""
    partner = np.full(len(a), -1, np.int64)
    free = np.ones(len(b), np.bool_)
    for row in range(len(a)):
        # Each row once, so that a doubled detection is a difference.
        near = free & (b.class_ids == a.class_ids[row])
        near &= np.abs(b.scores - a.scores[row]) <= tolerance.score
        near &= (np.abs(b.boxes_xyxy_px - a.boxes_xyxy_px[row]) <= tolerance.box_px).all(axis=1)
        if near.any():
            partner[row] = np.flatnonzero(near)[0]
            free[partner[row]] = False
    return partner


def _same(a: Any, b: Any, atol: float) -> bool:
    if isinstance(a, Columns) and isinstance(b, Columns):
        return all(_same(getattr(a, f.name), getattr(b, f.name), atol) for f in fields(a))  # type: ignore[arg-type]
    if isinstance(a, np.ndarray) and isinstance(b, np.ndarray):
        return a.shape == b.shape and bool(np.allclose(a, b, rtol=1e-5, atol=atol, equal_nan=True))
    if a is None or b is None:  # an array would compare element by element
        return a is b
    return bool(a == b)


def same_columns(a: Any, b: Any) -> bool:
    """Whether two values, columns or nests of them agree in every bit and every type."""
    if isinstance(a, np.ndarray) and isinstance(b, np.ndarray):
        return a.dtype == b.dtype and a.shape == b.shape and a.tobytes() == b.tobytes()
    if isinstance(a, LazyColumn) or isinstance(b, LazyColumn):
        return a is not None and b is not None and bool(a == b)
    if is_dataclass(a) and type(a) is type(b):
        return all(same_columns(getattr(a, f.name), getattr(b, f.name)) for f in fields(a))
    if isinstance(a, Mapping) and isinstance(b, Mapping):
        return a.keys() == b.keys() and all(same_columns(a[k], b[k]) for k in a)
    return type(a) is type(b) and bool(a == b)


def frozen(columns: _C) -> _C:
    """A copy whose arrays cannot be written to."""
    copy: _C = pickle.loads(pickle.dumps(columns))
    _freeze(copy)
    return copy


def _freeze(value: Any) -> None:
    if isinstance(value, np.ndarray):
        value.flags.writeable = False
    elif is_dataclass(value):
        for f in fields(value):
            _freeze(getattr(value, f.name))
    elif isinstance(value, Mapping):
        for one in value.values():
            _freeze(one)
