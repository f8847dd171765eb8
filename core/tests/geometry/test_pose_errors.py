"""Pose errors against closed forms, and against the definitions written out vertex by vertex."""

from __future__ import annotations

import sys

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from anydet.errors import EvaluationError
from anydet.geometry import pose_errors
from anydet.geometry.pose_errors import (
    Shape,
    add_m,
    adds_m,
    closest_equivalents,
    discretize,
    move,
    mspd_px,
    mssd_m,
    pose,
    project,
    projection_px,
    rotation_error_deg,
    translation_error_m,
)
from anydet.types import Intrinsics, ObjectModel, SymmetryAxis

CAMERA = Intrinsics(600.0, 620.0, 320.0, 240.0)
IDENTITY = np.eye(4)[None]
seeds = st.integers(0, 2**32 - 1)
some = settings(max_examples=20, deadline=None)


def turn(axis, degrees):
    """Rodrigues' formula by the matrix exponential's series."""
    x, y, z = np.array(axis) / np.linalg.norm(axis)
    cross = np.array([[0, -z, y], [z, 0, -x], [-y, x, 0]]) * np.radians(degrees)
    term, total = np.eye(3), np.eye(3)
    for n in range(1, 60):
        term = term @ cross / n
        total = total + term
    return total


def motion(rotation, translation=(0.0, 0.0, 0.0)):
    return pose(rotation, np.array(translation, np.float64))


def random_pose(rng):
    return motion(
        turn(rng.normal(size=3), rng.uniform(0, 180)), (*rng.uniform(-0.2, 0.2, 2), rng.uniform(0.5, 2))
    )


def model(points, symmetries=(), axes=()):
    points = np.array(points, np.float64)
    diameter = max(np.linalg.norm(points - point, axis=1).max() for point in points)
    return ObjectModel(
        "thing", points, diameter, np.concatenate([IDENTITY, *(s[None] for s in symmetries)]), axes
    )


def flat_bar(rng):
    """Vertices that look the same after half a turn around z through a point beside the origin."""
    half = rng.uniform(-0.1, 0.1, (20, 3))
    flip = motion(turn((0, 0, 1), 180), (0.04, -0.02, 0.0))
    return model(np.concatenate([half, move(flip, half)]), [flip])


def bottle():
    """Vertices that look the same at 18 angles around an axis beside the origin, and upside down."""
    axis = SymmetryAxis((0.0, 0.6, 0.8), (0.01, 0.02, 0.03))
    around = discretize(model([[0, 0, 0]], (), (axis,)), step=np.pi / 18)
    upside = turn((1, 0, 0), 180)
    point = np.array(axis.point_m)
    flip = motion(upside, point - upside @ point)
    ring = np.concatenate([move(around, np.array([[0.05, 0.0, h]])).reshape(-1, 3) for h in (0.1, 0.13)])
    return model(np.concatenate([ring, move(flip, ring)]), [flip], (axis,))


@pytest.mark.parametrize("degrees", [0.0, 1e-6, 0.5, 90.0, 177.0, 179.999999, 180.0])
def test_a_known_turn_is_measured_exactly(degrees):
    rng = np.random.default_rng(1)
    true = np.stack([random_pose(rng) for _ in range(5)])
    estimated = true @ np.stack([motion(turn(rng.normal(size=3), degrees)) for _ in range(5)])
    np.testing.assert_allclose(rotation_error_deg(estimated, true), degrees, atol=1e-9)
    np.testing.assert_allclose(translation_error_m(estimated, true), 0.0, atol=1e-15)


def test_half_a_turn_of_a_symmetric_object_is_177_degrees_only_without_symmetry():
    rng = np.random.default_rng(2)
    bar, true = flat_bar(rng), random_pose(rng)[None]
    estimated = true @ bar.symmetries[1] @ motion(turn((0, 0, 1), 3.0))
    assert rotation_error_deg(estimated, true)[0] == pytest.approx(177.0)
    nearest = closest_equivalents(estimated, true, bar)
    assert rotation_error_deg(estimated, nearest)[0] == pytest.approx(3.0)
    assert translation_error_m(true @ bar.symmetries[1], true)[0] > 0.01
    assert translation_error_m(estimated, nearest)[0] == pytest.approx(0.0, abs=1e-12)


@some
@given(seeds)
def test_around_an_axis_only_the_tilt_of_the_axis_counts(seed):
    rng = np.random.default_rng(seed)
    way = rng.normal(size=3)
    x, y, z = (way / np.linalg.norm(way)).tolist()
    axis = SymmetryAxis((x, y, z), (0.1, 0.2, 0.3))
    round_thing = model(rng.normal(size=(4, 3)), (), (axis,))
    true, estimated = random_pose(rng)[None], random_pose(rng)[None]
    nearest = closest_equivalents(estimated, true, round_thing)
    ways = [poses[0, :3, :3] @ np.array(axis.direction) for poses in (estimated, true)]
    tilt = np.degrees(np.arctan2(np.linalg.norm(np.cross(*ways)), np.dot(*ways)))
    assert rotation_error_deg(estimated, nearest)[0] == pytest.approx(tilt, abs=1e-6)
    spots = [poses[0, :3, :3] @ np.array(axis.point_m) + poses[0, :3, 3] for poses in (nearest, true)]
    np.testing.assert_allclose(*spots, atol=1e-12)  # a point of the axis stays where it is
    tried = discretize(round_thing, step=0.002)
    best = rotation_error_deg(np.broadcast_to(estimated, tried.shape), true @ tried).min()
    assert rotation_error_deg(estimated, nearest)[0] <= best + 1e-9
    assert best - rotation_error_deg(estimated, nearest)[0] < 0.2


@some
@given(seeds)
def test_any_equivalent_pose_has_no_error(seed):
    rng = np.random.default_rng(seed)
    for thing in (flat_bar(rng), bottle()):
        shape, true = Shape.of(thing), random_pose(rng)
        motion = shape.motions[rng.integers(len(shape.motions))]
        estimated = true @ motion
        nearest = closest_equivalents(estimated[None], true[None], thing)
        assert rotation_error_deg(estimated[None], nearest)[0] < 1e-5
        assert translation_error_m(estimated[None], nearest)[0] < 1e-8
        assert mssd_m(estimated, true, shape) < 1e-9
        assert mspd_px(estimated, true, shape, CAMERA) < 1e-6


@pytest.mark.slow
@some
@given(seeds)
def test_surface_distances_are_their_definitions_written_out(seed):
    rng = np.random.default_rng(seed)
    thing = flat_bar(rng) if seed % 2 else bottle()
    true = random_pose(rng)
    estimated = true @ motion(turn(rng.normal(size=3), rng.uniform(0, 40)), rng.normal(size=3) * 0.02)
    shape = Shape.of(thing)

    def spots(where):
        return np.einsum("ij,pj->pi", where[:3, :3], thing.points_m) + where[:3, 3]

    def pixels(where):
        x, y, z = spots(where).T
        return np.stack([600 * x / z + 320, 620 * y / z + 240], axis=1)

    apart = np.linalg.norm(spots(estimated) - spots(true), axis=1)
    assert add_m(estimated, true, shape) == pytest.approx(np.mean(apart))
    nearest = [np.linalg.norm(spots(estimated) - spot, axis=1).min() for spot in spots(true)]
    assert adds_m(estimated, true, shape) == pytest.approx(np.mean(nearest))
    assert adds_m(estimated, true, shape) <= add_m(estimated, true, shape) + 1e-12
    mssd = [np.linalg.norm(spots(estimated) - spots(true @ s), axis=1).max() for s in shape.motions]
    assert mssd_m(estimated, true, shape) == pytest.approx(min(mssd))
    mspd = [np.linalg.norm(pixels(estimated) - pixels(true @ s), axis=1).max() for s in shape.motions]
    assert mspd_px(estimated, true, shape, CAMERA) == pytest.approx(min(mspd))
    seen = np.linalg.norm(pixels(estimated) - pixels(true), axis=1)
    assert projection_px(estimated, true, shape, CAMERA) == pytest.approx(seen.mean())


def test_a_shift_moves_every_vertex_as_far():
    corner = model([[0, 0, 0], [0.1, 0, 0], [0, 0.2, 0], [0, 0, 0.3]])
    true = motion(np.eye(3), (0, 0, 1))
    moved = motion(np.eye(3), (0.03, 0.04, 1))
    shape = Shape.of(corner)
    assert add_m(moved, true, shape) == pytest.approx(0.05)
    assert mssd_m(moved, true, shape) == pytest.approx(0.05)
    assert adds_m(moved, true, shape) == pytest.approx(0.05)
    assert mspd_px(motion(np.eye(3), (0.05, 0, 1)), true, shape, CAMERA) == pytest.approx(30.0)


def test_an_axis_is_cut_into_as_many_turns_as_bop_cuts_it():
    motions = discretize(bottle())
    assert len(motions) == 2 * 315  # ceil(pi / 0.01) turns, each after either of two symmetries
    np.testing.assert_allclose(
        motions[:, :3, :3] @ motions[:, :3, :3].transpose(0, 2, 1),
        np.tile(np.eye(3), (630, 1, 1)),
        atol=1e-12,
    )
    np.testing.assert_allclose(motions[0], np.eye(4), atol=1e-15)
    assert rotation_error_deg(motions[1:2], motions[:1])[0] == pytest.approx(360 / 315)


def test_what_is_at_depth_0_is_infinitely_far_in_the_image():
    corner = Shape.of(model([[0, 0, 0], [0.1, 0, 0]]))
    assert mspd_px(motion(np.eye(3)), motion(np.eye(3), (0, 0, 1)), corner, CAMERA) == np.inf
    assert not np.isfinite(project(np.zeros((1, 3)), CAMERA)).any()


def test_a_tree_and_a_plain_search_find_the_same(monkeypatch):
    pytest.importorskip("scipy")
    rng = np.random.default_rng(3)
    cloud, queries = model(rng.normal(size=(300, 3))), rng.normal(size=(700, 3))
    by_tree = Shape.of(cloud).nearest(queries)
    monkeypatch.setitem(sys.modules, "scipy.spatial", None)
    np.testing.assert_allclose(Shape.of(cloud).nearest(queries), by_tree, rtol=1e-12)


def test_without_scipy_a_large_model_says_what_to_install(monkeypatch):
    monkeypatch.setattr(pose_errors, "_FEW_POINTS", 3)
    monkeypatch.setitem(sys.modules, "scipy.spatial", None)
    with pytest.raises(EvaluationError, match=r"'thing' has vertices at 4 places.*needs scipy") as caught:
        Shape.of(model(np.eye(4)[:, :3]))
    assert "anydet[pose]" in caught.value.fix


def test_vertices_at_one_place_all_count():
    true, turned = motion(np.eye(3), (0, 0, 1)), motion(turn((0, 0, 1), 90), (0, 0, 1))
    thrice = Shape.of(model([[0, 0, 0], [0.1, 0, 0], [0.1, 0, 0], [0.1, 0, 0]]))
    assert len(thrice.points_m) == 2
    assert add_m(turned, true, thrice) == pytest.approx(3 * 0.1 * np.sqrt(2) / 4)
    assert adds_m(turned, true, thrice) == pytest.approx(3 * 0.1 / 4)
    assert projection_px(motion(np.eye(3), (0, 0, 0.5)), true, thrice, CAMERA) == pytest.approx(3 * 60 / 4)
