from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import pytest
from click.testing import CliRunner

from anydet.cli import main
from anydet.data.opening import open_dataset
from anydet.data.scenes.shape_scenes import SyntheticDataset, write_coco_shapes
from anydet.data.writing.yolo import write_yolo


def run(*arguments: Any) -> Any:
    return CliRunner().invoke(main, ["dataset", *map(str, arguments)])


@pytest.fixture(scope="module")
def coco(tmp_path_factory) -> Path:
    root = tmp_path_factory.mktemp("coco") / "scenes"
    write_coco_shapes(SyntheticDataset(12, 0, (64, 48)), root)
    return root


@pytest.fixture(scope="module")
def yolo(tmp_path_factory) -> Path:
    root = tmp_path_factory.mktemp("yolo") / "boxes"
    write_yolo(SyntheticDataset(6, 1, (64, 48)), root)
    return root


def test_stats_fit_a_screen_and_are_the_same_as_json(coco):
    shown = run("stats", coco)
    assert shown.exit_code == 0, shown.output
    written = json.loads(run("stats", coco, "--json", "-").stdout)
    annotations = written["metrics"]["annotations"]
    assert f"12 images, {annotations:g} annotations of 6 classes" in shown.stdout
    assert len(shown.stdout.splitlines()) < 40


@pytest.mark.parametrize("layout", ["coco", "yolo-seg", "voc"])
def test_parts_are_splits_of_one_data_set_with_all_images(coco, tmp_path, layout):
    out = tmp_path / "parts"
    done = run(
        "split",
        coco,
        "--output",
        out,
        "--parts",
        "train=0.75,val=0.25",
        "--stratify",
        "--to",
        layout,
        "--json",
    )
    assert done.exit_code == 0, done.output
    assert json.loads(done.stdout)["images"] == {"train": 9, "val": 3}
    parts = [open_dataset(out, split) for split in ("train", "val")]
    assert {key for part in parts for key in part.keys} == set(open_dataset(coco).keys)
    assert parts[0].classes.names == parts[1].classes.names == open_dataset(coco).classes.names


def test_parts_merged_again_are_the_data_set(coco, tmp_path):
    parts, whole = tmp_path / "parts", tmp_path / "whole"
    assert run("split", coco, "--output", parts, "--parts", "a=0.5,b=0.5").exit_code == 0
    done = run("merge", parts, parts, "--split", "a", "--split", "b", "--output", whole)
    assert done.exit_code == 0, done.output
    before, after = (json.loads(next(p.glob("annotations/*.json")).read_text()) for p in (coco, whole))
    for kind in ("images", "annotations"):
        assert sorted(before[kind], key=lambda e: e["id"]) == sorted(after[kind], key=lambda e: e["id"])
    assert [c["name"] for c in before["categories"]] == [c["name"] for c in after["categories"]]


def test_other_formats_are_merged_and_what_one_lacks_is_said(coco, yolo, tmp_path):
    done = run("merge", coco, yolo, "--output", tmp_path / "both")
    assert done.exit_code == 1
    assert "--prefixes a,b" in done.stderr
    done = run("merge", coco, yolo, "--prefixes", "a,b", "--output", tmp_path / "both")
    assert done.exit_code == 0, done.output
    assert "none of b" in done.stderr
    merged = open_dataset(tmp_path / "both")
    assert len(merged) == 18
    assert merged[0].image().shape == (48, 64, 3)


def test_filter_says_what_goes_and_adds_splits(coco, tmp_path):
    out = tmp_path / "circles"
    done = run("filter", coco, "--classes", "circle", "--empty", "drop", "--output", out)
    assert done.exit_code == 0, done.output
    assert "dropped annotations of class 'star'" in done.stderr
    found = open_dataset(out)
    assert found.classes.names == ("circle",)
    assert all(len(record.labels) for record in found)
    again = run("filter", coco, "--classes", "circle", "--output", out)
    assert again.exit_code == 1  # the split is there
    assert "already there" in again.stderr


def test_a_sample_keeps_the_format_of_a_yolo_data_set(yolo, tmp_path):
    done = run("sample", yolo, "--images", 2, "--output", tmp_path / "few")
    assert done.exit_code == 0, done.output
    assert "2 images of split val, yolo-detect" in done.stdout
    assert len(open_dataset(tmp_path / "few")) == 2


@pytest.mark.parametrize(
    ("arguments", "said"),
    [
        (["filter", "D", "--output", "o"], "nothing to leave out"),
        (["filter", "D", "--output", "o", "--classes", "a", "--drop-classes", "b"], "exclude each other"),
        (["filter", "D", "--output", "o", "--min-area", "9", "--max-area", "4"], "is above --max-area"),
        (["merge", "D", "--output", "o"], "name two or more"),
        (["merge", "D", "D", "D", "--split", "a", "--split", "b", "--output", "o"], "given 2 times for 3"),
        (["split", "D", "--output", "o", "--parts", "a=2"], "fraction above 0"),
    ],
)
def test_wrong_usage_is_said_before_anything_is_written(coco, tmp_path, monkeypatch, arguments, said):
    monkeypatch.chdir(tmp_path)
    done = run(*(str(coco) if word == "D" else word for word in arguments))
    assert done.exit_code in {1, 2}
    assert said in done.stderr
    assert not (tmp_path / "o").exists()
