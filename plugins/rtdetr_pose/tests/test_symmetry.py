from __future__ import annotations

import numpy as np
import pytest

torch = pytest.importorskip("torch")

from scipy.spatial.transform import Rotation

from anydet.geometry.pose_errors import discretize
from anydet.types import ObjectModel, SymmetryAxis
from anydet_rtdetr_pose.rotation import geodesic_angle
from anydet_rtdetr_pose.symmetry import Symmetries

POINTS = np.random.default_rng(1).normal(size=(30, 3))


def flip(axis: str) -> np.ndarray:
    motion = np.eye(4)
    motion[:3, :3] = Rotation.from_euler(axis, 180, degrees=True).as_matrix()
    return motion


def model(symmetries=(), axes=()) -> ObjectModel:
    return ObjectModel("thing", POINTS, 1.0, np.stack([np.eye(4), *symmetries]), tuple(axes))


Z_AXIS = SymmetryAxis((0.0, 0.0, 1.0), (0.02, -0.01, 0.0))
OBJECTS = {
    1: model([flip("z")]),
    2: model(axes=[Z_AXIS]),
    3: model([flip("x")], [Z_AXIS]),
    4: model(axes=[Z_AXIS, SymmetryAxis((1.0, 0.0, 0.0), (0.0, 0.0, 0.0))]),
}
TABLE = Symmetries(OBJECTS, 5)


def poses(count: int, seed: int) -> tuple[torch.Tensor, torch.Tensor]:
    rotations = torch.from_numpy(Rotation.random(count, random_state=seed).as_matrix())
    return rotations, torch.from_numpy(np.random.default_rng(seed).normal(size=(count, 3)))


@pytest.mark.parametrize("class_id", [0, 1, 2, 3])
def test_the_nearest_pose_is_as_near_as_the_best_of_very_many_equivalent_ones(class_id):
    predicted, _ = poses(20, 0)
    rotations, translations = poses(20, 1)
    ids = torch.full((20,), class_id)
    found, _ = TABLE.nearest(predicted, rotations, translations, ids)
    thing = OBJECTS.get(class_id, model())
    turns = torch.from_numpy(discretize(thing)[:, :3, :3])
    every = geodesic_angle(predicted[:, None], rotations[:, None] @ turns).amin(dim=1)
    nearest = geodesic_angle(predicted, found)
    assert (nearest <= every + 1e-9).all()
    assert torch.allclose(nearest, every, atol=0.02)


@pytest.mark.parametrize("class_id", [1, 2, 3])
def test_an_equivalent_pose_puts_symmetric_points_where_they_were(class_id):
    """Points of the axis and of the orbit of a point stay in the orbit."""
    predicted, _ = poses(6, 2)
    rotations, translations = poses(6, 3)
    found, moved = TABLE.nearest(predicted, rotations, translations, torch.full((6,), class_id))
    point = torch.tensor(Z_AXIS.point_m if class_id == 2 else (0.0, 0.0, 0.0), dtype=torch.float64)
    if class_id != 3:  # the flip about x moves points of the z axis along it
        assert torch.allclose(found @ point + moved, rotations @ point + translations, atol=1e-6)
    relative = rotations.transpose(1, 2) @ found
    assert torch.allclose(relative[:, 2, 2].abs(), torch.ones(6, dtype=torch.float64), atol=1e-6)


def test_an_asymmetric_object_keeps_its_pose():
    rotations, translations = poses(5, 4)
    found, moved = TABLE.nearest(poses(5, 5)[0], rotations, translations, torch.zeros(5, dtype=torch.int64))
    assert torch.equal(found, rotations)
    assert torch.equal(moved, translations)


def test_an_object_with_two_axes_looks_the_same_in_every_rotation():
    predicted, (rotations, translations) = poses(5, 6)[0], poses(5, 7)
    found, _ = TABLE.nearest(predicted, rotations, translations, torch.full((5,), 4))
    assert torch.equal(found, predicted)


def test_cosines_of_pairs_are_those_of_the_nearest_pose():
    predicted, (rotations, translations) = poses(4, 8)[0], poses(5, 9)
    ids = torch.arange(5)
    cosines = TABLE.cosine(predicted[:, None], rotations, ids.expand(4, 5))
    for query in range(4):
        found, _ = TABLE.nearest(predicted[query].expand(5, 3, 3), rotations, translations, ids)
        angle = geodesic_angle(predicted[query], found)
        assert torch.allclose(cosines[query].acos(), angle, atol=1e-4)
