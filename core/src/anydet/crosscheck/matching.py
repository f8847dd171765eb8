"""Detections of two sides, one to one: of each image and class the largest number of pairs that are close."""

from __future__ import annotations

from collections.abc import Callable

import numpy as np

from anydet.dataclass import dataclass
from anydet.geometry.boxes import area_xyxy, xywh_to_xyxy
from anydet.geometry.regions import unite
from anydet.types import BoolArray, DetectionColumns, FloatArray, IntArray

_BUCKETS = 1 << 20
"""Steps of the left edge, by which partners are looked up."""
_CELLS = 1 << 21
"""Pairs that are looked at at once, so that memory stays small however many there are."""


@dataclass(frozen=True, slots=True, eq=False)
class Pairs:
    """Pairs of a row of A and a row of B.

    Attributes:
        a: (P,) int64 rows of A.
        b: (P,) int64 rows of B.
        cost: (P,) float64, the smaller the closer they are.
    """

    a: IntArray
    b: IntArray
    cost: FloatArray

    def __len__(self) -> int:
        return len(self.a)

    def take(self, which: IntArray | BoolArray) -> Pairs:
        """Some of them."""
        return Pairs(self.a[which], self.b[which], self.cost[which])


@dataclass(frozen=True, slots=True, eq=False)
class Side:
    """What detections are matched by.

    Attributes:
        groups: (N,) int64, equal for detections of one image and class.
        boxes_xyxy_px: (N, 4) corners.
        scores: (N,).
    """

    groups: IntArray
    boxes_xyxy_px: FloatArray
    scores: FloatArray

    def __len__(self) -> int:
        return len(self.scores)

    def take(self, rows: IntArray) -> Side:
        """Some rows."""
        return Side(self.groups[rows], self.boxes_xyxy_px[rows], self.scores[rows])


def sides(a: DetectionColumns, b: DetectionColumns, *, class_agnostic: bool = False) -> tuple[Side, Side]:
    """What two tables over the same images are matched by; without classes where ``class_agnostic``."""
    classes = 0 if class_agnostic else max(int(one.class_ids.max(initial=-1)) for one in (a, b)) + 1
    parts = [one.image_index * classes + one.class_ids if classes else one.image_index for one in (a, b)]
    first, second = (
        Side(part, xywh_to_xyxy(one.boxes_xywh_px), one.scores)
        for part, one in zip(parts, (a, b), strict=True)
    )
    return first, second


def match_equal(a: Side, b: Side, box_px: float, score: float) -> Pairs:
    """Pairs within both tolerances, as many as there can be.

    Args:
        a: one side.
        b: the other.
        box_px: largest difference of each of the four sides.
        score: largest difference of the scores.
    """
    # A little slack: differences of numbers that were written in decimal are off in their last bits.
    box_px, score = box_px + 1e-9, score + 1e-12

    def distances(rows: IntArray, others: IntArray) -> tuple[BoolArray, FloatArray]:
        boxes = np.abs(a.boxes_xyxy_px[rows] - b.boxes_xyxy_px[others]).max(axis=1)
        scores = np.abs(a.scores[rows] - b.scores[others])
        return (boxes <= box_px) & (scores <= score), boxes / box_px + scores / score

    left = a.boxes_xyxy_px[:, 0]
    return assign(_search(a, b, left - box_px, left + box_px, distances), len(a), len(b))


def match_similar(a: Side, b: Side, iou: float) -> Pairs:
    """Pairs of at least this IoU, the closest first, for what is left when equal ones are gone.

    They describe failures, so that the closest pairs count for more than the number of pairs.

    Args:
        a: one side.
        b: the other.
        iou: least IoU, above 0.
    """

    def distances(rows: IntArray, others: IntArray) -> tuple[BoolArray, FloatArray]:
        overlap = iou_of_rows(a.boxes_xyxy_px[rows], b.boxes_xyxy_px[others])
        return overlap >= iou, 1 - overlap + np.abs(a.scores[rows] - b.scores[others])

    left, width = a.boxes_xyxy_px[:, 0], a.boxes_xyxy_px[:, 2] - a.boxes_xyxy_px[:, 0]
    # An IoU is at most the overlap in width divided by the joint width; a little more, for rounding.
    reach = width * (1 / iou - 1) + 1e-6 * (1 + np.abs(left))
    pairs = _by_cost(_search(a, b, left - reach, left + reach, distances))
    return pairs.take(_greedy(pairs, len(a), len(b)))


def iou_of_rows(left: FloatArray, right: FloatArray) -> FloatArray:
    """(P,) intersection over union of (P, 4) and (P, 4) corners, row by row; 1 for equal boxes."""
    low = np.maximum(left[:, :2], right[:, :2])
    side = np.clip(np.minimum(left[:, 2:], right[:, 2:]) - low, 0.0, None)
    inter = side[:, 0] * side[:, 1]
    union = area_xyxy(left) + area_xyxy(right) - inter
    iou: FloatArray = np.divide(inter, union, out=np.zeros_like(inter), where=union > 0)
    iou[(left == right).all(axis=1)] = 1.0
    return iou


def assign(pairs: Pairs, count_a: int, count_b: int) -> Pairs:
    """As many of the pairs as there can be with each row at most once; cheap ones first, by rows of A.

    The cheapest pair is taken, then the cheapest of those that are left, and so on. Where that leaves rows
    that could be paired by moving others, augmenting paths do so (Kuhn 1955, "The Hungarian method for the
    assignment problem", for a cost of one each), so that none is left alone for the order of choices.

    Args:
        pairs: all that are allowed.
        count_a: rows of A.
        count_b: rows of B.
    """
    pairs = _by_cost(pairs)
    chosen = _greedy(pairs, count_a, count_b)
    partner = np.full(count_a, -1, np.int64)
    partner[pairs.a[chosen]] = pairs.b[chosen]
    _augment(pairs, partner, count_b)
    kept = np.flatnonzero(partner[pairs.a] == pairs.b)
    # A pair of rows is there once, so that what is kept has each row once.
    return pairs.take(kept[np.argsort(pairs.a[kept], kind="stable")])


def _by_cost(pairs: Pairs) -> Pairs:
    return pairs.take(np.lexsort((pairs.b, pairs.a, pairs.cost)))


def _greedy(pairs: Pairs, count_a: int, count_b: int) -> IntArray:
    """Positions of pairs that are the best of both rows, again and again; ``pairs`` are sorted by cost."""
    live, chosen = np.arange(len(pairs)), [np.zeros(0, np.int64)]
    best_a, best_b = np.zeros(count_a, np.int64), np.zeros(count_b, np.int64)
    while len(live):
        # The last write stays: in falling cost, the cheapest pair of each row.
        best_a[pairs.a[live[::-1]]] = live[::-1]
        best_b[pairs.b[live[::-1]]] = live[::-1]
        mutual = live[(best_a[pairs.a[live]] == live) & (best_b[pairs.b[live]] == live)]
        chosen.append(mutual)
        gone_a, gone_b = np.zeros(count_a, np.bool_), np.zeros(count_b, np.bool_)
        gone_a[pairs.a[mutual]] = gone_b[pairs.b[mutual]] = True
        live = live[~(gone_a[pairs.a[live]] | gone_b[pairs.b[live]])]
    return np.concatenate(chosen)


def _augment(pairs: Pairs, partner: IntArray, count_b: int) -> None:
    """Pair rows that are left by moving others, in ``partner``, until there is no such row."""
    count_a = len(partner)
    owner = np.full(count_b, -1, np.int64)
    paired = np.flatnonzero(partner >= 0)
    owner[partner[paired]] = paired
    free = (partner[pairs.a] < 0, owner[pairs.b] < 0)
    if not (free[0].any() and free[1].any()):
        return
    # Only what is connected with a free row of both sides can be moved.
    labels = unite(count_a + count_b, pairs.a, pairs.b + count_a)
    both = np.intersect1d(labels[pairs.a[free[0]]], labels[pairs.b[free[1]] + count_a])
    pairs = pairs.take(np.isin(labels[pairs.a], both))
    if not len(pairs):
        return
    order = np.lexsort((pairs.cost, pairs.a))
    rows, starts = np.unique(pairs.a[order], return_index=True)
    choices = dict(zip(rows.tolist(), np.split(pairs.b[order], starts[1:]), strict=True))
    for row in rows[partner[rows] < 0].tolist():
        for mover, place in _path(row, choices, partner, owner):
            partner[mover], owner[place] = place, mover


def _path(
    row: int, choices: dict[int, IntArray], partner: IntArray, owner: IntArray
) -> list[tuple[int, int]]:
    """Which rows of A have to take which of B, so that a row of A gets a partner; empty where it cannot."""
    came: dict[int, int] = {}
    pending = [row]
    for mover in pending:
        for place in choices[mover].tolist():
            if place in came:
                continue
            came[place] = mover
            if owner[place] >= 0:
                pending.append(int(owner[place]))
                continue
            moves = [(mover, place)]
            while moves[-1][0] != row:
                left_behind = int(partner[moves[-1][0]])
                moves.append((came[left_behind], left_behind))
            return moves
    return []


def _search(
    a: Side,
    b: Side,
    low: FloatArray,
    high: FloatArray,
    distances: Callable[[IntArray, IntArray], tuple[BoolArray, FloatArray]],
) -> Pairs:
    """Pairs of one group that ``distances`` allows, among those whose left edge of B is within (low, high).

    Args:
        a: one side.
        b: the other.
        low: (N,) least left edge of a partner of each row of A.
        high: (N,) largest.
        distances: whether pairs of rows are allowed, and their costs.
    """
    left = b.boxes_xyxy_px[:, 0]
    least, most = left.min(initial=np.inf), left.max(initial=-np.inf)
    scale = _BUCKETS / max(most - least, 1.0)

    def places_of(groups: IntArray, edges: FloatArray) -> IntArray:
        # Group and edge as one integer to search; edges in coarse steps, which `distances` makes up for.
        steps = np.clip((edges - least) * scale, 0, _BUCKETS).astype(np.int64)
        places: IntArray = groups * (_BUCKETS + 1) + steps
        return places

    places = places_of(b.groups, left) if len(left) else np.zeros(0, np.int64)
    order = np.argsort(places, kind="stable")
    places = places[order]
    first, last = np.zeros((2, len(a)), np.int64)
    if len(left):
        first = np.searchsorted(places, places_of(a.groups, low))
        last = np.searchsorted(places, places_of(a.groups, high), side="right")
    ends = np.cumsum(np.maximum(last - first, 0))
    found, start = [Pairs(np.zeros(0, np.int64), np.zeros(0, np.int64), np.zeros(0))], 0
    while start < len(a):
        before = int(ends[start - 1]) if start else 0
        # At least one row, even if it alone has more pairs than fit.
        stop = max(start + 1, int(np.searchsorted(ends, before + _CELLS, side="right")))
        counts = np.diff(ends[start:stop], prepend=before)
        rows = np.repeat(np.arange(start, stop), counts)
        skipped = np.repeat(ends[start:stop] - counts, counts)
        others = order[np.arange(before, before + len(rows)) - skipped + first[rows]]
        allowed, cost = distances(rows, others)
        found.append(Pairs(rows[allowed], others[allowed], cost[allowed]))
        start = stop
    return Pairs(*(np.concatenate([getattr(one, name) for one in found]) for name in ("a", "b", "cost")))
