"""What two adapters select of the same decoded rows: threshold, limit, suppression, classes, boxes, rounding.

A score is the fingerprint of a candidate: it says which ones were selected, whatever becomes of their boxes
and classes.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import replace

import numpy as np

from anydet.crosscheck.locating.finding import Finding, Step
from anydet.dataclass import dataclass
from anydet.geometry.boxes import area_xyxy, clip_xyxy, nms, nms_by_class
from anydet.geometry.placement import Placement
from anydet.plugins.stages import Decoded
from anydet.types import FloatArray, ImagePredictions, IntArray

_SAME = 0.999
"""Part of all selected scores that both have where selections are the same."""
_BOX_PX = 0.01
_ONE_MORE = np.array([0.0, 0.0, 1.0, 1.0])
"""Pixels that right and lower sides are further where sides are counted inclusively."""
_CHANCE = 0.03
"""Part of the pairs of equal scores that may belong to different detections."""


@dataclass(frozen=True, slots=True, eq=False)
class Case:
    """One image.

    Attributes:
        decoded: what both selected from.
        placement: of the image in the input.
        a: what A selected.
        b: what B selected.
    """

    decoded: Decoded
    placement: Placement
    a: ImagePredictions
    b: ImagePredictions


@dataclass(frozen=True, slots=True)
class Selection:
    """How rows become detections.

    Attributes:
        floor: lowest score.
        limit: most candidates before suppression.
        nms_iou: ``None`` for none.
        agnostic: whether suppression looks at all classes as one.
        best_class: whether a row counts with its best class alone.
        most: detections of an image; ``None`` for all.
    """

    floor: float
    limit: int
    nms_iou: float | None
    agnostic: bool = False
    best_class: bool = False
    most: int | None = None


def compare_selected(cases: Sequence[Case], how: Selection) -> list[Finding]:
    """What B selects or maps differently; nothing where results are equal.

    Args:
        cases: images.
        how: what A does.
    """
    found = []
    decimals = _rounded(cases)
    if decimals is not None:
        found.append(
            Finding(
                "rounding",
                f"scores are rounded to {decimals} decimals",
                "all scores of B are, and none of A's would be",
            )
        )
    base = _agreement([one.a.scores for one in cases], cases, decimals)
    if base < _SAME:
        found.append(_selected(cases, how, decimals, base))
    pairs = [_pairs(one, decimals) for one in cases]
    return [*found, *_classes(cases, pairs), *_boxes(cases, pairs)]


def simulate(decoded: Decoded, placement: Placement, how: Selection) -> FloatArray:
    """Scores that a selection keeps, best first."""
    scores = decoded.scores.astype(np.float64)
    class_ids = np.broadcast_to(np.arange(scores.shape[1]), scores.shape)
    if decoded.labels is not None:
        class_ids = decoded.labels.astype(np.int64)[:, None]
    allowed = scores >= how.floor
    if how.best_class:
        best = np.zeros_like(allowed)
        best[np.arange(len(scores)), scores.argmax(axis=1)] = True
        allowed &= best
    rows, columns = np.nonzero(allowed)
    values, ids = scores[rows, columns], class_ids[rows, columns]
    order = np.sort(np.argsort(-values, kind="stable")[: how.limit])
    rows, values, ids = rows[order], values[order], ids[order]
    boxes = placement.to_image(decoded.boxes_xyxy_px[rows])
    inside = np.flatnonzero(area_xyxy(clip_xyxy(boxes, placement.image_wh)) > 0)
    boxes, values, ids = boxes[inside], values[inside], ids[inside]
    if how.nms_iou is None:
        kept = np.argsort(-values, kind="stable")
    elif how.agnostic:
        kept = nms(boxes, values, how.nms_iou)
    else:
        kept = nms_by_class(boxes, values, ids, how.nms_iou)
    selected: FloatArray = values[kept][: how.most]
    return selected


def _selected(cases: Sequence[Case], how: Selection, decimals: int | None, base: float) -> Finding:
    """The selection that gives B's scores."""
    counts = f"{sum(len(one.a) for one in cases)} detections in A, {sum(len(one.b) for one in cases)} in B"
    evidence = f"{counts}, {base:.1%} of the scores in common"
    best: tuple[float, Step, str] = (0.0, "nms", "nothing")
    for step, text, other in _selections(cases, how):
        scores = [simulate(one.decoded, one.placement, other) for one in cases]
        best = max(best, (_agreement(scores, cases, decimals), step, text), key=lambda tried: tried[0])
        if best[0] >= _SAME:
            return Finding(best[1], best[2], f"{evidence}; {best[0]:.1%} when A does so")
    same, step, text = best
    if same > base + 0.5 * (1 - base):
        return Finding(step, text, f"{evidence}; {same:.1%} when A does so", certain=False)
    extra = sum(len(one.b) for one in cases) > sum(len(one.a) for one in cases)
    cause = f"B keeps {'more' if extra else 'other'} candidates in a way that is not known here"
    return Finding(
        "nms", cause, f"{evidence}; the closest of what was tried: {text} ({same:.1%})", certain=False
    )


def _selections(cases: Sequence[Case], how: Selection) -> Iterator[tuple[Step, str, Selection]]:
    """A's selection with one thing changed, then suppression with every threshold."""
    lowest = min((float(one.b.scores.min()) for one in cases if len(one.b)), default=1.0)
    if lowest > how.floor:
        yield (
            "threshold",
            f"scores below about {lowest:.4g} are left out, not those below {how.floor:g}",
            replace(how, floor=lowest),
        )
    else:
        yield (
            "threshold",
            f"scores down to {lowest:.4g} are kept, not down to {how.floor:g}",
            replace(how, floor=lowest),
        )
    most = max((len(one.b) for one in cases), default=0)
    if most < max((len(one.a) for one in cases), default=0):
        yield "nms", f"at most {most} detections of an image are kept", replace(how, most=most)
    yield "nms", "suppression looks at all classes as one", replace(how, agnostic=True)
    yield "nms", "suppression is within each class", replace(how, agnostic=False)
    yield "nms", "a row counts with its best class alone", replace(how, best_class=True)
    yield (
        "nms",
        "a row counts with its best class alone, and suppression looks at all classes as one",
        replace(how, best_class=True, agnostic=True),
    )
    for limit in (10, 20, 50, 100, 200, 300, 400, 500, 1000, 2000, 3000, 5000, 10**9):
        if limit != how.limit:
            text = f"the best {limit}" if limit < 10**9 else "all"
            yield "nms", f"{text} candidates go into suppression, not {how.limit}", replace(how, limit=limit)
    if how.nms_iou is not None:
        yield "nms", "there is no suppression", replace(how, nms_iou=None)
    # Usual thresholds first: several may select the same.
    for percent in sorted(range(20, 100), key=lambda p: p % 5 != 0):
        if how.nms_iou is None or abs(percent / 100 - how.nms_iou) > 1e-6:
            text = f"suppression is at an IoU of {percent / 100:g}"
            known = "" if how.nms_iou is None else f", not {how.nms_iou:g}"
            yield "nms", text + known, replace(how, nms_iou=percent / 100)


def _agreement(scores: Sequence[FloatArray], cases: Sequence[Case], decimals: int | None) -> float:
    """Scores that both have as a part of those that either has (Jaccard index), over all images."""
    common = total = 0
    for mine, case in zip(scores, cases, strict=True):
        keys = [np.round(values, decimals or 7) for values in (mine, case.b.scores)]
        values, counts = zip(*(np.unique(key, return_counts=True) for key in keys), strict=True)
        _, at, other = np.intersect1d(values[0], values[1], return_indices=True)
        shared = int(np.minimum(counts[0][at], counts[1][other]).sum())
        common += shared
        total += len(mine) + len(case.b) - shared
    return common / total if total else 1.0


def _rounded(cases: Sequence[Case]) -> int | None:
    """Decimals of B's scores, where they are fewer than A's."""
    a, b = (np.concatenate([getattr(one, side).scores for one in cases]) for side in ("a", "b"))
    if not len(a) or not len(b):
        return None
    for decimals in (1, 2, 3, 4):
        off = [np.abs(values - np.round(values, decimals)).max() for values in (a, b)]
        if off[1] < 1e-9 < off[0]:
            return decimals
    return None


def _pairs(case: Case, decimals: int | None) -> tuple[IntArray, IntArray]:
    """Rows of both that are the same candidate: those whose score nobody else has."""
    keys = [np.round(side.scores, decimals or 7) for side in (case.a, case.b)]
    single = [_single(key) for key in keys]
    _, one, other = np.intersect1d(keys[0][single[0]], keys[1][single[1]], return_indices=True)
    return single[0][one], single[1][other]


def _single(values: FloatArray) -> IntArray:
    _, first, counts = np.unique(values, return_index=True, return_counts=True)
    single: IntArray = first[counts == 1].astype(np.int64)
    return single


def _classes(cases: Sequence[Case], pairs: Sequence[tuple[IntArray, IntArray]]) -> list[Finding]:
    x, y = (
        np.concatenate(
            [getattr(one, side).class_ids[rows[i]] for one, rows in zip(cases, pairs, strict=True)]
        )
        for i, side in enumerate(("a", "b"))
    )
    # Of very many scores, a few are equal by chance, and their detections others.
    if not len(x) or np.mean(x != y) <= _CHANCE:
        return []
    gaps = np.unique(y - x)
    evidence = f"{np.count_nonzero(x != y)} of {len(x)} detections have another class"
    most = int(gaps[np.argmax([np.count_nonzero(y - x == gap) for gap in gaps])])
    if np.mean(y - x == most) >= 1 - _CHANCE:
        return [Finding("classes", f"class ids are {most:+d}", evidence)]
    mapped = {int(c): int(np.bincount(y[x == c]).argmax()) for c in np.unique(x)}
    if np.mean(np.array([mapped[c] for c in x.tolist()]) == y) >= 1 - _CHANCE:
        moved = [f"{c} is {to}" for c, to in mapped.items() if to != c]
        return [Finding("classes", f"classes are in another order: {', '.join(moved[:5])}", evidence)]
    return [Finding("classes", "classes are chosen differently", evidence, certain=False)]


def _boxes(cases: Sequence[Case], pairs: Sequence[tuple[IntArray, IntArray]]) -> list[Finding]:
    """How B maps boxes to the image, where that is not what A does."""
    x, y = (
        [getattr(one, side).boxes_xyxy_px[rows[i]] for one, rows in zip(cases, pairs, strict=True)]
        for i, side in enumerate(("a", "b"))
    )
    left, right = np.concatenate(x), np.concatenate(y)
    gap = np.abs(left - right)
    if not len(left) or float(np.quantile(gap, 1 - _CHANCE)) <= _BOX_PX:
        return []
    evidence = f"boxes differ by {np.median(gap.max(axis=1)):.4g} px in the median, at most {gap.max():.4g}"
    for step, text, guesses in _mappings(cases, x):
        tried = np.concatenate(guesses)
        if float(np.quantile(np.abs(tried - right), 1 - _CHANCE)) <= _BOX_PX:
            return [Finding(step, text, evidence)]
    return [Finding("boxes", "boxes are mapped to the image differently", evidence, certain=False)]


_ROUNDINGS: Mapping[str, Callable[[FloatArray], FloatArray]] = {
    "boxes are rounded to whole pixels": np.rint,
    "boxes are cut to whole pixels": np.floor,
    "boxes are rounded to 1 decimal": lambda x: np.round(x, 1),
    "corners are cut outward to whole pixels": lambda x: np.concatenate(
        [np.floor(x[:, :2]), np.ceil(x[:, 2:])], axis=1
    ),
    "x, y, width and height are rounded to whole numbers": lambda x: np.concatenate(
        [np.rint(x[:, :2]), np.rint(x[:, :2]) + np.rint(x[:, 2:] - x[:, :2])], axis=1
    ),
}
"""What programs do that write whole numbers, to (N, 4) corners in the image."""
_ONE_RATIO = "both sides are scaled by the smaller ratio, not by the size that the image was resized to"
_PLACINGS: Mapping[str, Callable[[Placement, FloatArray], FloatArray]] = {
    "boxes are left in pixels of the input": lambda place, x: x,
    "the offset of the image in the input is not subtracted": lambda place, x: x * np.tile(place.scale_xy, 2),
    "boxes are not scaled to the image": lambda place, x: x - np.array(place.offset_xy * 2),
    _ONE_RATIO: lambda place, x: (x - np.array(place.offset_xy * 2)) * _one_ratio(place),
    "boxes are scaled as if the image filled the input": lambda place, x: (
        x * np.tile(np.array(place.image_wh) / np.array(place.input_wh), 2)
    ),
}
"""How (N, 4) corners in the input are mapped to the image."""
_SHIFTS: Mapping[str, Callable[[FloatArray], FloatArray]] = {
    "x2 and y2 are one pixel further: sides are counted inclusively": lambda x: x + _ONE_MORE,
    "x2 and y2 are one pixel less: sides are counted inclusively": lambda x: x - _ONE_MORE,
    "boxes are moved by +0.5 px": lambda x: x + 0.5,
    "boxes are moved by -0.5 px": lambda x: x - 0.5,
    "boxes are moved by +1 px": lambda x: x + 1,
    "boxes are moved by -1 px": lambda x: x - 1,
    "x and y are swapped": lambda x: x[:, [1, 0, 3, 2]],
}


def _mappings(
    cases: Sequence[Case], boxes: Sequence[FloatArray]
) -> Iterator[tuple[Step, str, list[FloatArray]]]:
    """A's boxes as other programs round or map them."""
    for text, change in _ROUNDINGS.items():
        yield "rounding", text, [change(x) for x in boxes]
    places = [one.placement for one in cases]
    inputs = [place.to_input(x) for place, x in zip(places, boxes, strict=True)]
    for text, back in _PLACINGS.items():
        mapped = [back(place, x) for place, x in zip(places, inputs, strict=True)]
        yield "letterbox", text, mapped
        yield (
            "letterbox",
            text,
            [clip_xyxy(x, place.image_wh) for place, x in zip(places, mapped, strict=True)],
        )
    for text, change in _SHIFTS.items():
        yield "boxes", text, [change(x) for x in boxes]


def _one_ratio(placement: Placement) -> float:
    """Pixels of the image a pixel of the input, the same across and down, as letterboxes compute it."""
    return max(
        placement.image_wh[0] / placement.input_wh[0],
        placement.image_wh[1] / placement.input_wh[1],
    )
