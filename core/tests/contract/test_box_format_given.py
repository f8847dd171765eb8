"""A box format that is named is the one that boxes are read as, or an error: in every command alike."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from click.testing import CliRunner, Result

from anydet.cli import main
from anydet.geometry import masks

BOXES: dict[str, list[float]] = {
    "xywh_abs": [4, 8, 16, 8],
    "xyxy_abs": [4, 8, 20, 16],
    "cxcywh_abs": [12, 12, 16, 8],
    "cxcywh_norm": [0.1875, 0.375, 0.25, 0.25],
}
"""One box of an image of 64 x 32."""


@pytest.fixture
def truth(tmp_path: Path) -> Path:
    path = tmp_path / "gt.json"
    box = BOXES["xywh_abs"]
    document = {
        "images": [{"id": 5, "file_name": "a.jpg", "width": 64, "height": 32}],
        "annotations": [{"id": 1, "image_id": 5, "category_id": 3, "bbox": box, "area": 128, "iscrowd": 0}],
        "categories": [{"id": 3, "name": "cat"}],
    }
    path.write_text(json.dumps(document))
    return path


def results(path: Path, box: list[float], **fields: Any) -> Path:
    path.write_text(json.dumps([{"image_id": 5, "category_id": 3, "score": 0.5, "bbox": box, **fields}]))
    return path


def run(*args: object) -> Result:
    return CliRunner().invoke(main, [str(one) for one in args])


@pytest.mark.parametrize("box_format", BOXES)
def test_cocos_results_are_read_as_the_format_that_is_named(
    box_format: str, truth: Path, tmp_path: Path
) -> None:
    path = results(tmp_path / "r.json", BOXES[box_format])
    named = ("--bbox-format", box_format)
    done = run("eval-coco", "--dataset", truth, "--predictions", path, *named, "--json", "-")
    assert done.exit_code == 0, done.output
    assert json.loads(done.stdout)["metrics"]["AP"] == pytest.approx(1)
    assert run("validate-predictions", path, "--dataset", truth, *named).exit_code == 0
    out = tmp_path / "out.json"
    done = run("convert", path, out, "--to", "coco", "--dataset", truth, *named)
    assert done.exit_code == 0, done.output
    assert json.loads(out.read_text())[0]["bbox"] == BOXES["xywh_abs"]
    out.unlink()
    done = run("validate-predictions", path, "--dataset", truth, *named, "--repair", out)
    assert done.exit_code == 0, done.output
    assert json.loads(out.read_text())[0]["bbox"] == BOXES["xywh_abs"]


def every_command(path: Path, truth: Path, box_format: str, out: Path) -> dict[str, Result]:
    named = ("--bbox-format", box_format)
    found = {
        "eval-coco": run("eval-coco", "--dataset", truth, "--predictions", path, *named),
        "eval": run("eval", "--dataset", truth, "--predictions", path, "--metrics", "voc", *named),
        "validate": run("validate-predictions", path, "--dataset", truth, *named),
        "convert": run("convert", path, out, "--dataset", truth, *named),
    }
    assert not out.exists()
    return found


def test_boxes_that_are_negative_in_it_are_refused_by_every_command(truth: Path, tmp_path: Path) -> None:
    path = results(tmp_path / "r.json", BOXES["cxcywh_abs"])
    for name, done in every_command(path, truth, "xyxy_abs", tmp_path / "out.jsonl").items():
        assert done.exit_code == 1, (name, done.output)
        assert "has a negative size as xyxy_abs" in done.output, name


def test_a_format_that_cannot_be_is_wrong_usage_in_every_command(truth: Path, tmp_path: Path) -> None:
    mask = masks.encode(np.ones((32, 64), np.bool_))
    rle = {"size": list(mask.size_hw), "counts": mask.counts}
    around = results(tmp_path / "masks.json", [], segmentation=rle)
    around.write_text(around.read_text().replace(', "bbox": []', ""))
    rows = {"boxes": [[4, 8, 20, 16]], "scores": [0.5], "labels": ["cat"]}
    fixed = tmp_path / "torchvision.json"
    fixed.write_text(json.dumps({"a.jpg": rows}))
    for path, why in ((around, "around masks or keypoints"), (fixed, "of this format are xyxy_abs")):
        for name, done in every_command(path, truth, "cxcywh_abs", tmp_path / "out.jsonl").items():
            assert done.exit_code == 1, (name, done.output)
            assert "its boxes cannot be cxcywh_abs: " in done.output, (name, done.output)
            assert why in done.output, name
    assert run("validate-predictions", fixed, "--dataset", truth, "--bbox-format", "xyxy_abs").exit_code == 0


def test_a_repaired_file_of_the_contract_states_the_format_that_is_named(tmp_path: Path) -> None:
    path, out = tmp_path / "p.json", tmp_path / "out.json"
    detection = {"class_id": 0, "score": 0.5, "bbox": [4, 8, 80, 16]}
    size = {"width": 64, "height": 32}
    path.write_text(json.dumps([{"image": "a.jpg", "image_size": size, "detections": [detection]}]))
    done = run("validate-predictions", path, "--bbox-format", "xyxy_abs", "--repair", out)
    assert done.exit_code == 0, done.output
    repaired = json.loads(out.read_text())
    assert repaired["meta"]["conventions"]["bbox_format"] == "xyxy_abs"
    assert repaired["predictions"][0]["detections"][0]["bbox"] == [4, 8, 64, 16]
