"""``Mesh``: closed surfaces of triangles, and the few solids that scenes are made of."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np

from anydet.types import FloatArray, IntArray

_SIDES = (
    ((-1, 0, 0), (0, 4, 6, 2)),
    ((1, 0, 0), (1, 3, 7, 5)),
    ((0, -1, 0), (0, 1, 5, 4)),
    ((0, 1, 0), (2, 6, 7, 3)),
    ((0, 0, -1), (0, 2, 3, 1)),
    ((0, 0, 1), (4, 5, 7, 6)),
)
"""Outward normal and corners, counter-clockwise seen from outside; bits of a corner are its x, y and z."""


@dataclass(frozen=True, slots=True, eq=False)
class Mesh:
    """Triangles around a solid, in the frame of the object.

    Attributes:
        points_m: (V, 3) vertices in meters.
        faces: (F, 3) int64 vertices of each triangle, counter-clockwise seen from outside.
        normals: (F, 3, 3) unit normal at each corner of each triangle.
    """

    points_m: FloatArray
    faces: IntArray
    normals: FloatArray

    @property
    def diameter_m(self) -> float:
        """Largest distance between two vertices."""
        apart = self.points_m[:, None] - self.points_m[None]
        return float(np.sqrt((apart**2).sum(axis=2).max()))

    def refined(self, times: int = 1) -> Mesh:
        """The same surface with each triangle cut into four, ``times`` times over."""
        if times == 0:
            return self
        corners = self.points_m[self.faces]
        points, where = np.unique(_quartered(corners).reshape(-1, 3).round(9), axis=0, return_inverse=True)
        normals = _quartered(self.normals)
        normals /= np.linalg.norm(normals, axis=2, keepdims=True)
        return Mesh(points, where.reshape(-1, 3), normals).refined(times - 1)


def box(low_m: Sequence[float], high_m: Sequence[float]) -> Mesh:
    """The box between two corners."""
    low, high = np.array(low_m, np.float64), np.array(high_m, np.float64)
    bits = np.array([[i & 1, i >> 1 & 1, i >> 2 & 1] for i in range(8)])
    faces = [triangle for _, (a, b, c, d) in _SIDES for triangle in ((a, b, c), (a, c, d))]
    normals = [np.tile(normal, (3, 1)) for normal, _ in _SIDES for _ in range(2)]
    return Mesh(np.where(bits, high, low), np.array(faces, np.int64), np.array(normals, np.float64))


def lathe(profile_m: Sequence[tuple[float, float]], sides: int = 48) -> Mesh:
    """The solid that a line sweeps around the z axis, its sides smooth.

    Args:
        profile_m: radius and height of the line's points, from the bottom up, both ends on the axis.
        sides: number of flat sides.
    """
    profile = np.array(profile_m, np.float64)
    angles = 2 * np.pi / sides * np.arange(sides)
    around = np.stack([np.cos(angles), np.sin(angles)], axis=1)
    rings = [np.column_stack([around * radius, np.full(sides, height)]) for radius, height in profile]
    faces, normals = [], []
    for ring, (radius, height) in enumerate(np.diff(profile, axis=0)):
        slope = np.array([height, -radius]) / np.hypot(radius, height)
        smooth = np.column_stack([around * slope[0], np.full(sides, slope[1])])
        for i, j in zip(range(sides), [*range(1, sides), 0], strict=True):
            a, b, c, d = ((ring + up) * sides + side for up, side in ((0, i), (0, j), (1, j), (1, i)))
            for triangle, turns in (((a, b, c), (i, j, j)), ((a, c, d), (i, j, i))):
                faces.append(triangle)
                normals.append(smooth[list(turns)])
    return _without_slivers(Mesh(np.concatenate(rings), np.array(faces, np.int64), np.array(normals)))


def join(meshes: Sequence[Mesh]) -> Mesh:
    """Solids side by side as one."""
    starts = np.cumsum([0, *(len(mesh.points_m) for mesh in meshes)])
    return Mesh(
        np.concatenate([mesh.points_m for mesh in meshes]),
        np.concatenate([mesh.faces + start for mesh, start in zip(meshes, starts, strict=False)]),
        np.concatenate([mesh.normals for mesh in meshes]),
    )


def _without_slivers(mesh: Mesh) -> Mesh:
    """Points that coincide made one, and triangles without area left out (where a profile meets its axis)."""
    points, where = np.unique(mesh.points_m.round(9) + 0.0, axis=0, return_inverse=True)
    faces = where.reshape(-1)[mesh.faces]
    whole = (faces != np.roll(faces, 1, axis=1)).all(axis=1)
    return Mesh(points, faces[whole], mesh.normals[whole])


def _quartered(corners: FloatArray) -> FloatArray:
    """(4F, 3, 3) corners of the quarters of (F, 3, 3) triangles."""
    a, b, c = corners[:, 0], corners[:, 1], corners[:, 2]
    ab, bc, ca = (a + b) / 2, (b + c) / 2, (c + a) / 2
    quarters = ((a, ab, ca), (ab, b, bc), (ca, bc, c), (ab, bc, ca))
    return np.stack([np.stack(quarter, axis=1) for quarter in quarters], axis=1).reshape(-1, 3, 3)
