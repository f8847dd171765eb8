"""What pixels see, against rays that are intersected one by one and planes whose depth is known."""

from __future__ import annotations

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from anydet.geometry import cameras
from anydet.geometry.pose_errors import project
from anydet.geometry.rotations import random_rotation
from anydet.types import Intrinsics
from anydet_bop.rendering.mesh import Mesh, box, join, lathe
from anydet_bop.rendering.raster import barycentric, compose, rasterize

CAMERA = Intrinsics(60.0, 62.0, 25.0, 19.0)
SIZE = (48, 40)
BRACKET = join(
    [box((-0.06, -0.03, -0.05), (0.06, 0.03, -0.02)), box((-0.06, -0.03, -0.02), (-0.02, 0.03, 0.06))]
)
CAN = lathe([(0, -0.05), (0.03, -0.05), (0.03, 0.05), (0, 0.05)], sides=12)
seeds = st.integers(0, 2**32 - 1)
few = settings(max_examples=15, deadline=None)


def placed(seed, mesh=BRACKET, depth_m=0.3):
    rng = np.random.default_rng(seed)
    return mesh, random_rotation(rng), np.array([*rng.uniform(-0.08, 0.08, 2), depth_m])


def nearest_along_rays(mesh, rotation, translation, size_wh):
    """(H, W) depth of the nearest triangle by Moeller and Trumbore's intersection, infinite where none."""
    a, b, c = (mesh.points_m @ rotation.T + translation)[mesh.faces].transpose(1, 0, 2)
    depth = np.full((size_wh[1], size_wh[0]), np.inf)
    for y in range(size_wh[1]):
        for x in range(size_wh[0]):
            ray = np.array([(x + 0.5 - CAMERA.cx) / CAMERA.fx, (y + 0.5 - CAMERA.cy) / CAMERA.fy, 1.0])
            cross = np.cross(ray, c - a)
            det = ((b - a) * cross).sum(axis=1)
            with np.errstate(divide="ignore", invalid="ignore"):
                u = (-a * cross).sum(axis=1) / det
                other = np.cross(-a, b - a)
                v = (other @ ray) / det
                z = ((c - a) * other).sum(axis=1) / det
            hit = (det > 1e-12) & (u >= 0) & (v >= 0) & (u + v <= 1) & (z > 0)
            depth[y, x] = z[hit].min(initial=np.inf)
    return depth


@pytest.mark.slow
@settings(max_examples=4, deadline=None)
@given(seeds, st.sampled_from([BRACKET, CAN]))
def test_each_pixel_has_the_depth_of_its_ray(seed, mesh):
    mesh, rotation, translation = placed(seed, mesh)
    view = compose([rasterize(mesh, rotation, translation, CAMERA)], SIZE)
    there = nearest_along_rays(mesh, rotation, translation, SIZE)
    both = np.isfinite(view.depth_m) & np.isfinite(there)
    assert both.sum() > 30
    assert (np.isfinite(view.depth_m) != np.isfinite(there)).sum() <= 1  # a center on an edge
    assert np.allclose(view.depth_m[both], there[both], atol=1e-9)


def test_a_face_before_the_camera_has_its_depth_at_every_pixel_and_no_hole_on_its_diagonal():
    camera = Intrinsics(50.0, 50.0, 20.0, 20.0)
    surface = rasterize(box((-0.1, -0.1, -0.05), (0.1, 0.1, 0.05)), np.eye(3), np.array([0, 0, 0.55]), camera)
    assert surface.bounds_xywh.tolist() == [10, 10, 20, 20]
    assert np.allclose(surface.depth_m, 0.5, atol=1e-12)
    assert surface.pixels == 400


@given(st.floats(-1.2, 1.2), seeds)
@few
def test_a_tilted_face_has_the_depth_of_its_plane(angle, seed):
    c, s = np.cos(angle), np.sin(angle)
    rotation = np.array([[c, 0, s], [0, 1, 0], [-s, 0, c]])
    translation = np.array([*np.random.default_rng(seed).uniform(-0.02, 0.02, 2), 0.4])
    thin = box((-0.1, -0.1, 0.0), (0.1, 0.1, 1e-9))
    surface = rasterize(thin, rotation, translation, CAMERA)
    rows, columns = np.nonzero(np.isfinite(surface.depth_m))
    rays = np.stack(
        [
            (columns + surface.x_px + 0.5 - CAMERA.cx) / CAMERA.fx,
            (rows + surface.y_px + 0.5 - CAMERA.cy) / CAMERA.fy,
            np.ones(len(rows)),
        ],
        axis=1,
    )
    normal = rotation[:, 2]
    assert np.allclose(surface.depth_m[rows, columns], normal @ translation / (rays @ normal), atol=1e-7)


@few
@given(seeds)
def test_vertices_are_inside_the_silhouette_and_the_box_is_around_them(seed):
    mesh, rotation, translation = placed(seed)
    surface = rasterize(mesh, rotation, translation, CAMERA)
    spots = project(mesh.points_m @ rotation.T + translation, CAMERA)
    x, y, width, height = surface.bounds_xywh
    assert np.allclose([x, y], spots.min(axis=0), atol=1.5)
    assert np.allclose([x + width, y + height], spots.max(axis=0), atol=1.5)
    inner = mesh.points_m.mean(axis=0) + 0.98 * (mesh.refined(1).points_m - mesh.points_m.mean(axis=0))
    column, row = np.floor(project(inner @ rotation.T + translation, CAMERA)).astype(int).T
    near = np.pad(surface.faces >= 0, 3)
    patches = [
        near[i : i + 5, j : j + 5].any()
        for i, j in zip(row - surface.y_px + 1, column - surface.x_px + 1, strict=True)
    ]
    assert np.mean(patches) > 0.75  # the hull's inner corner may look through the angle of the bracket


@few
@given(seeds)
def test_barycentric_coordinates_lead_back_to_the_pixel(seed):
    mesh, rotation, translation = placed(seed)
    surface = rasterize(mesh, rotation, translation, CAMERA)
    view = compose([surface], SIZE)
    rows, columns = np.nonzero(view.owners == 0)
    weights = barycentric(surface, rows, columns, view.faces[rows, columns])
    assert weights.min() > -1e-6
    corners = (mesh.points_m @ rotation.T + translation)[mesh.faces[view.faces[rows, columns]]]
    points = np.einsum("pi,pij->pj", weights, corners)
    assert np.allclose(points[:, 2], view.depth_m[rows, columns], atol=1e-9)
    assert np.allclose(project(points, CAMERA), np.stack([columns, rows], axis=1) + 0.5, atol=1e-6)


@few
@given(seeds, st.integers(0, 12), st.integers(0, 10))
def test_the_cropped_camera_sees_the_window(seed, x, y):
    mesh, rotation, translation = placed(seed)
    whole = compose([rasterize(mesh, rotation, translation, CAMERA)], SIZE)
    window = compose([rasterize(mesh, rotation, translation, cameras.cropped(CAMERA, x, y))], (30, 25))
    assert np.array_equal(window.owners, whole.owners[y : y + 25, x : x + 30])
    assert np.allclose(window.depth_m, whole.depth_m[y : y + 25, x : x + 30])


@few
@given(seeds)
def test_the_mirrored_camera_sees_the_mirrored_pose_of_a_solid_that_looks_the_same_mirrored(seed):
    mirror = np.diag([-1.0, 1.0, 1.0])
    solid, rotation, translation = placed(seed, box((-0.05, -0.03, -0.02), (0.05, 0.03, 0.02)))
    view = compose([rasterize(solid, rotation, translation, CAMERA)], SIZE)
    there = rasterize(
        solid, mirror @ rotation @ mirror, mirror @ translation, cameras.mirrored(CAMERA, SIZE[0])
    )
    assert np.array_equal(compose([there], SIZE).owners[:, ::-1], view.owners)


@few
@given(seeds)
def test_the_scaled_camera_sees_the_same_at_every_third_pixel(seed):
    mesh, rotation, translation = placed(seed)
    small = compose([rasterize(mesh, rotation, translation, CAMERA)], SIZE)
    large_wh = (SIZE[0] * 3, SIZE[1] * 3)
    large = compose(
        [rasterize(mesh, rotation, translation, cameras.scaled(CAMERA, SIZE, large_wh))], large_wh
    )
    assert np.array_equal(large.owners[1::3, 1::3], small.owners)
    seen = small.owners >= 0
    assert np.allclose(large.depth_m[1::3, 1::3][seen], small.depth_m[seen])


def test_the_nearer_surface_hides_the_other_whatever_their_order():
    near = rasterize(
        box((-0.02, -0.02, -0.01), (0.02, 0.02, 0.01)), np.eye(3), np.array([0.01, 0, 0.3]), CAMERA
    )
    far = rasterize(box((-0.2, -0.2, -0.01), (0.2, 0.2, 0.01)), np.eye(3), np.array([0, 0, 0.6]), CAMERA)
    one, other = compose([near, far], SIZE), compose([far, near], SIZE)
    assert np.array_equal(one.owners == 0, other.owners == 1)
    assert (one.owners == 0).sum() == near.pixels
    assert np.array_equal(one.depth_m, other.depth_m)
    assert np.allclose(np.unique(one.depth_m.round(6)), [0.29, 0.59, np.inf])
    assert np.array_equal(near.mask(SIZE), one.owners == 0)


def test_a_surface_beyond_the_edge_counts_whole_and_shows_its_part():
    surface = rasterize(
        box((-0.05, -0.05, -0.05), (0.05, 0.05, 0.05)), np.eye(3), np.array([-0.12, 0, 0.35]), CAMERA
    )
    assert surface.bounds_xywh[0] < 0
    assert 0 < surface.mask(SIZE).sum() < surface.pixels
    away = rasterize(
        box((-0.05, -0.05, -0.05), (0.05, 0.05, 0.05)), np.eye(3), np.array([-2.0, 0, 0.35]), CAMERA
    )
    assert not away.mask(SIZE).any()
    assert (compose([away], SIZE).owners == -1).all()


def test_a_solid_too_small_for_any_pixel_is_not_seen():
    speck = rasterize(box((0, 0, 0), (1e-6, 1e-6, 1e-6)), np.eye(3), np.array([0.001, 0.001, 1.0]), CAMERA)
    assert speck.pixels == 0
    assert not speck.mask(SIZE).any()


def test_a_vertex_behind_the_camera_is_refused():
    with pytest.raises(ValueError, match="not in front of the camera"):
        rasterize(BRACKET, np.eye(3), np.array([0, 0, 0.03]), CAMERA)


def test_triangles_seen_from_inside_are_left_out():
    inside_out = Mesh(BRACKET.points_m, BRACKET.faces[:1, ::-1], BRACKET.normals[:1])
    outside = Mesh(BRACKET.points_m, BRACKET.faces[:1], BRACKET.normals[:1])
    turn = np.array([[0.0, 1, 0], [0, 0, 1], [1, 0, 0]])  # the face with normal -x looks at the camera
    seen = [rasterize(m, turn, np.array([0, 0, 0.4]), CAMERA).pixels for m in (inside_out, outside)]
    assert seen[0] == 0
    assert seen[1] > 0
