"""Oriented boxes: (N, 5) center, size and angle in radians from the x axis towards the y axis, or corners."""

from __future__ import annotations

import numpy as np

from anydet.types import BoolArray, FloatArray, IntArray

CORNERS = ("corner_1", "corner_2", "corner_3", "corner_4")
"""Names of the corners, in the order of ``corners_of``."""
_EPSILON = 1e-7
_BLOCK = 256
"""Rows of a matrix of overlaps that are computed at once."""
_PAIRS = 1 << 15
"""Pairs of polygons that are intersected at once."""


def corners_of(boxes: FloatArray) -> FloatArray:
    """(N, 4, 2) corners of (N, 5) boxes, clockwise, from the upper left one of the box before its turn."""
    center, half, angle = boxes[:, :2], boxes[:, 2:4] / 2, boxes[:, 4]
    across = np.stack([np.cos(angle), np.sin(angle)], axis=1) * half[:, :1]
    down = np.stack([-np.sin(angle), np.cos(angle)], axis=1) * half[:, 1:]
    return np.stack(
        [center - across - down, center + across - down, center + across + down, center - across + down],
        axis=1,
    )


def enclosing_xyxy(corners: FloatArray) -> FloatArray:
    """(N, 4) smallest upright boxes around (N, K, 2) points."""
    return np.concatenate([corners.min(axis=1), corners.max(axis=1)], axis=1)


def prob_iou(left: FloatArray, right: FloatArray) -> FloatArray:
    """(N, M) one minus the Hellinger distance of the Gaussians that (N, 5) and (M, 5) boxes stand for.

    Source: Llerena et al. 2021, "Gaussian Bounding Boxes and Probabilistic Intersection-over-Union for Object
    Detection"; small constants as Ultralytics' ``batch_probiou`` has them.
    """
    (xx, yy, xy), (other_xx, other_yy, other_xy) = _covariance(left), _covariance(right)
    sum_xx, sum_yy = xx[:, None] + other_xx, yy[:, None] + other_yy
    sum_xy = xy[:, None] + other_xy
    determinant = sum_xx * sum_yy - sum_xy**2
    dx, dy = (left[:, i, None] - right[:, i] for i in (0, 1))
    apart = (sum_xx * dy**2 + sum_yy * dx**2 - 2 * sum_xy * dx * dy) / (determinant + _EPSILON) / 4
    own = np.clip(xx * yy - xy**2, 0, None)[:, None] * np.clip(other_xx * other_yy - other_xy**2, 0, None)
    unlike = np.log(determinant / (4 * np.sqrt(own) + _EPSILON) + _EPSILON) / 2
    distance = np.clip(apart + unlike, _EPSILON, 100)
    overlap: FloatArray = 1 - np.sqrt(1 - np.exp(-distance) + _EPSILON)
    return overlap


def suppress_oriented(
    boxes: FloatArray, scores: FloatArray, class_ids: IntArray, threshold: float, limit: int | None = None
) -> IntArray:
    """Rows that stay, best score first: those that no better one of their class overlaps.

    Better ones count even where they are dropped themselves (Bolya et al. 2019, "YOLACT", Fast NMS), as in
    Ultralytics' code for oriented boxes.

    Args:
        boxes: (N, 5).
        scores: (N,).
        class_ids: (N,).
        threshold: ``prob_iou`` from which the lesser box is dropped.
        limit: only so many of the best.
    """
    kept = [
        _undisturbed(boxes, scores, np.flatnonzero(class_ids == one), threshold)
        for one in np.unique(class_ids)
    ]
    rows = np.sort(np.concatenate([np.zeros(0, np.int64), *kept]))
    ordered: IntArray = rows[np.argsort(-scores[rows], kind="stable")][:limit]
    return ordered


def _undisturbed(boxes: FloatArray, scores: FloatArray, rows: IntArray, threshold: float) -> IntArray:
    """Those of some rows that overlap no better one of them."""
    order = rows[np.argsort(-scores[rows], kind="stable")]
    stays = np.ones(len(order), np.bool_)
    for start in range(0, len(order), _BLOCK):
        block = np.arange(start, min(start + _BLOCK, len(order)))
        overlaps = prob_iou(boxes[order[: block[-1]]], boxes[order[block]]) >= threshold
        better = np.arange(block[-1])[:, None] < block
        stays[block] = ~(overlaps & better).any(axis=0)
    return order[stays]


def _covariance(boxes: FloatArray) -> tuple[FloatArray, FloatArray, FloatArray]:
    """(N,) variances of x and y and their covariance: those of a uniform distribution over the box."""
    (a, b), cos, sin = boxes[:, 2:4].T ** 2 / 12, np.cos(boxes[:, 4]), np.sin(boxes[:, 4])
    return a * cos**2 + b * sin**2, a * sin**2 + b * cos**2, (a - b) * cos * sin


def areas_of(corners: FloatArray) -> FloatArray:
    """(N,) areas of (N, K, 2) polygons, negative where their corners go counterclockwise on the screen."""
    if not len(corners):
        return np.zeros(0)
    # From the first corner: far from the origin, products of coordinates would lose digits.
    x, y = np.moveaxis(corners - corners[:, :1], -1, 0)
    areas: FloatArray = (x * np.roll(y, -1, axis=1) - np.roll(x, -1, axis=1) * y).sum(axis=1) / 2
    return areas


_ROUNDS = np.array([np.roll(order, -shift) for order in ((0, 1, 2, 3), (3, 2, 1, 0)) for shift in range(4)])
"""(8, 4) all orders that go around four corners, the given one first."""


def aligned(corners: FloatArray, to: FloatArray) -> FloatArray:
    """(N, 4, 2) corners from the start, and in the direction, in which they are nearest to those of ``to``.

    The same box may be stated from any of its corners, and either way around.

    Args:
        corners: (N, 4, 2).
        to: (N, 4, 2).
    """
    candidates = corners[:, _ROUNDS]
    distances = ((candidates - to[:, None]) ** 2).sum(axis=(2, 3))
    nearest: FloatArray = candidates[np.arange(len(corners)), distances.argmin(axis=1)]
    return nearest


def is_convex(corners: FloatArray) -> BoolArray:
    """(N,) whether (N, 4, 2) corners, in their order, turn one way all along."""
    sides = np.roll(corners, -1, axis=1) - corners
    turns = _cross(sides, np.roll(sides, -1, axis=1))
    # Crossed sides turn both ways, too: of four corners, two and two.
    return np.asarray((turns >= 0).all(axis=1) | (turns <= 0).all(axis=1), np.bool_)


def convex_hulls(corners: FloatArray) -> FloatArray:
    """(N, 4, 2) corners of the convex hulls of (N, 4, 2) corners, clockwise; triangles repeat a corner."""
    hulls = np.array(corners, np.float64)
    for row in np.flatnonzero(~is_convex(corners)).tolist():
        hull = _hull(sorted(map(tuple, corners[row].tolist())))
        hulls[row] = [*hull, *[hull[-1]] * (4 - len(hull))]
    backwards = areas_of(hulls) < 0
    hulls[backwards] = hulls[backwards, ::-1]
    return hulls


def intersection_areas(left: FloatArray, right: FloatArray) -> FloatArray:
    """(P,) areas that convex polygons have in common, pair by pair.

    Each one on the left is cut at the sides of that on the right (Sutherland and Hodgman 1974, "Reentrant
    Polygon Clipping"), so that small errors of coordinates make small errors of areas, also where sides
    coincide. The area that equal polygons have in common is that of ``areas_of`` in every bit.

    Args:
        left: (P, 4, 2) corners, clockwise on the screen as of ``convex_hulls``.
        right: (P, 4, 2) likewise.
    """
    areas = [np.zeros(0)]
    for start in range(0, len(left), _PAIRS):
        block = slice(start, start + _PAIRS)
        areas.append(_cut(left[block], right[block]))
    return np.concatenate(areas)


def oriented_iou(left: FloatArray, right: FloatArray, endless: BoolArray | None = None) -> FloatArray:
    """(P,) intersection over union of convex polygons, pair by pair; 0 where one has no area.

    Args:
        left: (P, 4, 2) corners as of ``convex_hulls``.
        right: (P, 4, 2) likewise.
        endless: (P,) pairs whose union is the left one alone, as that with a crowd of COCO is.
    """
    own, other = areas_of(left), areas_of(right)
    inter = np.minimum(intersection_areas(left, right), np.minimum(own, other))
    union = own + other - inter
    if endless is not None:
        union = np.where(endless, own, union)
    iou: FloatArray = np.divide(inter, union, out=np.zeros_like(inter), where=inter > 0)
    return iou


def _cut(polygons: FloatArray, knives: FloatArray) -> FloatArray:
    """(P,) areas of what is left of polygons inside others."""
    origin = knives[:, :1]
    # Corners that are not there repeat the one before, which adds nothing to the area.
    rest, knives = polygons - origin, knives - origin
    for i in range(knives.shape[1]):
        begin, end = knives[:, i, None], knives[:, (i + 1) % knives.shape[1], None]
        rest = _cut_once(rest, begin, end - begin)
    return areas_of(rest)


def _cut_once(polygons: FloatArray, point: FloatArray, side: FloatArray) -> FloatArray:
    """(P, K + 1, 2) what is left of (P, K, 2) polygons on the right hand of (P, 1, 2) lines."""
    distance = _cross(side, polygons - point)
    after, next_distance = np.roll(polygons, -1, axis=1), np.roll(distance, -1, axis=1)
    inside = distance >= 0
    crossing = inside != (next_distance >= 0)
    span = np.where(crossing, distance - next_distance, 1.0)
    met = polygons + (after - polygons) * (distance / span)[..., None]
    # Each side gives its first corner where that is inside, and where it crosses the line the crossing.
    count, corners = distance.shape
    points = np.stack([polygons, met], axis=2).reshape(count, 2 * corners, 2)
    kept = np.stack([inside, crossing], axis=2).reshape(count, 2 * corners)
    # A line cuts a convex polygon in two: at most one corner more.
    order = np.argsort(~kept, axis=1, kind="stable")[:, : corners + 1]
    last = np.maximum(np.minimum(kept.sum(axis=1), corners + 1) - 1, 0)
    order = np.where(np.arange(corners + 1) > last[:, None], order[np.arange(count), last][:, None], order)
    left: FloatArray = np.take_along_axis(points, order[..., None], axis=1)
    left[~inside.any(axis=1)] = 0
    return left


def _cross(a: FloatArray, b: FloatArray) -> FloatArray:
    crossed: FloatArray = a[..., 0] * b[..., 1] - a[..., 1] * b[..., 0]
    return crossed


def _hull(points: list[tuple[float, ...]]) -> list[tuple[float, ...]]:
    """Corners of the convex hull of sorted points (Andrew 1979, monotone chain)."""
    halves: list[list[tuple[float, ...]]] = []
    for ordered in (points, points[::-1]):
        half: list[tuple[float, ...]] = []
        for x, y in ordered:
            while len(half) > 1 and _turn(half[-2], half[-1], (x, y)) <= 0:
                half.pop()
            half.append((x, y))
        halves.append(half[:-1])
    return halves[0] + halves[1] or points[:1]


def _turn(a: tuple[float, ...], b: tuple[float, ...], c: tuple[float, ...]) -> float:
    return (b[0] - a[0]) * (c[1] - a[1]) - (b[1] - a[1]) * (c[0] - a[0])
