"""Labels follow the pixels: poses of a turned camera project to where the homography puts their points."""

import numpy as np
import pytest

from anydet.geometry.pose_errors import project
from anydet.geometry.rotations import random_rotation, turn_by
from anydet.scenarios.warp import Warp
from anydet.types import Intrinsics, Labels, Poses

CAMERA = Intrinsics(600.0, 580.0, 310.0, 250.0)
SIZE = (640, 480)
WARPS = {
    "rotation": lambda: Warp.turned(turn_by(np.array([0.0, 0.0, 0.3])), CAMERA, SIZE),
    "jitter": lambda: Warp.turned(turn_by(np.array([0.02, -0.03, 0.01])), CAMERA, SIZE),
    "zoom": lambda: Warp.zoomed(0.5, CAMERA, SIZE),
}


def posed():
    rng = np.random.default_rng(0)
    rotations = np.stack([random_rotation(rng) for _ in range(4)])
    translations = np.concatenate([rng.uniform(-0.2, 0.2, (4, 2)), rng.uniform(1, 2, (4, 1))], axis=1)
    centers = project(translations, CAMERA)
    boxes = np.concatenate([centers - 30, np.full((4, 2), 60.0)], axis=1)
    poses = Poses(rotations=rotations, translations_m=translations, log_z=np.log(translations[:, 2]))
    return Labels(np.zeros(4, np.int64), boxes, np.full(4, 3600.0), np.zeros(4, np.bool_), poses=poses)


@pytest.mark.parametrize("name", WARPS)
def test_poses_project_to_where_the_image_shows_them(name):
    warp, labels = WARPS[name](), posed()
    moved = warp.labels(labels, 0.0)
    points = np.random.default_rng(1).uniform(-0.05, 0.05, (8, 3))
    before = points @ labels.poses.rotations.transpose(0, 2, 1) + labels.poses.translations_m[:, None]
    after = points @ moved.poses.rotations.transpose(0, 2, 1) + moved.poses.translations_m[:, None]
    np.testing.assert_allclose(project(after, warp.camera), warp.points(project(before, CAMERA)), atol=1e-9)


@pytest.mark.parametrize(
    "there_and_back",
    [
        [Warp.turned(turn_by(np.array([0.0, 0.0, sign * 0.2])), CAMERA, SIZE) for sign in (1, -1)],
        [Warp.zoomed(0.5, CAMERA, SIZE), Warp.zoomed(2.0, Warp.zoomed(0.5, CAMERA, SIZE).camera, SIZE)],
    ],
    ids=["rotation", "zoom"],
)
def test_there_and_back_is_where_it_was(there_and_back):
    labels = posed()
    poses = there_and_back[0].poses(labels.poses, *[np.zeros((4, 4))] * 2)
    back = there_and_back[1].poses(poses, *[np.zeros((4, 4))] * 2)
    np.testing.assert_allclose(back.rotations, labels.poses.rotations, atol=1e-12)
    np.testing.assert_allclose(back.translations_m, labels.poses.translations_m, atol=1e-12)
    xy = np.array([[10.0, 20.0], [600.0, 400.0]])
    np.testing.assert_allclose(there_and_back[1].points(there_and_back[0].points(xy)), xy, atol=1e-9)


def test_a_turn_of_nothing_changes_no_pixel():
    image = np.random.default_rng(2).integers(0, 256, (48, 64, 3)).astype(np.uint8)
    assert (Warp.turned(np.eye(3), None, (64, 48)).image(image) == image).all()
