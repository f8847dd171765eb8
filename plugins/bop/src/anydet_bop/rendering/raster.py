"""The z-buffer: which pixels see which triangle, and how far away it is.

A pixel sees what is on the ray through its center. With corners v0, v1, v2 of a triangle in the camera's
frame and g_i the rows of the inverse of the matrix [v0 v1 v2], a ray r meets it where all g_i r are 0 or
more, at depth 1 / sum(g_i r), where its barycentric coordinates are in proportion to g_i r. All of them are
linear in the pixel's coordinates, so that perspective is exact. Source: Olano and Greer 1997, "Triangle Scan
Conversion using 2D Homogeneous Coordinates".
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np

from anydet.types import BoolArray, FloatArray, IntArray, Intrinsics, Size
from anydet_bop.rendering.mesh import Mesh

_SLACK_PX = 1e-7
"""Pixels whose center is on an edge belong to both triangles, so that no seam stays open."""


@dataclass(frozen=True, slots=True, eq=False)
class Surface:
    """What the camera sees of one mesh alone, also beyond the edges of the image.

    Attributes:
        x_px: column of the image at which the window starts.
        y_px: row of the image at which it starts.
        depth_m: (h, w) along the camera's axis, infinite where nothing is.
        faces: (h, w) triangle, -1 where nothing is.
        planes: (F, 3, 3) g_i of each triangle as factors of x, y and 1, in pixels.
    """

    x_px: int
    y_px: int
    depth_m: FloatArray
    faces: IntArray
    planes: FloatArray

    @property
    def pixels(self) -> int:
        """Number of pixels of the whole silhouette."""
        return int(np.count_nonzero(self.faces >= 0))

    @property
    def bounds_xywh(self) -> FloatArray:
        """(4,) box around the silhouette, which may leave the image."""
        height, width = self.faces.shape
        return np.array([self.x_px, self.y_px, width, height], np.float64)

    def mask(self, size_wh: Size) -> BoolArray:
        """(H, W) pixels of the image that it covers, whatever stands before it."""
        mask = np.zeros((size_wh[1], size_wh[0]), np.bool_)
        there, here = self.window(size_wh)
        mask[there] = self.faces[here] >= 0
        return mask

    def window(self, size_wh: Size) -> tuple[tuple[slice, slice], tuple[slice, slice]]:
        """Slices of the overlap with the image: in the image, and in this surface."""
        height, width = self.faces.shape
        left, right = np.clip([self.x_px, self.x_px + width], 0, size_wh[0]).tolist()
        top, bottom = np.clip([self.y_px, self.y_px + height], 0, size_wh[1]).tolist()
        here = slice(top - self.y_px, bottom - self.y_px), slice(left - self.x_px, right - self.x_px)
        return (slice(top, bottom), slice(left, right)), here


@dataclass(frozen=True, slots=True, eq=False)
class View:
    """What each pixel of an image sees.

    Attributes:
        owners: (H, W) position of the surface, -1 where there is none.
        faces: (H, W) its triangle, -1 where there is none.
        depth_m: (H, W) along the camera's axis, infinite where nothing is.
    """

    owners: IntArray
    faces: IntArray
    depth_m: FloatArray


def rasterize(mesh: Mesh, rotation: FloatArray, translation_m: FloatArray, camera: Intrinsics) -> Surface:
    """What the camera sees of a mesh.

    Args:
        mesh: a closed surface; triangles seen from inside are left out.
        rotation: (3, 3) object to camera.
        translation_m: (3,) object to camera; every vertex must be in front of the camera.
        camera: pixel edges at whole numbers, so that the center of the first pixel is 0.5, 0.5.

    Raises:
        ValueError: a vertex is beside or behind the camera.
    """
    points = mesh.points_m @ rotation.T + translation_m
    if points[:, 2].min() <= 0:
        raise ValueError(f"a vertex is at depth {points[:, 2].min()} m, which is not in front of the camera")
    corners = points[mesh.faces]
    planes, front = _planes(corners, camera)
    focal, center = np.array([camera.fx, camera.fy]), np.array([camera.cx, camera.cy])
    spots = corners[front, :, :2] / corners[front, :, 2:] * focal + center
    rows, columns, owner = _scan(planes[front], spots)
    return _nearest(rows, columns, front[owner], planes)


def compose(surfaces: Sequence[Surface], size_wh: Size) -> View:
    """The nearest of several surfaces at each pixel."""
    shape = size_wh[1], size_wh[0]
    view = View(np.full(shape, -1), np.full(shape, -1), np.full(shape, np.inf))
    for position, surface in enumerate(surfaces):
        there, here = surface.window(size_wh)
        depth, faces = surface.depth_m[here], surface.faces[here]
        nearer = depth < view.depth_m[there]
        view.depth_m[there][nearer] = depth[nearer]
        view.faces[there][nearer] = faces[nearer]
        view.owners[there][nearer] = position
    return view


def barycentric(surface: Surface, rows: IntArray, columns: IntArray, faces: IntArray) -> FloatArray:
    """(P, 3) how much of each corner of their triangle is at the centers of P pixels of the image."""
    homogeneous = np.stack([columns + 0.5, rows + 0.5, np.ones(len(rows))], axis=1)
    unscaled = np.einsum("pij,pj->pi", surface.planes[faces], homogeneous)
    weights: FloatArray = unscaled / unscaled.sum(axis=1, keepdims=True)
    return weights


def _planes(corners: FloatArray, camera: Intrinsics) -> tuple[FloatArray, IntArray]:
    """(F, 3, 3) factors of x, y, 1 in pixels of all triangles, and which of them face the camera."""
    a, b, c = corners[:, 0], corners[:, 1], corners[:, 2]
    inverse = np.stack([np.cross(b, c), np.cross(c, a), np.cross(a, b)], axis=1)
    volume = (a * inverse[:, 0]).sum(axis=1)
    # A negative volume is a front face; triangles seen edge-on have a volume near 0 and no inverse.
    front = np.flatnonzero(volume < -1e-15)
    inverse = inverse / np.where(volume < -1e-15, volume, 1.0)[:, None, None]
    x, y = inverse[..., 0] / camera.fx, inverse[..., 1] / camera.fy
    return np.stack([x, y, inverse[..., 2] - x * camera.cx - y * camera.cy], axis=2), front


def _scan(planes: FloatArray, spots: FloatArray) -> tuple[IntArray, IntArray, IntArray]:
    """Row, column and triangle of every pixel center in each triangle, row by row.

    Args:
        planes: (F, 3, 3) of triangles that face the camera.
        spots: (F, 3, 2) their corners in pixels.
    """
    low, high = spots.min(axis=1), spots.max(axis=1)
    first = np.ceil(low[:, 1] - 0.5 - _SLACK_PX).astype(np.int64)
    last = np.floor(high[:, 1] - 0.5 + _SLACK_PX).astype(np.int64)
    owner, rows = _ranges(first, last)
    across = planes[owner, :, 0]
    rest = planes[owner, :, 1] * (rows + 0.5)[:, None] + planes[owner, :, 2]
    with np.errstate(divide="ignore", invalid="ignore"):
        crossing = -rest / across
    left = np.where(across > 0, crossing, low[owner, None, 0]).max(axis=1)
    right = np.where(across < 0, crossing, high[owner, None, 0]).min(axis=1)
    start = np.ceil(np.maximum(left, low[owner, 0]) - 0.5 - _SLACK_PX).astype(np.int64)
    stop = np.floor(np.minimum(right, high[owner, 0]) - 0.5 + _SLACK_PX).astype(np.int64)
    span, columns = _ranges(start, stop)
    return rows[span], columns, owner[span]


def _ranges(first: IntArray, last: IntArray) -> tuple[IntArray, IntArray]:
    """All whole numbers from ``first`` to ``last`` of each row, and the row of each."""
    counts = np.maximum(last - first + 1, 0)
    owner = np.repeat(np.arange(len(first)), counts)
    steps = np.arange(len(owner)) - np.repeat(np.cumsum(counts) - counts, counts)
    return owner, first[owner] + steps


def _nearest(rows: IntArray, columns: IntArray, faces: IntArray, planes: FloatArray) -> Surface:
    """The nearest of all triangles at each pixel."""
    if not len(rows):
        return Surface(0, 0, np.zeros((0, 0)), np.zeros((0, 0), np.int64), planes)
    x, y = int(columns.min()), int(rows.min())
    height, width = int(rows.max()) - y + 1, int(columns.max()) - x + 1
    factors = planes.sum(axis=1)[faces]
    depth = 1.0 / (factors[:, 0] * (columns + 0.5) + factors[:, 1] * (rows + 0.5) + factors[:, 2])
    place = (rows - y) * width + columns - x
    nearest = np.full(height * width, np.inf)
    # Unlike nearest[place] = ..., this is right where several triangles meet in a pixel.
    np.minimum.at(nearest, place, depth)
    seen = depth == nearest[place]
    found = np.full(height * width, -1)
    found[place[seen]] = faces[seen]
    return Surface(x, y, nearest.reshape(height, width), found.reshape(height, width), planes)
