"""Textures are as symmetric as their solids, and as different as they can be where these are not."""

from __future__ import annotations

import numpy as np
import pytest

from anydet_bop.rendering.solid_texture import SolidTexture

TURNS = np.array([np.diag(signs) for signs in ((1, 1, 1), (1, -1, -1), (-1, 1, -1), (-1, -1, 1))], float)
POINTS = np.random.default_rng(0).normal(size=(200, 3)) * 0.05
NORMALS = POINTS[::-1] / np.linalg.norm(POINTS[::-1], axis=1, keepdims=True)


def texture(**symmetry):
    return SolidTexture.random(np.random.default_rng(1), (120.0, 130.0, 140.0), **symmetry)


@pytest.mark.parametrize("turn", TURNS[1:])
def test_a_discrete_symmetry_changes_no_color(turn):
    painted = texture(turns=TURNS)
    assert np.allclose(painted.colors(POINTS @ turn.T, NORMALS @ turn.T), painted.colors(POINTS, NORMALS))
    free = texture()
    assert np.abs(free.colors(POINTS @ turn.T, NORMALS @ turn.T) - free.colors(POINTS, NORMALS)).mean() > 20


@pytest.mark.parametrize("angle", [0.1, 1.0, 2.5])
def test_a_round_solid_looks_the_same_at_every_angle(angle):
    c, s = np.cos(angle), np.sin(angle)
    turn = np.array([[c, -s, 0], [s, c, 0], [0, 0, 1]])
    painted = texture(is_round=True)
    assert np.allclose(painted.colors(POINTS @ turn.T, NORMALS @ turn.T), painted.colors(POINTS, NORMALS))


def test_without_waves_the_color_depends_on_the_normal_alone():
    plain = texture(waves=0)
    assert np.allclose(plain.colors(POINTS, NORMALS), plain.colors(POINTS * 2, NORMALS))


def test_colors_are_distinct_and_stay_in_range():
    colors = texture().colors(POINTS, NORMALS)
    assert colors.min() >= 10
    assert colors.max() <= 245
    assert colors.std(axis=0).min() > 20
