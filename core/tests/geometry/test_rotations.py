from __future__ import annotations

import numpy as np
from hypothesis import given
from hypothesis import strategies as st
from scipy.spatial.transform import Rotation

from anydet.geometry.rotations import (
    matrix_to_rot6d,
    random_rotation,
    rot6d_rows_to_columns,
    rot6d_to_matrix,
    turn_by,
)

seeds = st.integers(0, 2**32 - 1)


def random_rot6d(seed):
    return np.random.default_rng(seed).normal(size=(5, 6)) * 3


def quaternion_matrices(seed):
    """Rotations by the textbook formula, an oracle that knows nothing of six dimensions."""
    q = np.random.default_rng(seed).normal(size=(5, 4))
    w, x, y, z = (q / np.linalg.norm(q, axis=1, keepdims=True)).T
    rows = [
        [1 - 2 * (y * y + z * z), 2 * (x * y - z * w), 2 * (x * z + y * w)],
        [2 * (x * y + z * w), 1 - 2 * (x * x + z * z), 2 * (y * z - x * w)],
        [2 * (x * z - y * w), 2 * (y * z + x * w), 1 - 2 * (x * x + y * y)],
    ]
    return np.array(rows).transpose(2, 0, 1)


@given(seeds)
def test_any_six_numbers_make_a_rotation(seed):
    rotations = rot6d_to_matrix(random_rot6d(seed))
    np.testing.assert_allclose(
        rotations @ rotations.transpose(0, 2, 1), np.eye(3)[None].repeat(5, 0), atol=1e-9
    )
    np.testing.assert_allclose(np.linalg.det(rotations), 1, atol=1e-9)


@given(seeds)
def test_the_first_column_keeps_its_direction_and_the_second_its_plane(seed):
    rot6d = random_rot6d(seed)
    rotations = rot6d_to_matrix(rot6d)
    length = np.linalg.norm(rot6d[:, :3], axis=1, keepdims=True)
    np.testing.assert_allclose(rotations[:, :, 0] * length, rot6d[:, :3], atol=1e-9)
    np.testing.assert_allclose((rotations[:, :, 2] * rot6d[:, 3:]).sum(axis=1), 0, atol=1e-9)
    assert ((rotations[:, :, 1] * rot6d[:, 3:]).sum(axis=1) > 0).all()


@given(seeds)
def test_rotations_survive_the_round_trip(seed):
    rotations = quaternion_matrices(seed)
    np.testing.assert_allclose(rot6d_to_matrix(matrix_to_rot6d(rotations)), rotations, atol=1e-9)


@given(seeds)
def test_rows_and_columns_of_one_rotation_meet(seed):
    rotations = quaternion_matrices(seed)
    rows = rotations[:, :2, :].reshape(5, 6)
    np.testing.assert_allclose(rot6d_rows_to_columns(rows), matrix_to_rot6d(rotations), atol=1e-9)


def test_a_quarter_turn_is_stored_by_columns():
    quarter = np.array([[[0.0, -1, 0], [1, 0, 0], [0, 0, 1]]])
    assert matrix_to_rot6d(quarter).tolist() == [[0, 1, 0, -1, 0, 0]]


def test_random_rotations_are_rotations_and_lean_in_no_direction():
    """The mean angle of uniform rotations is pi / 2 + 2 / pi (Miles 1965), 126.5 degrees."""
    rng = np.random.default_rng(0)
    found = np.stack([random_rotation(rng) for _ in range(4000)])
    assert np.allclose(found @ found.transpose(0, 2, 1), np.eye(3))
    assert np.allclose(np.linalg.det(found), 1)
    assert np.abs(found.mean(axis=0)).max() < 0.04
    angles = np.arccos(np.clip((np.trace(found, axis1=1, axis2=2) - 1) / 2, -1, 1))
    assert abs(angles.mean() - (np.pi / 2 + 2 / np.pi)) < 0.03


@given(seeds)
def test_a_turn_by_a_vector_is_that_of_scipy(seed):
    rng = np.random.default_rng(seed)
    vector = rng.normal(size=3) * rng.choice([1e-9, 1e-3, 1.0, 10.0])
    np.testing.assert_allclose(turn_by(vector), Rotation.from_rotvec(vector).as_matrix(), atol=1e-12)


def test_a_turn_by_nothing_is_none():
    np.testing.assert_array_equal(turn_by(np.zeros(3)), np.eye(3))
