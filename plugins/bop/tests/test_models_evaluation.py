"""``anydet eval --models``."""

from __future__ import annotations

import json

import numpy as np
import pytest
from click.testing import CliRunner
from PIL import Image

from anydet.cli import main

CUBE = [(x, y, z) for x in (-50, 50) for y in (-50, 50) for z in (-50, 50)]
HALF_TURN = [-1, 0, 0, 0, 0, -1, 0, 0, 0, 0, 1, 0, 0, 0, 0, 1]


@pytest.fixture
def cube_set(tmp_path):
    """One image of a cube with sidecar and models, and a prediction that is 177 degrees off."""
    for folder in ("images/val", "labels/val", "models"):
        (tmp_path / folder).mkdir(parents=True)
    Image.new("RGB", (640, 480)).save(tmp_path / "images/val/0.png")
    (tmp_path / "classes.txt").write_text("cube\n")
    (tmp_path / "labels/val/0.txt").write_text("0 0.5 0.5 0.1 0.13\n")
    sidecar = {
        "intrinsics": [600, 600, 320, 240],
        "R_gt": [np.eye(3).tolist()],
        "t_gt": [[0.0, 0.0, 1.0]],
    }
    (tmp_path / "labels/val/0.json").write_text(json.dumps(sidecar))
    info = {"1": {"name": "cube", "diameter": 173.2, "symmetries_discrete": [HALF_TURN]}}
    (tmp_path / "models/models_info.json").write_text(json.dumps(info))
    header = "ply\nformat ascii 1.0\nelement vertex 8\n" + "".join(f"property float {a}\n" for a in "xyz")
    lines = "".join(f"{x} {y} {z}\n" for x, y, z in CUBE)
    (tmp_path / "models/obj_000001.ply").write_text(header + "end_header\n" + lines)
    c, s = np.cos(np.radians(177)), np.sin(np.radians(177))
    detection = {
        "class_id": 0,
        "score": 0.9,
        "bbox": {"cx": 0.5, "cy": 0.5, "w": 0.1, "h": 0.13},
        "rot6d": [c, s, 0.0, -s, c, 0.0],
        "log_z": float(np.log(1.01)),
    }
    (tmp_path / "poses.json").write_text(json.dumps([{"image": "0.png", "detections": [detection]}]))
    return tmp_path


def run_eval(folder, *arguments, json_out=True):
    options = ["--dataset", str(folder), "--predictions", str(folder / "poses.json"), *arguments]
    return CliRunner().invoke(main, ["eval", *options, *(["--json", "-"] if json_out else [])])


@pytest.mark.slow
def test_poses_are_measured_with_the_models_that_are_given(cube_set):
    plain = json.loads(run_eval(cube_set, "--metrics", "pose").stdout)["metrics"]
    assert plain["pose/rotation_deg_mean"] == pytest.approx(177.0)
    assert plain["pose/ADD_0.1d"] is None
    found = json.loads(run_eval(cube_set, "--models", str(cube_set / "models")).stdout)
    assert found["metrics"]["pose/rotation_deg_mean"] == pytest.approx(3.0)
    assert found["metrics"]["pose/5deg_5cm"] == 1.0
    assert found["metrics"]["coco/AP"] == pytest.approx(1.0)
    assert found["skipped"]["states"] == "the data set has no states"
    assert found["skipped"]["semantic"] == "the data set has no class masks"
    assert found["results"]["pose"]["protocol"]["symmetric"] == ["cube"]


def test_what_was_measured_is_printed(cube_set):
    shown = run_eval(cube_set, "--metrics", "pose", "--models", str(cube_set), json_out=False)
    assert shown.exit_code == 0
    assert "rotation_deg_median                     3.0000" in shown.output
    assert "recalls of each object" in shown.output


def test_a_folder_without_models_is_an_error_that_names_what_belongs_there(cube_set):
    wrong = run_eval(cube_set, "--models", str(cube_set / "images"))
    assert wrong.exit_code == 1
    assert "no models_info.json in it" in wrong.output
    assert "Traceback" not in wrong.output
