"""Sidecars that are written are read back, poses that nobody knows too."""

from __future__ import annotations

import json

import numpy as np
import pytest

from anydet.data.dataset.columns import boxes_only
from anydet.data.record.pixels import ImageArray
from anydet.data.record.record import Record
from anydet.data.yolo.sidecar import load_sidecar
from anydet.geometry.rotations import random_rotation
from anydet.types import Intrinsics, Labels, Poses
from anydet_bop.posed_yolo import sidecar


def record(rotations, translations, crowds=None, **more):
    count = len(rotations)
    boxes = boxes_only(np.zeros(count, np.int64), np.ones((count, 4)))
    labels = Labels(
        boxes.class_ids,
        boxes.boxes_xywh_px,
        boxes.areas,
        np.zeros(count, np.bool_) if crowds is None else np.array(crowds),
        poses=Poses(rotations=rotations, translations_m=translations),
    )
    return Record("a.png", ImageArray(np.zeros((6, 9, 3), np.uint8)), labels=labels, **more)


def read_back(one, tmp_path, objects):
    path = tmp_path / "a.json"
    path.write_text(json.dumps(sidecar(one)))
    return load_sidecar(path, root=tmp_path, objects=objects)


def poses(count):
    rng = np.random.default_rng(count)
    rotations = np.array([random_rotation(rng) for _ in range(count)]).reshape(-1, 3, 3)
    return rotations, rng.normal(size=(count, 3))


@pytest.mark.parametrize("count", [1, 2, 3])
def test_any_number_of_poses_comes_back(count, tmp_path):
    rotations, translations = poses(count)
    camera = Intrinsics(11.0, 12.0, 4.0, 3.0)
    found = read_back(record(rotations, translations, camera=camera, extra={"night": True}), tmp_path, count)
    assert np.allclose(found.poses.rotations, rotations)
    assert np.allclose(found.poses.translations_m, translations)
    assert found.camera == camera
    assert found.stated_wh == (9, 6)
    assert found.extra == {"night": True}


def test_poses_that_are_not_known_stay_so_and_crowds_have_none(tmp_path):
    rotations, translations = poses(3)
    rotations[0], translations[1] = np.nan, np.nan
    found = read_back(record(rotations, translations, crowds=[False, False, True]), tmp_path, 2)
    assert np.isnan(found.poses.rotations[0]).all()
    assert np.allclose(found.poses.rotations[1], rotations[1])
    assert np.allclose(found.poses.translations_m[0], translations[0])
    assert np.isnan(found.poses.translations_m[1]).all()


def test_an_image_without_objects_or_camera_has_its_size_alone(tmp_path):
    assert sidecar(record(*poses(0))) == {"image_hw": [6, 9]}
    assert read_back(record(*poses(0)), tmp_path, 0).poses is None
