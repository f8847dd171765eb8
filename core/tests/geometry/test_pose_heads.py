"""Heads made of known poses give those poses back; a rotation that no ray turns is the head's own."""

from __future__ import annotations

import numpy as np
import pytest

from anydet.geometry.boxes import xyxy_to_cxcywh_norm
from anydet.geometry.placement import Placement
from anydet.geometry.pose_heads import PoseHeads, nominal_camera
from anydet.geometry.rotations import matrix_to_rot6d, random_rotation, turn_to
from anydet.types import Intrinsics

PLACEMENT = Placement((200, 100), (100, 50), (10, 15), (128, 80))
CAMERA = Intrinsics(260.0, 240.0, 95.0, 52.0)
COUNT = 6


@pytest.fixture
def scene():
    rng = np.random.default_rng(0)
    translations = np.stack(
        [rng.uniform(-0.3, 0.3, COUNT), rng.uniform(-0.1, 0.1, COUNT), np.full(COUNT, 1.0)]
    )
    translations = translations.T * rng.uniform(0.5, 4, (COUNT, 1))
    rotations = np.stack([random_rotation(rng) for _ in range(COUNT)])
    return translations, rotations, rng


def projected(translations, camera):
    xy = translations[:, :2] / translations[:, 2:]
    return xy * [camera.fx, camera.fy] + [camera.cx, camera.cy]


def heads_of(translations, rotations, boxes, camera_in_input, **more):
    """What perfect heads would say."""
    normalized = xyxy_to_cxcywh_norm(PLACEMENT.to_input(boxes), PLACEMENT.input_wh)
    centers = projected(translations, camera_in_input) / PLACEMENT.input_wh
    rays = np.concatenate([projected(translations, Intrinsics(1, 1, 0, 0)), np.ones((COUNT, 1))], axis=1)
    seen = turn_to(rays).transpose(0, 2, 1) @ rotations
    focal = np.sqrt(camera_in_input.fx * camera_in_input.fy)
    return PoseHeads(
        np.log(translations[:, 2]) - np.log(focal / 128),
        matrix_to_rot6d(seen),
        (centers - normalized[:, :2]) / normalized[:, 2:],
        **more,
    )


def boxes_around(translations, rng):
    centers = projected(translations, CAMERA)
    near, far = rng.uniform(2, 9, (2, COUNT, 2))
    return np.concatenate([centers - near, centers + far], axis=1)


def test_perfect_heads_give_the_poses_back(scene):
    translations, rotations, rng = scene
    boxes = boxes_around(translations, rng)
    heads = heads_of(translations, rotations, boxes, PLACEMENT.camera_to_input(CAMERA))
    poses, camera = heads.poses(PLACEMENT.to_input(boxes), PLACEMENT, CAMERA)
    assert camera == CAMERA
    np.testing.assert_allclose(poses.translations_m, translations, atol=1e-9)
    np.testing.assert_allclose(poses.rotations, rotations, atol=1e-9)
    np.testing.assert_allclose(poses.log_z, np.log(translations[:, 2]), atol=1e-12)
    assert poses.k_delta is None


def test_a_predicted_camera_gives_the_poses_back_too(scene):
    translations, rotations, rng = scene
    boxes, seen, nominal = (
        boxes_around(translations, rng),
        PLACEMENT.camera_to_input(CAMERA),
        nominal_camera((128, 80)),
    )
    delta = [seen.fx / 128 - 1, seen.fy / 128 - 1, (seen.cx - nominal.cx) / 128, (seen.cy - nominal.cy) / 80]
    heads = heads_of(translations, rotations, boxes, seen, camera_delta=np.array(delta))
    poses, camera = heads.poses(PLACEMENT.to_input(boxes), PLACEMENT, None)
    assert camera == PLACEMENT.camera_to_image(nominal)
    np.testing.assert_allclose(poses.translations_m, translations, atol=1e-9)
    np.testing.assert_allclose(poses.rotations, rotations, atol=1e-9)


def test_without_any_camera_there_are_rotations_and_no_translations(scene):
    translations, rotations, rng = scene
    boxes = boxes_around(translations, rng)
    heads = heads_of(translations, rotations, boxes, nominal_camera((128, 80)))
    poses, camera = heads.poses(PLACEMENT.to_input(boxes), PLACEMENT, None)
    assert camera is None
    assert poses.translations_m is None
    np.testing.assert_allclose(poses.log_z, np.log(translations[:, 2]), atol=1e-12)


def test_the_optical_axis_turns_nothing():
    np.testing.assert_array_equal(turn_to(np.array([[0.0, 0.0, 2.0]])), [np.eye(3)])
    rays = np.random.default_rng(1).normal(size=(50, 3))
    rays[:, 2] = np.abs(rays[:, 2]) + 0.1
    rays /= np.linalg.norm(rays, axis=1, keepdims=True)
    turned = turn_to(rays)
    np.testing.assert_allclose(turned @ turned.transpose(0, 2, 1), np.tile(np.eye(3), (50, 1, 1)), atol=1e-12)
    np.testing.assert_allclose(
        turned[:, :, 2] * np.linalg.norm(rays, axis=1, keepdims=True), rays, atol=1e-12
    )
