"""Solids are closed, look outwards, and have the requested size."""

from __future__ import annotations

from collections import Counter

import numpy as np
import pytest

from anydet_bop.rendering.mesh import box, join, lathe

SOLIDS = {
    "box": box((-1, -2, -3), (2, 3, 5)),
    "can": lathe([(0, -1), (2, -1), (2, 3), (0, 3)]),
    "cone": lathe([(0, 0), (1, 0), (0, 2)]),
    "two": join([box((0, 0, 0), (1, 1, 1)), box((2, 2, 2), (3, 3, 4))]),
}
VOLUMES = {
    "box": 3 * 5 * 8,
    "can": 0.5 * 48 * np.sin(2 * np.pi / 48) * 4 * 4,
    "cone": 0.5 * 48 * np.sin(2 * np.pi / 48) * 2 / 3,
    "two": 3,
}
every = pytest.mark.parametrize("name", SOLIDS)


@every
@pytest.mark.parametrize("times", [0, 1])
def test_each_edge_belongs_to_two_triangles_that_run_along_it_in_opposite_ways(name, times):
    faces = SOLIDS[name].refined(times).faces
    edges = Counter((a, b) for face in faces.tolist() for a, b in zip(face, face[1:] + face[:1], strict=True))
    assert set(edges.values()) == {1}
    assert all((b, a) in edges for a, b in edges)


@every
@pytest.mark.parametrize("times", [0, 2])
def test_the_volume_within_is_that_of_the_solid(name, times):
    """By the divergence theorem; negative where triangles look inwards."""
    mesh = SOLIDS[name].refined(times)
    assert np.linalg.det(mesh.points_m[mesh.faces]).sum() / 6 == pytest.approx(VOLUMES[name])


@every
def test_normals_are_of_unit_length_and_look_the_way_of_their_triangle(name):
    mesh = SOLIDS[name].refined()
    a, b, c = mesh.points_m[mesh.faces].transpose(1, 0, 2)
    flat = np.cross(b - a, c - a)
    flat /= np.linalg.norm(flat, axis=1, keepdims=True)
    assert np.allclose(np.linalg.norm(mesh.normals, axis=2), 1)
    assert (np.einsum("fi,fci->fc", flat, mesh.normals) > 0.99).all()


@every
def test_refining_adds_points_on_the_surface_and_keeps_the_diameter(name):
    mesh = SOLIDS[name]
    fine = mesh.refined(2)
    assert len(fine.faces) == 16 * len(mesh.faces)
    assert fine.diameter_m == pytest.approx(mesh.diameter_m)
    assert {tuple(p) for p in mesh.points_m.round(6) + 0.0} <= {
        tuple(p) for p in fine.points_m.round(6) + 0.0
    }


def test_diameters_are_the_largest_distance():
    assert SOLIDS["box"].diameter_m == pytest.approx(np.sqrt(9 + 25 + 64))
    assert SOLIDS["can"].diameter_m == pytest.approx(np.hypot(4, 4))
