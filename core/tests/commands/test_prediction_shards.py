"""A folder of prediction files, or a pattern, wherever predictions are read."""

from __future__ import annotations

import json
from pathlib import Path

import pytest
from click.testing import CliRunner, Result

from anydet.cli import main


def run(*args: object) -> Result:
    return CliRunner().invoke(main, [str(one) for one in args])


@pytest.fixture
def truth(tmp_path: Path) -> Path:
    path = tmp_path / "gt.json"
    document = {
        "images": [{"id": i, "file_name": f"{i}.jpg", "width": 64, "height": 32} for i in range(3)],
        "annotations": [
            {"id": i + 1, "image_id": i, "category_id": 3, "bbox": [4, 8, 16, 8], "area": 128, "iscrowd": 0}
            for i in range(3)
        ],
        "categories": [{"id": 3, "name": "cat"}],
    }
    path.write_text(json.dumps(document))
    return path


@pytest.fixture
def shards(tmp_path: Path) -> Path:
    folder = tmp_path / "s"
    folder.mkdir()
    for i in range(2):
        row = {"image_id": i, "category_id": 3, "score": 0.5, "bbox": [4, 8, 16, 8]}
        (folder / f"{i}.json").write_text(json.dumps([row]))
    return folder


@pytest.mark.parametrize("pattern", ["", "/*.json"])
def test_all_files_of_a_folder_are_validated_as_one_set(pattern: str, shards: Path, truth: Path) -> None:
    done = run("validate-predictions", f"{shards}{pattern}", "--dataset", truth, "--json")
    assert done.exit_code == 0, done.output
    report = json.loads(done.stdout)
    assert (report["images"], report["detections"]) == (2, 2)
    assert [line.partition(": ")[2] for line in report["warnings"]] == [
        "no entry for 1 images of the data set (2.jpg)"
    ]


def test_an_image_in_two_files_is_an_error_that_names_both(shards: Path, truth: Path) -> None:
    (shards / "1.json").write_text((shards / "0.json").read_text())
    done = run("validate-predictions", shards, "--dataset", truth)
    assert done.exit_code == 1
    assert f"{shards / '1.json'}: image 0.jpg is in {shards / '0.json'}, too" in done.stdout
    assert "give files with disjoint images" in done.stdout


def test_one_file_is_asked_for_where_one_is_written(shards: Path, truth: Path, tmp_path: Path) -> None:
    out = tmp_path / "out.json"
    for arguments in (
        ("validate-predictions", shards, "--dataset", truth, "--repair", out),
        ("convert", shards, out, "--dataset", truth),
        ("convert", shards, out),
    ):
        done = run(*arguments)
        assert done.exit_code == 1, done.output
        assert f"{shards}: 2 files of predictions" in done.stderr
        assert f"anydet {arguments[0]} {shards / '0.json'}" in done.stderr
        assert not out.exists()
    (shards / "1.json").unlink()
    assert run("convert", shards, out, "--dataset", truth).exit_code == 0
    assert len(json.loads(out.read_text())) == 1


def test_a_data_set_is_checked_with_predictions_in_several_files(shards: Path, truth: Path) -> None:
    done = run("check-dataset", truth, "--predictions", shards, "--no-images", "--json")
    assert done.exit_code == 0, done.output
    found = {one["check"]: one for one in json.loads(done.stdout)["findings"]}
    assert found["odd predictions"]["examples"] == [
        f"{shards}: no entry for 1 images of the data set (2.jpg)"
    ]
    assert "predictions misfit" not in found
