from __future__ import annotations

import json
import re

import numpy as np
import pytest

from anydet.data.opening import open_dataset
from anydet.data.yolo.sidecar import Sidecar, load_sidecar
from anydet.errors import DatasetError
from anydet.types import Intrinsics

TURN = [[0.0, -1.0, 0.0], [1.0, 0.0, 0.0], [0.0, 0.0, 1.0]]
EYE = [[1, 0, 0], [0, 1, 0], [0, 0, 1]]
POSE = [[0, -1, 0, 0.1], [1, 0, 0, 0.2], [0, 0, 1, 1.5], [0, 0, 0, 1]]
CAMERA = Intrinsics(600, 610, 320, 240)
K = [[600, 0, 320], [0, 610, 240], [0, 0, 1]]


@pytest.fixture
def load(tmp_path, put):
    def load(content, objects=1):
        return load_sidecar(put("labels/val/a.json", content), root=tmp_path, objects=objects)

    return load


def test_without_a_file_there_is_nothing(tmp_path):
    empty = load_sidecar(tmp_path / "a.json", root=tmp_path, objects=2)
    assert (empty.camera, empty.poses, empty.stated_wh, empty.extra) == (None, None, None, {})
    assert isinstance(empty, Sidecar)


@pytest.mark.parametrize(
    "content",
    [
        {"pose": POSE},
        {"pose": [POSE]},
        {"pose": {"R": TURN, "t": [0.1, 0.2, 1.5]}},
        {"pose": [{"R": TURN, "t": [0.1, 0.2, 1.5]}]},
        {"R_gt": TURN, "t_gt": [0.1, 0.2, 1.5]},
        {"R_gt": [TURN], "t_gt": [[0.1, 0.2, 1.5]]},
        {"pose": {"R": EYE, "t": [9, 9, 9]}, "R_gt": TURN, "t_gt": [0.1, 0.2, 1.5]},
    ],
)
def test_a_pose_in_any_form_is_rotation_and_translation(load, content):
    poses = load(content).poses
    assert poses.rotations.tolist() == [TURN]
    assert poses.translations_m.tolist() == [[0.1, 0.2, 1.5]]


def test_poses_of_several_objects_may_have_gaps(load):
    poses = load({"pose": [None, POSE, {"t": [1, 2, 3]}]}, objects=3).poses
    assert np.isnan(poses.rotations[[0, 2]]).all()
    assert poses.rotations[1].tolist() == TURN
    assert np.isnan(poses.translations_m[0]).all()
    assert poses.translations_m[1:].tolist() == [[0.1, 0.2, 1.5], [1, 2, 3]]


def test_what_no_object_has_is_no_column(load):
    assert load({"t_gt": [0, 0, 1]}).poses.rotations is None
    assert load({"R_gt": TURN}).poses.translations_m is None
    assert load({"pose": [None, None]}, objects=2).poses is None


@pytest.mark.parametrize(
    "content",
    [
        {"intrinsics": {"fx": 600, "fy": 610, "cx": 320, "cy": 240}},
        {"intrinsics": [600, 610, 320, 240]},
        {"intrinsics": K},
        {"K_gt": K},
        {"K_gt": K, "intrinsics": [1, 1, 0, 0]},
    ],
)
def test_a_camera_in_any_form(load, content):
    assert load(content).camera == CAMERA


def test_side_files_are_beside_the_sidecar_or_below_the_root(load, put, tmp_path):
    beside, below = put("labels/val/m.png"), put("depth/d.npy")
    sidecar = load({"mask_path": "m.png", "depth_path": "depth/d.npy", "cad_points": "cad/x.ply"})
    assert sidecar.mask_path == beside.resolve()
    assert sidecar.depth_path == below.resolve()
    assert sidecar.cad_points_path == (tmp_path / "cad/x.ply").resolve()
    assert sidecar.extra == {}


def test_side_files_of_a_relative_data_set_are_found(paint, put, tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path.parent)
    paint("images/val/a.png")
    put("labels/val/a.json", json.dumps({"mask_path": "masks/a.png"}))
    beside = paint("masks/a.png")
    (record,) = open_dataset(tmp_path.name)
    assert record.class_mask.path == beside.resolve()


def test_inline_points_and_unknown_keys_are_kept(load):
    sidecar = load({"cad_points": [[0, 0, 1], [1, 2, 3.5]], "scene": {"id": 4}, "image_hw": [20, 40]})
    assert sidecar.extra == {"cad_points": [[0, 0, 1], [1, 2, 3.5]], "scene": {"id": 4}}
    assert sidecar.cad_points_path is None
    assert sidecar.stated_wh == (40, 20)


@pytest.mark.parametrize(
    ("content", "expected"),
    [
        ("{", "cannot be read as JSON"),
        ('{"t_gt": [NaN, 0, 1]}', "cannot be read as JSON"),
        ("[" * 5000, "cannot be read as JSON"),
        ("[1]", "expected an object"),
        ({"image_hw": [20]}, "image_hw: expected"),
        ({"image_hw": [20.5, 40]}, "image_hw: expected"),
        ({"image_hw": [0, 40]}, "image_hw: expected"),
        ({"image_hw": "20x40"}, "image_hw: expected"),
        ({"pose": [[1, 0], [0, 1]]}, "pose: expected a 4x4 matrix"),
        ({"pose": "up"}, "pose: expected a 4x4 matrix"),
        ({"pose": [*POSE[:3], [0, 0, 1, 1]]}, "pose: expected a last row"),
        ({"pose": {"R": [[2, 0, 0], [0, 1, 0], [0, 0, 1]]}}, "pose.R: expected a 3x3 rotation"),
        ({"R_gt": [[-1, 0, 0], [0, 1, 0], [0, 0, 1]]}, "R_gt: expected a 3x3 rotation"),
        ({"R_gt": [[1, 0, 0], [0, 1], [0, 0, 1]]}, "R_gt: expected a 3x3 rotation"),
        ({"t_gt": [1, 2]}, "t_gt: expected 3 numbers"),
        ({"t_gt": ["1", "2", "3"]}, "t_gt: expected 3 numbers"),
        ({"t_gt": [True, False, True]}, "t_gt: expected 3 numbers"),
        ({"t_gt": [[1, 2, 3], [1, 2, 3]]}, "t_gt: 2 given for 1 label lines"),
        ({"intrinsics": {"fx": 1, "fy": 1}}, "intrinsics: expected"),
        ({"intrinsics": [0, 1, 2, 3]}, "intrinsics: expected fx and fy above 0"),
        ({"intrinsics": [1, 2, 3]}, "intrinsics: expected"),
        ({"K_gt": [1, 1, 0, 0]}, "K_gt: expected"),
        ({"K_gt": [[1, 5, 0], [0, 1, 0], [0, 0, 1]]}, "K_gt: expected"),
        ({"mask_path": 3}, "mask_path: expected the path"),
        ({"mask_path": "../../../m.png"}, "mask_path: .*is outside of"),
        ({"depth_path": "/etc/passwd"}, "depth_path: .*is outside of"),
        ({"cad_points": [[1, 2]]}, "cad_points: expected a path, or a list"),
        ({"cad_points": "../../../x.ply"}, "cad_points: .*is outside of"),
    ],
)
def test_malformed_sidecars_are_named_with_their_key(load, content, expected):
    with pytest.raises(DatasetError, match=rf"a\.json: {expected}") as caught:
        load(content)
    assert caught.value.fix


def test_records_carry_what_the_sidecar_says(paint, put, tmp_path):
    paint("images/val/a.jpg", (40, 20))
    put("labels/val/a.txt", "0 0.5 0.5 0.5 0.5\n1 0.5 0.5 0.1 0.1")
    put("masks/a.png")
    content = {"pose": [POSE, None], "K_gt": K, "image_hw": [20, 40], "mask_path": "masks/a.png", "scene": 7}
    put("labels/val/a.json", content)
    dataset = open_dataset(tmp_path)
    record = dataset[0]
    assert record.camera == CAMERA
    assert record.stated_wh == (40, 20)
    assert record.class_mask.path == (tmp_path / "masks/a.png").resolve()
    assert record.extra == {"scene": 7}
    assert record.labels.poses.rotations[0].tolist() == TURN
    truth = dataset.ground_truth().labels
    assert truth.poses.translations_m[0].tolist() == [0.1, 0.2, 1.5]
    assert np.isnan(truth.poses.translations_m[1]).all()


def test_a_stated_size_that_the_image_does_not_have_is_refused(paint, put, tmp_path):
    paint("images/val/a.jpg", (40, 20))
    put("labels/val/x.txt")
    file = put("labels/val/a.json", {"image_hw": [40, 20]})
    with pytest.raises(DatasetError, match=re.escape(f"{file}: image_hw: [40, 20]")):
        open_dataset(tmp_path)[0]


def test_images_with_and_without_poses_make_one_column(paint, put, tmp_path):
    for name, content in (("a", {"t_gt": [0, 0, 1]}), ("b", None)):
        paint(f"images/val/{name}.jpg")
        put(f"labels/val/{name}.txt", "0 0.5 0.5 0.5 0.5")
        if content:
            put(f"labels/val/{name}.json", json.dumps(content))
    poses = open_dataset(tmp_path).ground_truth().labels.poses
    assert poses.translations_m[0].tolist() == [0, 0, 1]
    assert np.isnan(poses.translations_m[1]).all()
