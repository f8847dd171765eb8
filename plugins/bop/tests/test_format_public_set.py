"""A public set in BOP's layout: read with its models, and what ``anydet eval`` measures on its poses."""

from __future__ import annotations

import json
import shutil
from dataclasses import replace

import numpy as np
import pytest
from PIL import Image

from anydet import open_dataset
from anydet.evaluation.pose import pose_evaluator
from anydet.geometry.pose_errors import Shape, pose
from anydet.types import DetectionColumns, Poses


@pytest.fixture(scope="module")
def folder(shared_data):
    return shared_data / "pose6d"


@pytest.fixture(scope="module")
def stated(folder):
    """``scene_gt.json``."""
    return json.loads((folder / "scene_gt.json").read_text())


@pytest.fixture(scope="module")
def dataset(folder, stated, tmp_path_factory):
    """The set with a camera for each image, and images of its size."""
    root = tmp_path_factory.mktemp("public")
    scene = root / "test" / "000000"
    (scene / "rgb").mkdir(parents=True)
    shutil.copytree(folder / "models", root / "models")
    (scene / "scene_gt.json").write_text(json.dumps(stated))
    matrix = [608.268, 0, 310.899, 0, 608.179, 238.641, 0, 0, 1]
    (scene / "scene_camera.json").write_text(json.dumps({key: {"cam_K": matrix} for key in stated}))
    for key in stated:
        Image.new("L", (640, 480)).save(scene / "rgb" / f"{int(key):06d}.png")
    return open_dataset(root)


@pytest.fixture(scope="module")
def truth(dataset):
    return dataset.ground_truth()


@pytest.fixture(scope="module")
def true(truth):
    """(N, 4, 4) true poses."""
    poses = truth.labels.poses
    return np.array([pose(r, t) for r, t in zip(poses.rotations, poses.translations_m, strict=True)])


def measured(truth, estimated):
    """Numbers of poses that are found in the boxes of the true ones."""
    labels = truth.labels
    found = DetectionColumns(
        truth.images,
        truth.sizes_wh,
        truth.image_index,
        labels.class_ids,
        labels.boxes_xywh_px,
        np.ones(len(labels)),
        labels.areas,
        poses=Poses(rotations=estimated[:, :3, :3], translations_m=estimated[:, :3, 3]),
    )
    evaluator = pose_evaluator(truth)
    evaluator.add(found, truth)
    return evaluator.result().metrics


def test_it_is_read_with_its_models_and_boxes_are_where_it_states(dataset, stated):
    assert [len(record.labels) for record in dataset] == [len(stated[key]) for key in sorted(stated, key=int)]
    for record, key in zip(dataset, sorted(stated, key=int), strict=True):
        theirs = np.array([one["obj_bb"] for one in stated[key]])
        ours = record.labels.boxes_xywh_px
        assert np.abs(theirs[:, :2] + theirs[:, 2:] / 2 - ours[:, :2] - ours[:, 2:] / 2).max() < 20
    assert sum(model.symmetric for model in dataset.ground_truth().objects.values()) >= 3


def test_a_public_set_shows_177_degrees_on_its_symmetric_object_unless_symmetry_counts(truth, true):
    wrench = truth.classes.source_ids.index(1)  # put where the set has its 41 poses
    ids = np.full(len(true), wrench)
    half_turn = truth.objects[wrench].symmetries[1]
    tilt = pose(_turn(half_turn, 3.0), np.zeros(3))
    aware = measured(replace(truth, labels=replace(truth.labels, class_ids=ids)), true @ half_turn @ tilt)
    assert aware["rotation_without_symmetry_deg_mean"] == pytest.approx(177.0, abs=1e-3)
    assert aware["rotation_deg_mean"] == pytest.approx(3.0, abs=1e-3)
    assert aware["5deg_5cm"] == 1.0


def _turn(symmetry, degrees):
    """A turn back around the axis of a half turn."""
    values, vectors = np.linalg.eigh((symmetry[:3, :3] + symmetry[:3, :3].T) / 2)
    x, y, z = vectors[:, np.argmax(values)]
    cross = np.array([[0, -z, y], [z, 0, -x], [-y, x, 0]])
    angle = np.radians(degrees)
    return np.eye(3) + np.sin(angle) * cross + (1 - np.cos(angle)) * cross @ cross


def test_all_poses_of_a_public_set_have_the_numbers_of_a_known_shift(truth, true):
    ids, models = truth.labels.class_ids.tolist(), truth.objects
    moved = np.array(true)
    moved[:, 2, 3] += 0.004
    metrics = measured(truth, moved)
    assert len(true) == 41
    assert metrics["match_rate"] == 1.0
    assert metrics["rotation_deg_mean"] == pytest.approx(0.0, abs=1e-4)
    assert metrics["depth_m_mean"] == pytest.approx(0.004)
    diameters = np.array([models[i].diameter_m for i in ids])
    assert metrics["ADD_0.1d"] == pytest.approx(np.mean(diameters > 0.04))
    assert metrics["ADD_AUC"] == pytest.approx(0.96, abs=1e-6)
    below = [np.mean(t * diameters > 0.004) for t in np.arange(0.05, 0.51, 0.05)]
    assert metrics["AR_MSSD"] == pytest.approx(np.mean(below), abs=0.01)


def test_any_symmetric_pose_of_a_public_set_is_a_perfect_one(truth, true):
    ids, models = truth.labels.class_ids.tolist(), truth.objects
    rng = np.random.default_rng(0)
    motions = {i: Shape.of(model).motions for i, model in models.items()}
    turned = np.array(
        [one @ motions[i][rng.integers(len(motions[i]))] for one, i in zip(true, ids, strict=True)]
    )
    metrics = measured(truth, turned)
    for name in ("5deg_5cm", "AR_MSSD", "AR_MSPD", "projection_5px"):
        assert metrics[name] == 1.0, name
    assert metrics["rotation_deg_mean"] < 1e-4
    assert metrics["rotation_without_symmetry_deg_mean"] > 30
