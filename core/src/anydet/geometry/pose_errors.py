"""How far two poses of an object are apart: in rotation, in translation, at its surface and in the image.

A pose is a (4, 4) rigid motion from the object's frame, in meters, to the camera's. Definitions: Hodan et al.
2018, "BOP: Benchmark for 6D Object Pose Estimation", and the BOP Challenge 2019 (MSSD, MSPD); Hinterstoisser
et al. 2012 (ADD, ADD-S); Brachmann et al. 2016 (projection).
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from itertools import product

import numpy as np

from anydet.dataclass import dataclass
from anydet.errors import EvaluationError
from anydet.types import FloatArray, IntArray, Intrinsics, ObjectModel, SymmetryAxis

STEP = 0.01
"""BOP's longest way of a vertex between two discretized rotations, as a fraction of the diameter."""
_FEW_POINTS = 2000
"""Models up to here are searched for nearest points where there is no scipy."""
_PROBES = np.array([way for way in product((-1.0, 0.0, 1.0), repeat=3) if any(way)])


@dataclass(frozen=True, slots=True, eq=False)
class Shape:
    """A model made ready for measuring.

    Attributes:
        model: the model.
        points_m: (P, 3) its vertices, each place once.
        counts: (P,) how many vertices are at one place, which is what means are weighted with.
        motions: (S, 4, 4) that change nothing, axes of symmetry discretized as BOP does.
        probes: (Q, 3) the outermost vertices in a few directions.
        nearest: (M, 3) points in the model's frame to (M,) distances to its nearest vertex.
    """

    model: ObjectModel
    points_m: FloatArray
    counts: IntArray
    motions: FloatArray
    probes: FloatArray
    nearest: Callable[[FloatArray], FloatArray]

    @classmethod
    def of(cls, model: ObjectModel) -> Shape:
        """The shape of a model; raises ``EvaluationError`` where its size needs scipy and there is none."""
        points, counts = np.unique(model.points_m, axis=0, return_counts=True)
        rows = np.unique(np.argmax(points @ _PROBES.T, axis=0))
        nearest = _nearest(points, model.name)
        return cls(model, points, counts, discretize(model), points[rows], nearest)

    def mean(self, distances: FloatArray) -> float:
        """The mean over all vertices of what is known at each place."""
        return float(np.average(distances, weights=self.counts))


def pose(rotations: FloatArray, translations_m: FloatArray) -> FloatArray:
    """(..., 4, 4) of (..., 3, 3) rotations and (..., 3) translations."""
    poses = np.zeros((*rotations.shape[:-2], 4, 4))
    poses[..., :3, :3], poses[..., :3, 3], poses[..., 3, 3] = rotations, translations_m, 1.0
    return poses


def move(poses: FloatArray, points: FloatArray) -> FloatArray:
    """(..., P, 3) points where (..., 4, 4) poses put (P, 3)."""
    moved: FloatArray = points @ np.swapaxes(poses[..., :3, :3], -1, -2) + poses[..., None, :3, 3]
    return moved


def project(points_m: FloatArray, camera: Intrinsics) -> FloatArray:
    """(..., 2) pixels of (..., 3) points in the camera's frame; not finite at depth 0."""
    with np.errstate(divide="ignore", invalid="ignore"):
        plane = points_m[..., :2] / points_m[..., 2:]
    pixels: FloatArray = plane * np.array([camera.fx, camera.fy]) + np.array([camera.cx, camera.cy])
    return pixels


def rotation_error_deg(estimated: FloatArray, true: FloatArray) -> FloatArray:
    """(N,) angle between (N, 3, 3) or (N, 4, 4) rotations, 0 to 180, exact at both ends."""
    between = np.swapaxes(true[:, :3, :3], 1, 2) @ estimated[:, :3, :3]
    # With sine and cosine, as the arc cosine of the trace alone loses digits near 0 and 180 degrees.
    sine = np.linalg.norm(_twist(between), axis=1)
    angle: FloatArray = np.degrees(np.arctan2(sine, np.trace(between, axis1=1, axis2=2) - 1.0))
    return angle


def translation_error_m(estimated: FloatArray, true: FloatArray) -> FloatArray:
    """(N,) distance between the origins of (N, 4, 4) poses."""
    distance: FloatArray = np.linalg.norm(estimated[:, :3, 3] - true[:, :3, 3], axis=1)
    return distance


def closest_equivalents(estimated: FloatArray, true: FloatArray, model: ObjectModel) -> FloatArray:
    """(N, 4, 4) of the poses in which the object looks as in ``true``, those nearest in rotation.

    Around an axis the nearest angle is found in closed form, not among discretized ones.

    Args:
        estimated: (N, 4, 4).
        true: (N, 4, 4).
        model: whose symmetries count.
    """
    best, least = true, rotation_error_deg(estimated, true)
    for symmetry in model.symmetries:
        for motion in [*_turns(estimated, true, symmetry, model.axes)] or [symmetry]:
            candidate = true @ motion
            angle = rotation_error_deg(estimated, candidate)
            better = angle < least
            best, least = np.where(better[:, None, None], candidate, best), np.minimum(angle, least)
    return best


def discretize(model: ObjectModel, step: float = STEP) -> FloatArray:
    """(S, 4, 4) symmetries, each axis in turns of at most ``step`` of the diameter at the farthest vertex."""
    turns = int(np.ceil(np.pi / step))
    angles = 2 * np.pi / turns * np.arange(turns)
    if not model.axes:
        return model.symmetries
    around = np.concatenate([_turn(axis, np.asarray(angles)) for axis in model.axes])
    motions: FloatArray = around[None] @ model.symmetries[:, None]
    return motions.reshape(-1, 4, 4)


def add_m(estimated: FloatArray, true: FloatArray, shape: Shape) -> float:
    """ADD: mean distance of each vertex to itself, meters; symmetries do not count."""
    points = shape.points_m
    return shape.mean(np.linalg.norm(move(estimated, points) - move(true, points), axis=1))


def adds_m(estimated: FloatArray, true: FloatArray, shape: Shape) -> float:
    """ADD-S: mean distance of each vertex in the true pose to the nearest one in the estimated, meters."""
    turned = estimated[:3, :3].T
    back = pose(turned, -turned @ estimated[:3, 3]) @ true
    return shape.mean(shape.nearest(move(back, shape.points_m)))


def mssd_m(estimated: FloatArray, true: FloatArray, shape: Shape) -> float:
    """MSSD: largest distance of a vertex, least over the symmetries, meters."""
    return _least_worst(lambda points: points, estimated, true, shape)


def mspd_px(estimated: FloatArray, true: FloatArray, shape: Shape, camera: Intrinsics) -> float:
    """MSPD: largest distance of a projected vertex, least over the symmetries, pixels."""
    return _least_worst(lambda points: project(points, camera), estimated, true, shape)


def projection_px(estimated: FloatArray, true: FloatArray, shape: Shape, camera: Intrinsics) -> float:
    """Mean distance of projected vertices, pixels; symmetries do not count."""
    points = shape.points_m
    apart = project(move(estimated, points), camera) - project(move(true, points), camera)
    return shape.mean(np.linalg.norm(apart, axis=1))


def _least_worst(
    view: Callable[[FloatArray], FloatArray], estimated: FloatArray, true: FloatArray, shape: Shape
) -> float:
    """The largest distance of a vertex, least over the symmetries.

    The probes' largest distance is never above that of all vertices, so that symmetries are tried from the
    most promising one on until none left can be better.
    """
    poses = true @ shape.motions
    bounds = _worst(view(move(poses, shape.probes)), view(move(estimated, shape.probes)))
    goal, least = view(move(estimated, shape.points_m)), np.inf
    for symmetry in np.argsort(bounds, kind="stable").tolist():
        if bounds[symmetry] >= least:
            break
        worst = _worst(view(move(poses[symmetry], shape.points_m)), goal)
        least = min(least, float(worst))
    return least


def _worst(points: FloatArray, goal: FloatArray) -> FloatArray:
    """(...,) largest distance over P of (..., P, D); infinite where one is not finite."""
    with np.errstate(invalid="ignore"):
        worst = np.linalg.norm(points - goal, axis=-1).max(axis=-1)
    return np.where(np.isnan(worst), np.inf, worst)


def _turns(
    estimated: FloatArray, true: FloatArray, symmetry: FloatArray, axes: Sequence[SymmetryAxis]
) -> list[FloatArray]:
    """For each axis, (N, 4, 4): the symmetry, then the turn that brings ``true`` nearest to ``estimated``."""
    missing = np.swapaxes(true[:, :3, :3], 1, 2) @ estimated[:, :3, :3] @ symmetry[:3, :3].T
    found = []
    for axis in axes:
        way = np.array(axis.direction)
        along = np.einsum("i,nij,j->n", way, missing, way)
        # Of all turns C by an angle, trace(C^T missing) is largest at this one.
        angles = np.arctan2(_twist(missing) @ way, np.trace(missing, axis1=1, axis2=2) - along)
        found.append(_turn(axis, angles) @ symmetry)
    return found


def _twist(rotations: FloatArray) -> FloatArray:
    """(N, 3) axis times twice the sine of the angle."""
    r = rotations
    return np.stack([r[:, 2, 1] - r[:, 1, 2], r[:, 0, 2] - r[:, 2, 0], r[:, 1, 0] - r[:, 0, 1]], axis=1)


def _turn(axis: SymmetryAxis, angles: FloatArray) -> FloatArray:
    """(A, 4, 4) turns around an axis by angles in radians (Rodrigues)."""
    x, y, z = axis.direction
    cross = np.array([[0, -z, y], [z, 0, -x], [-y, x, 0]])
    sine, cosine = np.sin(angles)[:, None, None], np.cos(angles)[:, None, None]
    rotations = np.eye(3) + sine * cross + (1 - cosine) * (cross @ cross)
    point = np.array(axis.point_m)
    return pose(rotations, point - rotations @ point)


def _nearest(points: FloatArray, name: str) -> Callable[[FloatArray], FloatArray]:
    """A tree of scipy's; without scipy a plain search, unless there are too many points."""
    try:
        from scipy.spatial import KDTree
    except ImportError as exc:
        if len(points) <= _FEW_POINTS:
            return lambda queries: _search(points, queries)
        raise EvaluationError(
            f"object {name!r} has vertices at {len(points)} places: finding the nearest ones needs scipy",
            fix="pip install 'anydet[pose]'",
        ) from exc
    tree = KDTree(points)
    return lambda queries: tree.query(queries)[0]


def _search(points: FloatArray, queries: FloatArray) -> FloatArray:
    """(M,) distances of (M, 3) to the nearest of (P, 3)."""
    apart = np.concatenate(
        [((block[:, None] - points) ** 2).sum(axis=2).min(axis=1) for block in _blocks(queries)]
    )
    distances: FloatArray = np.sqrt(apart)
    return distances


def _blocks(rows: FloatArray) -> list[FloatArray]:
    return np.array_split(rows, max(1, len(rows) // 256))
