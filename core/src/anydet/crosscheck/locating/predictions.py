"""What predictions alone say of a difference, where an adapter does not show its stages.

Detections of both sides are paired by scores that only one detection has or, where scores differ, by place.
Hypotheses are fitted to the pairs, so that they name what a difference looks like, not where it arises.
"""

from __future__ import annotations

from collections.abc import Iterator

import numpy as np

from anydet.crosscheck.locating.columns import line, relations
from anydet.crosscheck.locating.finding import Finding
from anydet.crosscheck.locating.parts import explain_parts
from anydet.crosscheck.matching import Pairs, iou_of_rows, match_similar, sides
from anydet.crosscheck.parity import Parity
from anydet.geometry.boxes import cxcywh_to_xyxy, xywh_to_xyxy
from anydet.types import DetectionColumns, FloatArray, IntArray

_ONE_MORE = np.array([0.0, 0.0, 1.0, 1.0])
"""Pixels that right and lower sides are further where sides are counted inclusively."""
_IMAGES = 500
_FEWEST = 10
"""Pairs that a hypothesis needs."""


def explain_predictions(parity: Parity) -> list[Finding]:
    """What B's predictions look like beside A's, likeliest first; nothing where no hypothesis fits.

    Looked at are the images with most failures.
    """
    images = parity.worst_images(_IMAGES)
    a, b = (_of_images(side, images) for side in (parity.joined.a, parity.joined.b))
    if len(a) < _FEWEST or len(b) < _FEWEST:
        return explain_parts(parity.joined.a, parity.joined.b, parity.pairs)
    found: list[Finding] = []
    by_score = _score_pairs(a, b)
    fewer = min(len(a), len(b))
    by_place = match_similar(*sides(a, b), 0.5)
    if len(by_place) < 0.5 * fewer:
        by_place = match_similar(*sides(a, b, class_agnostic=True), 0.5)
    # A score says more of what belongs to what than a place does, where it is the same on both sides.
    pairs = by_score if len(by_score) >= 0.5 * fewer or len(by_place) < 0.5 * fewer else by_place
    if len(pairs) < _FEWEST:
        return []
    found += _classes(a, b, pairs)
    found += _scores(a, b, _near(a, b, by_place) if len(by_place) >= _FEWEST else pairs)
    found += _boxes(a, b, pairs)
    found += _numbers(parity)
    # Parts of boxes that differ would be others.
    return found or explain_parts(parity.joined.a, parity.joined.b, parity.pairs)


def _score_pairs(a: DetectionColumns, b: DetectionColumns) -> Pairs:
    """Detections of one image whose score nobody else of their side has, to seven decimals."""
    keys = [
        np.stack([side.image_index, np.round(side.scores * 1e7).astype(np.int64)], axis=1) for side in (a, b)
    ]
    both = np.concatenate(keys)
    _, numbers, counts = np.unique(both, axis=0, return_inverse=True, return_counts=True)
    numbers = numbers.reshape(-1)
    del counts
    parts = numbers[: len(a)], numbers[len(a) :]
    single = [np.flatnonzero(np.bincount(part, minlength=len(both))[part] == 1) for part in parts]
    _, one, other = np.intersect1d(parts[0][single[0]], parts[1][single[1]], return_indices=True)
    return Pairs(single[0][one], single[1][other], np.zeros(len(one)))


def _corners(side: DetectionColumns, rows: IntArray) -> FloatArray:
    return xywh_to_xyxy(side.boxes_xywh_px[rows])


def _near(a: DetectionColumns, b: DetectionColumns, pairs: Pairs) -> Pairs:
    """The pairs of nearly equal boxes, where there are enough of them."""
    close = np.flatnonzero(iou_of_rows(_corners(a, pairs.a), _corners(b, pairs.b)) > 0.98)
    return pairs.take(close) if len(close) >= _FEWEST else pairs


def _classes(a: DetectionColumns, b: DetectionColumns, pairs: Pairs) -> Iterator[Finding]:
    x, y = a.class_ids[pairs.a], b.class_ids[pairs.b]
    if np.mean(x != y) < 0.3:
        return
    evidence = f"{np.mean(x != y):.0%} of {len(x)} pairs have another class"
    gaps, counts = np.unique(y - x, return_counts=True)
    if counts.max() > 0.9 * len(x):
        yield Finding("classes", f"class ids are {int(gaps[counts.argmax()]):+d}", evidence)
        return
    kept = np.mean([np.mean(y[x == c] == np.bincount(y[x == c]).argmax()) for c in np.unique(x)])
    if kept > 0.9:
        moved = [(int(c), int(np.bincount(y[x == c]).argmax())) for c in np.unique(x)]
        text = ", ".join(f"{c} is {to}" for c, to in moved if c != to)
        yield Finding("classes", f"classes are in another order: {text[:120]}", evidence)


def _scores(a: DetectionColumns, b: DetectionColumns, pairs: Pairs) -> Iterator[Finding]:
    x, y = a.scores[pairs.a], b.scores[pairs.b]
    for decimals in (1, 2, 3, 4):
        if (
            np.abs(b.scores - np.round(b.scores, decimals)).max()
            < 1e-9
            < np.abs(a.scores - np.round(a.scores, decimals)).max()
        ):
            yield Finding(
                "rounding", f"scores are rounded to {decimals} decimals", f"all {len(b)} scores of B are"
            )
            return
    for one in relations(x[:, None], y[:, None], 5e-3):
        evidence = f"{len(x)} pairs, error {one.error:.2g}"
        if one.kind == "function":
            step = "activation" if "sigmoid" in one.text else "scores"
            yield Finding(step, f"{one.text}, of scores", evidence)  # type: ignore[arg-type]
        elif one.kind == "line":
            yield Finding(
                "scores", f"scores are multiplied by {one.factor:.4g}, plus {one.offset:.4g}", evidence
            )


def _boxes(a: DetectionColumns, b: DetectionColumns, pairs: Pairs) -> Iterator[Finding]:
    x, y = _corners(a, pairs.a), _corners(b, pairs.b)
    gap = np.abs(x - y)
    if float(np.quantile(gap, 0.9)) <= 0.05:
        return
    evidence = f"boxes of {len(x)} pairs differ by {np.median(gap.max(axis=1)):.4g} px in the median"
    whole = np.abs(y - np.rint(y)).max() < 1e-6 < np.abs(x - np.rint(x)).max()
    if whole and gap.max() <= 1.0:
        yield Finding("rounding", "boxes are rounded to whole pixels", evidence)
        return
    half = (x[:, 2:] - x[:, :2]) / 2
    center = (x[:, :2] + x[:, 2:]) / 2
    for text, guess in (
        ("x and y are swapped", x[:, [1, 0, 3, 2]]),
        (
            "the center is taken for the upper left corner",
            np.concatenate([center, center + 2 * half], axis=1),
        ),
        ("corners are taken for center and size", cxcywh_to_xyxy(x)),
        ("sides are counted inclusively: x2 and y2 are one pixel further", x + _ONE_MORE),
    ):
        if float(np.quantile(np.abs(guess - y), 0.9)) <= 0.05:
            yield Finding("boxes", text, evidence)
            return
    yield from _affine(x, y, a.sizes_wh[a.image_index[pairs.a]], evidence)


def _affine(x: FloatArray, y: FloatArray, sizes_wh: IntArray, evidence: str) -> Iterator[Finding]:
    """A factor and an offset, of all images or of those of one size."""
    fits = [line(x[:, [c, c + 2]].ravel(), y[:, [c, c + 2]].ravel()) for c in (0, 1)]
    if max(fit[2] for fit in fits) < 1e-3:
        (sx, tx, _), (sy, ty, _) = fits
        if max(abs(sx - 1), abs(sy - 1)) < 1e-3:
            yield Finding("boxes", f"boxes are moved by {tx:+.3g}, {ty:+.3g} px", evidence)
        else:
            text = f"boxes are scaled by {sx:.4g} and {sy:.4g}, and moved by {tx:+.3g}, {ty:+.3g} px"
            yield Finding("letterbox", text, evidence)
        return
    sizes, which = np.unique(sizes_wh, axis=0, return_inverse=True)
    which = which.reshape(-1)
    good = []
    for k in range(len(sizes)):
        rows = np.flatnonzero(which == k)
        if len(rows) >= 3:
            parts = [line(x[rows][:, [c, c + 2]].ravel(), y[rows][:, [c, c + 2]].ravel()) for c in (0, 1)]
            good.append(max(part[2] for part in parts) < 1e-3)
    if good and np.mean(good) > 0.8:
        text = "letterbox or resize is undone differently: boxes have a factor and an offset by image size"
        yield Finding("letterbox", text, evidence)


def _of_images(side: DetectionColumns, images: IntArray) -> DetectionColumns:
    chosen = np.zeros(len(side.images), np.bool_)
    chosen[images] = True
    return side.take(chosen[side.image_index])


def _numbers(parity: Parity) -> Iterator[Finding]:
    """Detections that one side alone has."""
    a, b = parity.joined.a, parity.joined.b
    only_a, only_b = parity.only_a, parity.only_b
    if len(parity.changed) > 0.2 * max(1, len(parity.pairs)):
        return
    lowest = float(b.scores.min())
    if len(only_a) and not len(only_b) and float(a.scores[only_a].max()) <= lowest:
        yield Finding(
            "threshold",
            f"scores below {lowest:.4g} are left out",
            f"{len(only_a)} detections of A, all below",
        )
        return
    lowest = float(a.scores.min())
    if len(only_b) and not len(only_a) and float(b.scores[only_b].max()) <= lowest:
        yield Finding(
            "threshold",
            f"scores down to {float(b.scores.min()):.4g} are kept",
            f"{len(only_b)} detections of B, all below A's",
        )
        return
    most = np.bincount(b.image_index, minlength=len(b.images)).max()
    images = np.unique(a.image_index[only_a])
    full = np.bincount(b.image_index, minlength=len(b.images))[images] == most
    if len(only_a) and not len(only_b) and full.all():
        yield Finding(
            "nms",
            f"at most {most} detections of an image are kept",
            f"{len(only_a)} detections of A are missing on {len(images)} images, all full in B",
        )
        return
    for side, rows, name in ((b, only_b, "B"), (a, only_a, "A")):
        if len(rows) >= _FEWEST:
            ious = _best_overlaps(side, rows)
            high = float(np.quantile(ious, 0.1))
            if high > 0.3:
                text = f"{name} suppresses less: another IoU of suppression, or within classes"
                yield Finding(
                    "nms",
                    text,
                    f"{len(rows)} detections of {name} alone overlap a better one by IoU {high:.2f} or more",
                    certain=False,
                )
                return


def _best_overlaps(side: DetectionColumns, rows: IntArray) -> FloatArray:
    """(len(rows),) largest IoU with a better detection of the image, of any class."""
    found = np.zeros(len(rows))
    for i, row in enumerate(rows[:2000].tolist()):
        others = np.flatnonzero(
            (side.image_index == side.image_index[row]) & (side.scores > side.scores[row])
        )
        if len(others):
            one = np.repeat(_corners(side, np.array([row])), len(others), axis=0)
            found[i] = iou_of_rows(one, _corners(side, others)).max()
    return found[:2000]
