from __future__ import annotations

import numpy as np
from hypothesis import given
from hypothesis import strategies as st

from anydet.geometry.cameras import cropped, mirrored, scaled, translation_m
from anydet.types import Intrinsics

CAMERA = Intrinsics(608.268, 608.179, 310.899, 238.641)
seeds = st.integers(0, 2**32 - 1)


def project(points_m, camera):
    """Pinhole projection by the 3x3 matrix."""
    matrix = np.array([[camera.fx, 0, camera.cx], [0, camera.fy, camera.cy], [0, 0, 1]])
    homogeneous = points_m @ matrix.T
    return homogeneous[:, :2] / homogeneous[:, 2:]


def random_points(seed):
    return np.random.default_rng(seed).uniform([-1, -1, 0.3], [1, 1, 4], (6, 3))


@given(seeds)
def test_the_translation_projects_to_where_it_came_from(seed):
    points = random_points(seed)
    centers = project(points, CAMERA)
    np.testing.assert_allclose(translation_m(centers, np.log(points[:, 2]), CAMERA), points, atol=1e-9)


@given(seeds)
def test_offsets_and_corrections_of_the_camera_are_applied(seed):
    rng = np.random.default_rng(seed)
    points = random_points(seed)
    delta = rng.uniform(-0.1, 0.1, (6, 4)) * [1, 1, 50, 50]
    offsets = rng.uniform(-20, 20, (6, 2))
    pixels = []
    for point, (dfx, dfy, dcx, dcy) in zip(points, delta, strict=True):
        true = Intrinsics(CAMERA.fx * (1 + dfx), CAMERA.fy * (1 + dfy), CAMERA.cx + dcx, CAMERA.cy + dcy)
        pixels.append(project(point[None], true)[0])
    found = translation_m(np.array(pixels) - offsets, np.log(points[:, 2]), CAMERA, offsets, delta)
    np.testing.assert_allclose(found, points, atol=1e-9)


@given(seeds)
def test_cameras_follow_their_image(seed):
    points = random_points(seed)
    pixels = project(points, CAMERA)
    np.testing.assert_allclose(project(points, cropped(CAMERA, 12, -7)), pixels - [12, -7], atol=1e-9)
    halved = scaled(CAMERA, (640, 480), (320, 120))
    np.testing.assert_allclose(project(points, halved), pixels * [0.5, 0.25], atol=1e-9)
    flipped = project(points * [-1, 1, 1], mirrored(CAMERA, 640))
    np.testing.assert_allclose(flipped, np.stack([640 - pixels[:, 0], pixels[:, 1]], axis=1), atol=1e-9)


def test_no_objects_have_no_translations():
    assert translation_m(np.zeros((0, 2)), np.zeros(0), CAMERA).shape == (0, 3)
