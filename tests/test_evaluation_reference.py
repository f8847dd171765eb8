"""docs/reference/evaluation.md names every number and every key that is written."""

from __future__ import annotations

import json
import re
from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest
from click.testing import CliRunner

from anydet.cli import main
from anydet.geometry.masks import encode
from anydet.plugins.manager import Plugins
from anydet.types import ClassTable, DetectionColumns, GroundTruthColumns, ImageColumns, Labels, Poses

PAGE = (Path(__file__).parents[1] / "docs" / "reference" / "evaluation.md").read_text("utf-8")
BOX = {"category_id": 7, "bbox": [40, 15, 20, 20]}


@pytest.fixture
def files(tmp_path):
    """Six cats, of which five are found."""
    truth = {
        "images": [{"id": i, "file_name": f"{i}.jpg", "width": 100, "height": 50} for i in range(1, 7)],
        "categories": [{"id": 7, "name": "cat"}],
        "annotations": [{**BOX, "id": i, "image_id": i, "area": 400, "iscrowd": 0} for i in range(1, 7)],
    }
    results = [{**BOX, "image_id": i, "score": 1 - i / 10} for i in range(1, 6)]
    slices = {f"{i}.jpg": "some" for i in range(1, 4)}
    paths = [tmp_path / name for name in ("instances_val2017.json", "results.json", "slices.json")]
    for path, value in zip(paths, (truth, results, slices), strict=True):
        path.write_text(json.dumps(value))
    return [str(path) for path in paths]


def written(*arguments):
    done = CliRunner().invoke(main, [*arguments, "--json", "-"], obj=Plugins(()))
    assert done.exit_code == 0, done.output
    return json.loads(done.stdout)


def part_of(heading):
    """What the page says below a heading, up to the next one."""
    return re.split(r"^#+ ", PAGE.split(f"# {heading}\n", 1)[1], flags=re.MULTILINE)[0]


@pytest.mark.parametrize(
    "name", ["tide", "confusion", "thresholds", "calibration", "label-errors", "voc", "open-images", "olrp"]
)
def test_every_number_of_an_evaluator_is_explained(files, name):
    found = written("eval", "--dataset", files[0], "--predictions", files[1], "--metrics", name)
    explained = re.findall(r"`([^`]+)`", part_of(name))
    assert set(found["results"][name]["metrics"]) <= set(explained)


@pytest.mark.slow
def test_every_key_is_explained(files):
    data = ("--dataset", files[0])
    result = written("eval", *data, "--predictions", files[1], "--intervals", "5", "--slices", files[2])
    comparison = written("compare", *data, files[1], files[1], "--resamples", "5")
    parity = written("parity", *data, files[1], files[1], "--resamples", "5")
    for value, heading in (
        (parity, "anydet parity"),
        (parity["counts"], "anydet parity"),
        (parity["settings"], "anydet parity"),
        (parity["quantities"][0], "anydet parity"),
        (parity["quantities"][0]["histogram"], "anydet parity"),
        (result, "anydet eval"),
        (result["results"]["coco"], "coco, coco-segm, coco-keypoints"),
        (result["results"]["coco"]["curves"], "coco, coco-segm, coco-keypoints"),
        (result["results"]["coco"]["intervals"], "coco, coco-segm, coco-keypoints"),
        (result["results"]["coco"]["intervals"]["overall"]["AP"], "coco, coco-segm, coco-keypoints"),
        (result["results"]["coco"]["slices"]["some"], "coco, coco-segm, coco-keypoints"),
        (comparison, "anydet compare"),
        (comparison["overall"]["AP"], "anydet compare"),
    ):
        assert set(value) <= set(re.findall(r"`(\w+)`", part_of(heading))), heading


def test_every_number_of_states_poses_and_whole_images_is_explained():
    one, none = np.zeros(1, np.int64), np.ones(1)
    poses = Poses(rotations=np.eye(3)[None], translations_m=np.ones((1, 3)))
    masks = ({0: encode(np.ones((4, 4), np.bool_))},)
    about = ImageColumns(class_ids=one, semantic_masks=masks, part_states=np.full((1, 1), 2))
    boxes, sizes = np.array([[0.0, 0.0, 4.0, 4.0]]), np.array([[4, 4]])
    found = DetectionColumns(("a",), sizes, one, one, boxes, none, none, states=one, poses=poses, about=about)
    labels = Labels(one, boxes, none, none < 0, states=one, poses=poses)
    truth = GroundTruthColumns(("a",), sizes, one, labels, ClassTable(("cat",)), "test", about=about)
    for name in ("states", "presence", "pose", "semantic", "image-class"):
        named = truth if name == "presence" else replace(truth, state_names=("<state>",))
        evaluator = Plugins.from_env().load("evaluators", name)(named)
        assert evaluator.applies(found, truth) is None
        evaluator.add(found, truth)
        explained = re.findall(r"`([^`]+)`", part_of(name))
        assert set(evaluator.result().metrics) <= set(explained), name
