from __future__ import annotations

import json
import shlex

import numpy as np
import pytest
from click.testing import CliRunner
from PIL import Image

from anydet.cli import main

COMMANDS = CliRunner()


def width(path):
    with Image.open(path) as picture:
        return picture.width


def run(*arguments):
    return COMMANDS.invoke(main, [str(a) for a in arguments])


@pytest.fixture(scope="module")
def scenes(tmp_path_factory):
    folder = tmp_path_factory.mktemp("view")
    assert run("synth", "--out", folder / "s", "--images", 4, "--format", "coco").exit_code == 0
    made = run(
        "export-predictions", "--adapter", "toy", "--dataset", folder / "s", "--output", folder / "p.json"
    )
    assert made.exit_code == 0
    return folder


def test_each_image_gets_an_overlay_of_both_sides_and_a_place_on_the_sheet(scenes, tmp_path):
    shown = run("view", scenes / "p.json", "--dataset", scenes / "s", "--out", tmp_path, "--json")
    assert shown.exit_code == 0, shown.output
    found = json.loads(shown.stdout)
    assert len(found["images"]) == len(list((tmp_path / "overlays").glob("*.png"))) == 4
    assert found["sheets"] == [str(tmp_path / "sheet-001.png")]
    alone = run("view", scenes / "p.json", "--images", scenes / "s", "--out", tmp_path / "alone", "--json")
    assert alone.exit_code == 0, alone.output
    for row, other in zip(found["images"], json.loads(alone.stdout)["images"], strict=True):
        assert width(row["overlay"]) > 1.9 * width(other["overlay"])
        assert row["found"] == other["found"]


def test_the_worst_image_comes_first(scenes, tmp_path):
    entries = json.loads((scenes / "p.json").read_text())
    truth = json.loads(next((scenes / "s").rglob("instances*.json")).read_text())
    labelled = {image["file_name"] for image in truth["images"]} & {
        next(i["file_name"] for i in truth["images"] if i["id"] == a["image_id"])
        for a in truth["annotations"]
    }
    spoilt = sorted(labelled)[-1]
    for entry in entries:
        if entry["image"] == spoilt:
            entry["detections"] = []
    (tmp_path / "p.json").write_text(json.dumps(entries))
    shown = run(
        "view", tmp_path / "p.json", "--dataset", scenes / "s", "--out", tmp_path / "v", "--worst",
        "--max-images", 1, "--sheet-columns", 0, "--json",
    )  # fmt: skip
    assert shown.exit_code == 0, shown.output
    found = json.loads(shown.stdout)
    assert [row["image"] for row in found["images"]] == [spoilt]
    assert found["images"][0]["f1"] == 0
    assert found["sheets"] == []


def test_pose_axes_and_states_are_drawn_where_the_camera_is_known(tmp_path):
    Image.fromarray(np.full((400, 600, 3), 90, np.uint8)).save(tmp_path / "a.png")
    box = {"cx": 0.5, "cy": 0.5, "w": 0.3, "h": 0.3}
    plain = {"class_id": 0, "score": 0.9, "bbox": box}
    posed = {**plain, "R": np.eye(3).tolist(), "t": [0, 0, 1.0]}
    camera = {"fx": 500.0, "fy": 500.0, "cx": 300.0, "cy": 200.0}

    def picture(detection):
        entry = {
            "image": "a.png", "image_size": {"width": 600, "height": 400},
            "detections": [detection], "intrinsics": camera,
        }  # fmt: skip
        (tmp_path / "p.json").write_text(json.dumps([entry]))
        shown = run("view", tmp_path / "p.json", "--images", tmp_path / "a.png", "--out", tmp_path / "v",
                    "--states", "intact,damaged")  # fmt: skip
        assert shown.exit_code == 0, shown.output
        return np.array(Image.open(tmp_path / "v" / "overlays" / "a.png"))

    def count(image, colour):
        return int((image == np.array(colour)).all(axis=2).sum())

    assert count(picture(posed), (213, 94, 0)) > 100 > count(picture(plain), (213, 94, 0))
    assert not np.array_equal(picture({**plain, "state": 1}), picture(plain))


def test_errors_say_what_is_missing(scenes, tmp_path):
    (tmp_path / "p.json").write_text(json.dumps([{"image": "gone.png", "detections": []}]))
    gone = run("view", tmp_path / "p.json", "--dataset", scenes / "s", "--out", tmp_path / "v")
    assert gone.exit_code == 1
    assert "'gone.png' is not in the data set" in gone.stderr
    unlabelled = run("view", scenes / "p.json", "--images", scenes / "s", "--worst", "--out", tmp_path / "v")
    assert unlabelled.exit_code == 1
    assert "has no labels" in unlabelled.stderr
    assert run("view", scenes / "p.json").exit_code == 2
    (tmp_path / "gone.png").write_text("no picture")
    broken = run("view", tmp_path / "p.json", "--images", tmp_path, "--out", tmp_path / "v")
    assert broken.exit_code == 1
    assert "cannot be decoded" in broken.stderr
    assert not (tmp_path / "v").exists() or not list((tmp_path / "v").rglob("*.png"))


def test_the_example_of_the_help_works(tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    lines = [line.strip() for line in run("view", "--help").output.splitlines()]
    for line in [line for line in lines if line.startswith("anydet ")]:
        done = run(*shlex.split(line)[1:])
        assert done.exit_code == 0, done.output
    assert (tmp_path / "view" / "sheet-001.png").exists()
