from __future__ import annotations

import math

import numpy as np
import pytest

torch = pytest.importorskip("torch")

from scipy.spatial.transform import Rotation

from anydet.geometry.rotations import rot6d_to_matrix
from anydet_rtdetr_pose.rotation import about_axis, geodesic_angle, matrix_from_rot6d, turn_to

RNG = np.random.default_rng(0)


def random_rotations(count: int) -> torch.Tensor:
    return torch.from_numpy(Rotation.random(count, random_state=3).as_matrix())


def test_six_numbers_become_the_rotation_of_the_contract():
    rot6d = RNG.normal(size=(50, 6))
    assert np.allclose(matrix_from_rot6d(torch.from_numpy(rot6d)), rot6d_to_matrix(rot6d))


def test_angles_are_those_of_scipy():
    a, b = random_rotations(40), random_rotations(40).flip(0)
    expected = (Rotation.from_matrix(a) * Rotation.from_matrix(b).inv()).magnitude()
    assert np.allclose(geodesic_angle(a, b), expected, atol=1e-6)


@pytest.mark.parametrize("degrees", [0.0, 1e-4, 90.0, 179.9999, 180.0])
@pytest.mark.parametrize("dtype", [torch.float32, torch.float64])
def test_the_angle_and_its_gradient_are_finite_also_at_0_and_180_degrees(degrees, dtype):
    turn = Rotation.from_rotvec([0, 0, math.radians(degrees)]).as_matrix()
    rot6d = torch.tensor([1.0, 0, 0, 0, 1, 0], dtype=dtype, requires_grad=True)
    angle = geodesic_angle(matrix_from_rot6d(rot6d), torch.tensor(turn, dtype=dtype))
    angle.backward()
    assert math.isclose(angle.item(), math.radians(degrees), abs_tol=2e-3 if dtype == torch.float32 else 1e-5)
    assert torch.isfinite(rot6d.grad).all()
    assert rot6d.grad.norm().item() < 2


def test_the_gradient_of_the_angle_is_that_of_finite_differences_up_to_both_ends():
    turns = [Rotation.from_rotvec([0, 0, math.radians(d)]).as_matrix() for d in (0.5, 60, 120, 179.5)]
    targets = torch.from_numpy(np.stack(turns))
    rot6d = torch.tensor([1.0, 0.1, 0, 0, 1, 0.2], dtype=torch.float64).repeat(4, 1).requires_grad_()
    assert torch.autograd.gradcheck(lambda x: geodesic_angle(matrix_from_rot6d(x), targets), (rot6d,))


def test_degenerate_six_numbers_give_finite_gradients():
    rot6d = torch.zeros(2, 6, requires_grad=True)
    with torch.no_grad():
        rot6d[1] = torch.tensor([1.0, 2, 3, 2, 4, 6])
    geodesic_angle(matrix_from_rot6d(rot6d), torch.eye(3)).sum().backward()
    assert torch.isfinite(rot6d.grad).all()


def test_turning_about_an_axis_is_what_scipy_does():
    axes = torch.from_numpy(RNG.normal(size=(10, 3)))
    axes = axes / axes.norm(dim=1, keepdim=True)
    angles = torch.linspace(-3, 3, 10, dtype=torch.float64)
    expected = Rotation.from_rotvec(axes * angles[:, None]).as_matrix()
    assert np.allclose(about_axis(axes, angles.cos(), angles.sin()), expected)


def test_the_least_turn_to_a_ray_is_the_one_about_the_axis_across_both():
    rays = RNG.normal(size=(50, 3)) * [1, 1, 0.2] + [0, 0, 1.5]
    across = np.cross([0, 0, 1], rays)
    angles = np.arctan2(np.linalg.norm(across, axis=1), rays[:, 2])
    axes = across / np.linalg.norm(across, axis=1, keepdims=True)
    expected = Rotation.from_rotvec(axes * angles[:, None]).as_matrix()
    assert np.allclose(turn_to(torch.from_numpy(rays)), expected)
    assert torch.equal(turn_to(torch.tensor([0.0, 0, 3])), torch.eye(3))
