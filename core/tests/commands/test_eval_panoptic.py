from __future__ import annotations

import json
import shutil

import pytest
from click.testing import CliRunner
from PIL import Image
from tests.panoptic import write_panoptic

from anydet.cli import main
from anydet.plugins.manager import Plugins

SIDES = ("--dataset", "annotations/panoptic_val2017.json", "--predictions", "found.json")


@pytest.fixture
def run(tmp_path, monkeypatch):
    """``anydet`` in a folder with a cat in the sky that are found; a traceback fails the test."""
    monkeypatch.chdir(tmp_path)
    write_panoptic(tmp_path)

    def invoke(*arguments):
        result = CliRunner().invoke(main, [*map(str, arguments)], obj=Plugins(()))
        assert result.exception is None or isinstance(result.exception, SystemExit), result.exc_info
        return result

    return invoke


def test_quality_is_printed_and_written(run, tmp_path):
    done = run("eval-panoptic", *SIDES, "--json", "out.json", "--markdown", "out.md")
    assert done.exit_code == 0, done.output
    assert "  PQ_things    1.0000" in done.stdout
    assert "│ cat   │ thing │ 1.0000 │ 1.0000 │ 1.0000 │  1 │  0 │  0 │" in done.stdout
    value = json.loads((tmp_path / "out.json").read_text())
    assert value["metrics"]["PQ"] == 1.0
    assert value["protocol"]["images"] == 1
    assert value["protocol"]["split"] == "val2017"
    assert value["protocol"]["classes_that_occur"] == {"all": 2, "things": 1, "stuff": 1}
    assert "| PQ | 1.000 |" in (tmp_path / "out.md").read_text()


def test_files_of_any_name_and_folders_are_taken(run, tmp_path):
    (tmp_path / "annotations/panoptic_val2017.json").rename(tmp_path / "city.json")
    shutil.move(tmp_path / "annotations/panoptic_val2017", tmp_path / "city")
    shutil.move(tmp_path / "found", tmp_path / "png")
    done = run("eval-panoptic", "--dataset", "city.json", "--predictions", "found.json", "--segments", "png")
    assert done.exit_code == 0, done.output
    (tmp_path / "annotations").rmdir()
    write_panoptic(tmp_path / "root")
    done = run("eval-panoptic", "--dataset", "root", "--predictions", "root/found.json", "--json", "-")
    assert json.loads(done.stdout)["metrics"]["PQ_stuff"] == 1.0


def test_a_bound_that_is_not_kept_is_exit_code_3(run, tmp_path):
    assert run("eval-panoptic", *SIDES, "--fail-under", "PQ=1").exit_code == 0
    assert run("eval-panoptic", *SIDES, "--fail-under", "PQ=1.2").exit_code == 2
    empty = {"annotations": [{"image_id": 1, "file_name": "1.png", "segments_info": []}]}
    (tmp_path / "found.json").write_text(json.dumps(empty))
    Image.new("RGB", (16, 12)).save(tmp_path / "found/1.png")
    assert run("eval-panoptic", *SIDES, "--fail-under", "PQ=0.5").exit_code == 3


def test_predictions_of_other_images_are_counted(run, tmp_path):
    content = json.loads((tmp_path / "found.json").read_text())
    content["annotations"].append({"image_id": 2, "file_name": "2.png", "segments_info": []})
    (tmp_path / "found.json").write_text(json.dumps(content))
    done = run("eval-panoptic", *SIDES)
    assert done.exit_code == 0, done.output
    assert "warning: found.json: 1 image without true segments left out" in done.stderr


@pytest.mark.parametrize("command", ["eval", "eval-coco", "validate-predictions"])
def test_commands_of_detections_name_the_one_of_panoptic_results(run, command):
    words = ["found.json", *SIDES[:2]] if command == "validate-predictions" else SIDES
    done = run(command, *words)
    assert done.exit_code == 1
    assert "COCO's panoptic results, which are no detections" in done.output
    assert "anydet eval-panoptic" in done.output


@pytest.mark.parametrize("content", ["{", '{"annotations": 1}', '{"annotations": [{"image_id": 1}]}'])
def test_what_is_no_panoptic_result_is_said(content, run, tmp_path):
    (tmp_path / "p.json").write_text(content)
    done = run("eval-panoptic", *SIDES[:2], "--predictions", "p.json")
    assert done.exit_code == 1
    assert "p.json: no panoptic results" in done.stderr


def test_predictions_without_a_detection_find_nothing(run, tmp_path):
    (tmp_path / "p.json").write_text("[]")
    done = run("eval-panoptic", *SIDES[:2], "--predictions", "p.json", "--json", "-")
    assert json.loads(done.stdout)["metrics"]["PQ"] == 0
    assert "not mention 1 of the images" in done.stderr
