"""Textures are as symmetric as their solids, and as different as they can be where these are not."""

from __future__ import annotations

import numpy as np
import pytest

from anydet.data.rendering.solidtexture import SolidTexture

TURNS = np.array([np.diag(signs) for signs in ((1, 1, 1), (1, -1, -1), (-1, 1, -1), (-1, -1, 1))], float)
POINTS = np.random.default_rng(0).normal(size=(200, 3)) * 0.05
NORMALS = POINTS[::-1] / np.linalg.norm(POINTS[::-1], axis=1, keepdims=True)


def texture(**symmetry):
    return SolidTexture.random(np.random.default_rng(1), (120.0, 130.0, 140.0), **symmetry)


@pytest.mark.parametrize("turn", TURNS[1:])
def test_a_discrete_symmetry_changes_no_colour(turn):
    painted = texture(turns=TURNS)
    assert np.allclose(painted.colours(POINTS @ turn.T, NORMALS @ turn.T), painted.colours(POINTS, NORMALS))
    free = texture()
    assert np.abs(free.colours(POINTS @ turn.T, NORMALS @ turn.T) - free.colours(POINTS, NORMALS)).mean() > 20


@pytest.mark.parametrize("angle", [0.1, 1.0, 2.5])
def test_a_round_solid_looks_the_same_at_every_angle(angle):
    c, s = np.cos(angle), np.sin(angle)
    turn = np.array([[c, -s, 0], [s, c, 0], [0, 0, 1]])
    painted = texture(is_round=True)
    assert np.allclose(painted.colours(POINTS @ turn.T, NORMALS @ turn.T), painted.colours(POINTS, NORMALS))


def test_without_waves_the_colour_depends_on_the_normal_alone():
    plain = texture(waves=0)
    assert np.allclose(plain.colours(POINTS, NORMALS), plain.colours(POINTS * 2, NORMALS))


def test_colours_can_be_told_apart_and_stay_in_range():
    colours = texture().colours(POINTS, NORMALS)
    assert colours.min() >= 10
    assert colours.max() <= 245
    assert colours.std(axis=0).min() > 20
