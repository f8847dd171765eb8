"""Scores and boxes that two adapters decode from the same outputs."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence

import numpy as np

from anydet.crosscheck.locating.columns import EQUAL, error_of, ranges, relations
from anydet.crosscheck.locating.finding import Finding
from anydet.geometry.boxes import cxcywh_to_xyxy, xyxy_to_xywh
from anydet.plugins.stages import Decoded
from anydet.types import FloatArray, Size

_BOX_PX = 0.02
"""Difference of equal boxes in pixels of the input."""
_USUAL = (8.0, 16.0, 32.0)
_STRIDES = (4.0, 8.0, 16.0, 32.0, 64.0, 128.0)
_ONE_MORE = np.array([0.0, 0.0, 1.0, 1.0])
"""Pixels that right and lower sides are further where sides are counted inclusively."""
_SIZES: Mapping[str, Callable[[FloatArray, float], FloatArray]] = {
    "the exponential of widths and heights is missing": lambda x, stride: stride * np.log(x / stride),
    "widths and heights get an exponential too many": lambda x, stride: (
        stride * np.exp(np.minimum(x / stride, 50))
    ),
    "widths and heights are squared once more": lambda x, stride: stride * np.square(x / stride),
    "the square of widths and heights is missing": lambda x, stride: stride * np.sqrt(x / stride),
}
"""What B may do to widths and heights, in strides."""
_ROWS = 3000
"""Best rows of an image that boxes are compared on."""


def compare_decoded(a: Sequence[Decoded], b: Sequence[Decoded], input_wh: Size) -> list[Finding]:
    """What B decodes differently; nothing where both are equal.

    Args:
        a: an image each.
        b: of the same outputs, or of outputs that should be the same.
        input_wh: size of the input in pixels.
    """
    shapes = [(one.scores.shape, other.scores.shape) for one, other in zip(a, b, strict=True)]
    if any(one != other for one, other in shapes):
        one, other = next(pair for pair in shapes if pair[0] != pair[1])
        return [
            Finding(
                "boxes",
                "outputs are decoded to another number of rows or classes",
                f"{one} in A, {other} in B",
                certain=False,
            )
        ]
    rows = [np.argsort(-one.scores.max(axis=1, initial=0), kind="stable")[:_ROWS] for one in a]
    scores = [np.concatenate([side[i].scores[rows[i]] for i in range(len(a))]) for side in (a, b)]
    boxes = [np.concatenate([side[i].boxes_xyxy_px[rows[i]] for i in range(len(a))]) for side in (a, b)]
    return [
        *_labels(a, b),
        *compare_scores(scores[0], scores[1]),
        *compare_boxes(boxes[0], boxes[1], input_wh),
    ]


def _labels(a: Sequence[Decoded], b: Sequence[Decoded]) -> list[Finding]:
    pairs = [
        (x.labels, y.labels)
        for x, y in zip(a, b, strict=True)
        if x.labels is not None and y.labels is not None
    ]
    if all(np.array_equal(x, y) for x, y in pairs):
        return []
    gaps = np.concatenate([y.astype(np.int64) - x.astype(np.int64) for x, y in pairs])
    if len(np.unique(gaps)) == 1:
        return [Finding("classes", f"labels are {gaps[0]:+d}", "the same for all rows")]
    return [
        Finding("classes", "labels are in another order", f"{np.count_nonzero(gaps)} of {len(gaps)} differ")
    ]


def compare_scores(x: FloatArray, y: FloatArray) -> list[Finding]:
    """What (N, C) scores of B are of those of A."""
    best = np.where(x == x.max(axis=1, keepdims=True, initial=0), x, 0)
    if x.shape[1] > 1 and error_of(best, y) <= EQUAL < error_of(x, y):
        where = f"{np.count_nonzero(y)} of {y.size} scores are not 0"
        return [Finding("nms", "a row counts with its best class alone", where)]
    found = []
    for one in relations(x, y):
        where = f"classes {ranges(one.columns)}, error {one.error:.2g}"
        if one.kind == "function":
            activation = "sigmoid" in one.text
            found.append(Finding("activation" if activation else "scores", f"{one.text}, of scores", where))
        elif one.kind == "order":
            pairs = ", ".join(
                f"{b} is A's {a}" for b, a in list(zip(one.columns, one.sources, strict=True))[:4]
            )
            found.append(Finding("classes", f"classes are in another order: {pairs}", where))
        elif one.kind == "line":
            text = f"scores are multiplied by {one.factor:.4g}"
            text += f", plus {one.offset:.4g}" if abs(one.offset) > 1e-3 else ""
            found.append(Finding("scores", text, where))
        else:
            found.append(_unknown_scores(x, y, where))
    return found


def _unknown_scores(x: FloatArray, y: FloatArray, where: str) -> Finding:
    """Scores that are no function of their own column alone."""
    with np.errstate(divide="ignore", invalid="ignore"):
        ratio = np.where(x > 1e-4, y / x, np.nan)
    spread = (
        np.nanmax(ratio, axis=1, initial=-np.inf) - np.nanmin(ratio, axis=1, initial=np.inf)
        if x.size
        else np.zeros(1)
    )
    known = np.isfinite(spread)
    if known.any() and float(np.median(spread[known])) < 1e-3 * float(np.nanmedian(ratio)):
        return Finding(
            "activation",
            "scores of each row have a common factor: objectness is left out, or used twice",
            f"{where}; factors {np.nanmin(ratio):.3g} to {np.nanmax(ratio):.3g}",
        )
    order = np.argsort(x, axis=None, kind="stable")
    flat = y.ravel()[order]
    if np.all(np.diff(flat) >= -1e-4 * max(float(np.abs(flat).max(initial=0)), 1e-6)):
        return Finding("activation", "scores are another increasing function of A's", where)
    return Finding("scores", "scores are decoded differently", where, certain=False)


def compare_boxes(x: FloatArray, y: FloatArray, input_wh: Size) -> list[Finding]:
    """What (N, 4) corners of B are of those of A, in pixels of the input."""
    gap = np.abs(y - x)
    if not len(x) or float(np.quantile(gap, 0.999)) <= _BOX_PX:
        return []
    evidence = f"boxes differ by {np.median(gap.max(axis=1)):.4g} px in the median, at most {gap.max():.4g}"
    size = np.array(input_wh * 2, np.float64)
    half = (x[:, 2:] - x[:, :2]) / 2
    center = (x[:, :2] + x[:, 2:]) / 2
    wholes = {
        "width and height are taken for the lower right corner": xyxy_to_xywh(x),
        "center and size are taken for corners": np.concatenate([center, 2 * half], axis=1),
        "corners are taken for center and size": cxcywh_to_xyxy(x),
        "half of width and height is not subtracted: the center is taken for the corner": np.concatenate(
            [center, center + 2 * half], axis=1
        ),
        "x and y are swapped": x[:, [1, 0, 3, 2]],
        "boxes are fractions of the input": x / size,
        "boxes are fractions that are multiplied by the input's size once more": x * size,
        "the lower right corner is one pixel further: sides are counted inclusively": x + _ONE_MORE,
        "widths and heights are used as half widths and half heights": np.concatenate(
            [center - 2 * half, center + 2 * half], axis=1
        ),
    }
    for text, guess in wholes.items():
        if _fits(guess, y):
            return [Finding("boxes", text, evidence)]
    sizes = _sizes(x, y)
    return _centers(x, y, evidence) + ([Finding("boxes", sizes, evidence)] if sizes else []) or [
        Finding("boxes", "boxes are decoded differently", evidence, certain=False)
    ]


def _fits(guess: FloatArray, y: FloatArray) -> bool:
    scale = max(1.0, float(np.abs(y).max(initial=0)) / 1000)
    return float(np.quantile(np.abs(guess - y), 0.98)) <= _BOX_PX * scale


def _centers(x: FloatArray, y: FloatArray, evidence: str) -> list[Finding]:
    """Centers that are moved by a constant, or by a part of the stride."""
    moved = (y[:, :2] + y[:, 2:] - x[:, :2] - x[:, 2:]) / 2
    if float(np.quantile(np.abs(moved), 0.98)) <= _BOX_PX:
        return []
    mean = np.median(moved, axis=0)
    if float(np.quantile(np.abs(moved - mean), 0.98)) <= _BOX_PX:
        return [Finding("boxes", f"centers are moved by {mean[0]:+.3g}, {mean[1]:+.3g} px", evidence)]
    # Half of 16, 32, 64 is all of 8, 16, 32: the usual strides first.
    for strides in (_USUAL, _STRIDES):
        for part in (0.5, -0.5, 1.0, -1.0, 0.25, -0.25):
            gaps = np.abs(moved[:, :, None] - np.array(strides) * part).max(axis=1)
            if float(np.quantile(gaps.min(axis=1), 0.98)) <= _BOX_PX * 5:
                used = ", ".join(f"{s:g}" for s in sorted({strides[i] for i in gaps.argmin(axis=1).tolist()}))
                text = f"centers are moved by {part:+g} of the stride (cells of {used} px)"
                return [Finding("boxes", text, evidence)]
    factor = _ratio((x[:, :2] + x[:, 2:]) / 2, (y[:, :2] + y[:, 2:]) / 2)
    if factor is not None:
        return [Finding("boxes", f"centers are multiplied by {factor:.4g}", evidence)]
    return [Finding("boxes", "centers are decoded differently", evidence, certain=False)]


def _sizes(x: FloatArray, y: FloatArray) -> str | None:
    """What B does to widths and heights; ``None`` where they are equal."""
    one, other = x[:, 2:] - x[:, :2], y[:, 2:] - y[:, :2]
    if float(np.quantile(np.abs(one - other), 0.98)) <= 2 * _BOX_PX:
        return None
    factor = _ratio(one, other)
    if factor is not None:
        return f"widths and heights are multiplied by {factor:.4g}"
    for text, guess in _SIZES.items():
        with np.errstate(divide="ignore", invalid="ignore", over="ignore"):
            gaps = np.stack([np.abs(guess(one, stride) - other).max(axis=1) for stride in _STRIDES])
        if float(np.quantile(np.where(np.isnan(gaps), np.inf, gaps).min(axis=0), 0.95)) <= 0.1:
            return text
    return "widths and heights are decoded differently"


def _ratio(one: FloatArray, other: FloatArray) -> float | None:
    """The factor of all numbers, or ``None``."""
    large = np.abs(one) > 1
    if not large.any():
        return None
    factor = float(np.median(other[large] / one[large]))
    return factor if error_of(factor * one, other) < 1e-3 and abs(factor - 1) > 1e-4 else None
