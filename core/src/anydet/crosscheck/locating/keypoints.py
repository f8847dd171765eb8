"""Keypoints that two adapters give: their order, the pixels that they are in, and their scores."""

from __future__ import annotations

from collections.abc import Callable, Iterator, Mapping, Sequence

import numpy as np

from anydet.crosscheck.locating.columns import line, relations
from anydet.crosscheck.locating.finding import Finding
from anydet.geometry.placement import Placement
from anydet.types import DetectionColumns, FloatArray, IntArray

_EQUAL_PX = 0.05
_SHARE = 0.98
"""Part of the points that an explanation has to fit."""
_SHIFTS: Mapping[str, Callable[[FloatArray], FloatArray]] = {
    "x and y are swapped": lambda x: x[..., ::-1],
    "keypoints are rounded to whole pixels": np.rint,
    "keypoints are cut to whole pixels": np.floor,
    "keypoints are moved by +0.5 px": lambda x: x + 0.5,
    "keypoints are moved by -0.5 px": lambda x: x - 0.5,
    "keypoints are moved by +1 px": lambda x: x + 1,
    "keypoints are moved by -1 px": lambda x: x - 1,
}
"""To (P, K, 2) points in the image."""


def explain_keypoints(
    a: DetectionColumns, b: DetectionColumns, places: Sequence[Placement] | None = None
) -> list[Finding]:
    """What B's keypoints are of A's, row by row; nothing where they are equal.

    Args:
        a: (P,) detections.
        b: their partners.
        places: where each of ``a.images`` stands in the input, where that is known.
    """
    if a.keypoints is None or b.keypoints is None:
        return []
    if a.keypoints.shape[1] != b.keypoints.shape[1]:
        counts = f"{b.keypoints.shape[1]} keypoints of a detection, not {a.keypoints.shape[1]}"
        return [Finding("keypoints", f"there are {counts}", f"{len(a)} pairs")]
    x, y = a.keypoints, b.keypoints
    order = _order(x[..., :2], y[..., :2])
    found = []
    if order is not None:
        found.append(_ordered(order, len(x)))
        x = x[:, order]
    else:
        found += _places(x[..., :2], y[..., :2], a, places)
    return [*found, *_scores(x[..., 2], y[..., 2])]


def _order(x: FloatArray, y: FloatArray) -> IntArray | None:
    """(K,) point of A that each of B is; ``None`` where they are no points of A, or all in their places."""
    if _fits(x, y):
        return None
    # (K of B, K of A), each the distance of most pairs
    apart = np.stack([_far(x, y[:, [k]]) for k in range(y.shape[1])])
    order: IntArray = apart.argmin(axis=1)
    fits = apart.min(axis=1) <= _EQUAL_PX
    return order if fits.all() and len(np.unique(order)) == len(order) else None


def _far(x: FloatArray, y: FloatArray) -> FloatArray:
    """(K,) distance within which most pairs are."""
    distances = np.linalg.norm(x - y, axis=2)
    known = np.isfinite(distances).any(axis=0)
    far = np.full(distances.shape[1], np.inf)
    far[known] = np.nanquantile(distances[:, known], _SHARE, axis=0)
    return far


def _ordered(order: IntArray, pairs: int) -> Finding:
    """Of another order: whether points of pairs, such as left and right, are swapped."""
    moved = np.flatnonzero(order != np.arange(len(order)))
    if (order[order] == np.arange(len(order))).all():
        swapped = ", ".join(f"{k} and {order[k]}" for k in moved.tolist() if k < order[k])
        text = f"keypoints are swapped in pairs, as left and right: {swapped}"
    else:
        shown = ", ".join(f"{k} is A's {order[k]}" for k in moved[:5].tolist())
        text = f"keypoints are in another order: {shown}"
    return Finding("keypoints", text, f"{len(moved)} of {len(order)} points, in {pairs} pairs")


def _places(
    x: FloatArray, y: FloatArray, a: DetectionColumns, places: Sequence[Placement] | None
) -> list[Finding]:
    if _fits(x, y):
        return []
    gaps = np.linalg.norm(x - y, axis=2)
    evidence = f"keypoints differ by {np.nanmedian(gaps):.4g} px in the median, at most {np.nanmax(gaps):.4g}"
    for text, guess in _guesses(x, a, places):
        if np.isfinite(guess).any() and _fits(guess, y):
            return [Finding("keypoints", text, evidence)]
    fits = [line(x[..., c].ravel(), y[..., c].ravel()) for c in (0, 1)]
    if max(fit[2] for fit in fits) < 1e-3:
        (sx, tx, _), (sy, ty, _) = fits
        text = f"keypoints are scaled by {sx:.4g} and {sy:.4g}, and moved by {tx:+.3g}, {ty:+.3g} px"
        return [Finding("keypoints", text, evidence)]
    return [Finding("keypoints", "keypoints are decoded differently", evidence, certain=False)]


def _guesses(
    x: FloatArray, a: DetectionColumns, places: Sequence[Placement] | None
) -> Iterator[tuple[str, FloatArray]]:
    for text, change in _SHIFTS.items():
        yield text, change(x)
    size = a.sizes_wh[a.image_index].astype(np.float64)[:, None]
    corner, sides = a.boxes_xywh_px[:, None, :2], a.boxes_xywh_px[:, None, 2:]
    # Boxes that the image cuts are not those that keypoints are relative to.
    whole = ((corner > 0) & (corner + sides < size)).all(axis=2, keepdims=True)
    sides = np.where(whole, sides, np.nan)
    center = corner + sides / 2
    yield "keypoints are mirrored left to right", np.stack([size[..., 0] - x[..., 0], x[..., 1]], axis=-1)
    yield "keypoints are fractions of the image", x / size
    yield "keypoints count from the corner of the box", np.where(whole, x - corner, np.nan)
    yield "keypoints are fractions of the box, from its corner", (x - corner) / sides
    yield "offsets from the center of the box are added to its corner", x - sides / 2
    yield "offsets are added in pixels, not in widths and heights of the box", center + (x - center) / sides
    yield "offsets count in half widths and heights of the box", center + (x - center) / 2
    if places is None:
        return
    rows = a.image_index
    offset = np.array([place.offset_xy for place in places], np.float64)[rows][:, None]
    scale = np.array([place.scale_xy for place in places])[rows][:, None]
    inputs = np.array([place.input_wh for place in places], np.float64)[rows][:, None]
    yield "keypoints are left in pixels of the input", x / scale + offset
    yield "the offset of the image in the input is not subtracted", x + offset * scale
    yield "keypoints are not scaled to the image", x / scale
    yield "keypoints are fractions of the input", (x / scale + offset) / inputs


def _scores(x: FloatArray, y: FloatArray) -> Iterator[Finding]:
    known = np.isfinite(x).all(axis=1) & np.isfinite(y).all(axis=1)
    for one in relations(x[known].reshape(-1, 1), y[known].reshape(-1, 1)):
        evidence = f"{np.count_nonzero(known)} pairs, error {one.error:.2g}"
        if one.kind == "function":
            step = "activation" if "sigmoid" in one.text else "keypoints"
            yield Finding(step, f"{one.text}, of keypoint scores", evidence)  # type: ignore[arg-type]
        elif one.kind == "line":
            text = f"keypoint scores are multiplied by {one.factor:.4g}, plus {one.offset:.4g}"
            yield Finding("keypoints", text, evidence)
        else:
            yield Finding("keypoints", "keypoint scores are decoded differently", evidence, certain=False)


def _fits(guess: FloatArray, y: FloatArray) -> bool:
    distances = np.linalg.norm(guess - y, axis=2)
    known = distances[np.isfinite(distances)]
    return not len(known) or float(np.quantile(known, _SHARE)) <= _EQUAL_PX
