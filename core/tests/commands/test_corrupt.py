"""``anydet corrupt``: its options, output and errors."""

from __future__ import annotations

import json

import pytest
from click.testing import CliRunner
from PIL import Image

from anydet.cli import main
from anydet.data.scenes.shape_scenes import SyntheticDataset
from anydet.data.writing import corrupted
from anydet.data.writing.coco import write_coco
from anydet.data.writing.yolo import write_yolo
from anydet.plugins.manager import Plugins


@pytest.fixture
def scenes(tmp_path):
    write_coco(SyntheticDataset(3, image_wh=(64, 48)), tmp_path / "clean")
    return tmp_path / "clean"


@pytest.fixture
def run():
    def invoke(*arguments):
        return CliRunner().invoke(main, ["corrupt", *map(str, arguments)], obj=Plugins(()))

    return invoke


def test_names_kinds_and_severities_become_folders(run, scenes, tmp_path):
    out = tmp_path / "c"
    done = run(
        "--dataset",
        scenes,
        "--out",
        out,
        "--corruptions",
        "blur,fog",
        "--severity",
        "1,4..5",
        "--max-images",
        1,
    )
    assert done.exit_code == 0, done.output
    assert "15 data sets, layout coco, 15 images" in done.stdout
    found = {f"{folder.parent.name}/{folder.name}" for folder in out.glob("*/*")}
    names = ("defocus_blur", "glass_blur", "motion_blur", "zoom_blur", "fog")
    assert found == {f"{name}/{severity}" for name in names for severity in (1, 4, 5)}


def test_json_lists_the_data_sets(run, scenes, tmp_path):
    done = run(
        "--dataset", scenes, "--out", tmp_path / "c", "--corruptions", "fog", "--severity", 2, "--json"
    )
    assert json.loads(done.stdout) == {
        "layout": "coco",
        "datasets": [{"name": "fog", "severity": 2, "seed": 0, "dataset": str(tmp_path / "c/fog/2")}],
        "images": 3,
        "resumed": 0,
        "lost": {},
    }
    again = run("--dataset", scenes, "--out", tmp_path / "c", "--corruptions", "fog", "--severity", 2)
    assert again.exit_code == 1
    assert "is there already\n  fix: add --resume" in again.stderr
    more = ("--dataset", scenes, "--out", tmp_path / "c", "--corruptions", "fog,snow", "--severity", 2)
    resumed = run(*more, "--resume")
    assert "6 images (3 from the earlier run)" in resumed.stdout


def test_what_the_format_cannot_hold_is_listed(run, scenes, tmp_path):
    done = run(
        "--dataset", scenes, "--out", tmp_path / "c", "--corruptions", "fog", "--severity", 2, "--to", "yolo"
    )
    assert done.exit_code == 0, done.output
    assert "YOLO cannot hold masks: " in done.stderr


def test_a_sheet_needs_no_data_set(run, scenes, tmp_path):
    done = run("--dataset", scenes, "--severity", 3, "--sheet", tmp_path / "all.png")
    assert done.exit_code == 0, done.output
    with Image.open(tmp_path / "all.png") as sheet:
        columns, rows = round(sheet.width / (64 + 8)), sheet.height
    assert columns == 4
    assert rows > 4 * 48
    wide = run("--dataset", scenes, "--corruptions", "noise", "--sheet", tmp_path / "noise.jpg")
    assert wide.exit_code == 0, wide.output
    with Image.open(tmp_path / "noise.jpg") as sheet:
        assert sheet.format == "JPEG"
        assert sheet.width == 6 * (64 + 8) + 8


@pytest.mark.parametrize(
    ("arguments", "code", "said"),
    [
        (("--corruptions", "fgo"), 1, "no corruption called 'fgo'; did you mean 'fog'?"),
        (("--corruptions", "wether"), 1, "did you mean 'weather'?"),
        (("--severity", "6"), 2, "'6' is not within 1 to 5"),
        (("--severity", "0..3"), 2, "'0..3' is not within 1 to 5"),
        (("--severity", "5..1"), 2, "'5..1' is not within 1 to 5"),
        (("--severity", "much"), 2, "'much' is not like 3, 1,3,5 or 1..5"),
        (("--sheet", "x.gif"), 2, "x.gif does not end in .png, .jpg or .jpeg"),
    ],
)
def test_wrong_values_are_named(run, scenes, tmp_path, arguments, code, said):
    done = run("--dataset", scenes, "--out", tmp_path / "c", *arguments)
    assert (done.exit_code, said in done.stderr) == (code, True), done.output
    assert not (tmp_path / "c").exists()


def test_something_must_be_written(run, scenes):
    done = run("--dataset", scenes)
    assert done.exit_code == 2
    assert "nothing to write: add --out DIR or --sheet PICTURE" in done.stderr


def test_corrupted_images_are_not_corrupted_again(run, scenes, tmp_path):
    done = run("--dataset", f"corruption:snow:1:{scenes}", "--out", tmp_path / "c", "--severity", 1)
    assert done.exit_code == 1
    assert "its images are corrupted already, by snow at severity 1" in done.stderr


def test_ctrl_c_says_how_to_go_on(run, scenes, tmp_path, monkeypatch):
    def stop(*_):
        raise KeyboardInterrupt

    monkeypatch.setattr(corrupted, "_write_image", stop)
    done = run("--dataset", scenes, "--out", tmp_path / "c", "--severity", 1, "--corruptions", "fog")
    assert done.exit_code == 130
    assert "add --resume to the same command" in done.stderr


def test_yolo_stays_yolo(run, tmp_path):
    write_yolo(SyntheticDataset(2, image_wh=(64, 48)), tmp_path / "clean")
    done = run(
        "--dataset", tmp_path / "clean", "--out", tmp_path / "c", "--corruptions", "snow", "--severity", 1
    )
    assert "1 data set, layout yolo, 2 images" in done.stdout, done.output
    assert (tmp_path / "c/snow/1/labels/val").is_dir()
