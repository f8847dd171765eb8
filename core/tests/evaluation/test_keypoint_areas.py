"""Keypoints where the source states no area, and rows that differ in their number of keypoints."""

from __future__ import annotations

import copy
import json
import warnings

import numpy as np
import pytest
from click.testing import CliRunner
from pycocotools.coco import COCO
from pycocotools.cocoeval import COCOeval

from anydet import evaluate
from anydet.cli import main
from anydet.errors import AnydetWarning, EvaluationError
from anydet.evaluation.protocol import CROWDPOSE_SIGMAS, CocoSettings
from anydet.plugins.manager import Plugins

STATED = "state no area"


def documents(points, *, area):
    """Persons on six images, and results around them; every third person states its area where ``area``."""
    rng = np.random.default_rng(points)
    images = [{"id": i, "file_name": f"{i}.jpg", "width": 640, "height": 480} for i in range(1, 7)]
    annotations, results = [], []
    for number in range(1, 25):
        x, y, w, h = rng.uniform((0, 0, 50, 80), (300, 200, 200, 250)).tolist()
        places = rng.uniform((x, y), (x + w, y + h), (points, 2))
        seen = rng.integers(0, 3, points)
        seen[0] = 2
        keypoints = np.column_stack([places, seen]).ravel().tolist()
        row = {"id": number, "image_id": 1 + number % 6, "category_id": 1, "bbox": [x, y, w, h], "iscrowd": 0}
        row |= {"keypoints": keypoints, "num_keypoints": int((seen > 0).sum())}
        annotations.append(row | ({"area": w * h / 3} if area and not number % 3 else {}))
        moved = places + rng.normal(0, rng.choice([2, 8, 20]), places.shape)
        found = np.column_stack([moved, np.ones(points)]).ravel().tolist()
        results.append(
            {"image_id": row["image_id"], "category_id": 1, "keypoints": found, "score": number / 30}
        )
    truth = {"images": images, "annotations": annotations, "categories": [{"id": 1, "name": "person"}]}
    return truth, results


@pytest.fixture
def write(tmp_path):
    def written(truth, results):
        paths = tmp_path / "truth.json", tmp_path / "results.json"
        for path, value in zip(paths, (truth, results), strict=True):
            path.write_text(json.dumps(value))
        return paths

    return written


def run(*arguments):
    done = CliRunner().invoke(main, list(map(str, arguments)), obj=Plugins(()))
    assert done.exception is None or isinstance(done.exception, SystemExit), done.exc_info
    return done


def peer(truth, results, sigmas, *, factor, keep_stated):
    """pycocotools' AP, AP50, AP75 of all areas, with areas that are filled in before it sees the file."""
    truth = copy.deepcopy(truth)
    for row in truth["annotations"]:
        if not (keep_stated and "area" in row):
            row["area"] = factor * (row["bbox"][2] * row["bbox"][3])
    theirs = COCO()
    theirs.dataset = truth
    theirs.createIndex()
    run_ = COCOeval(theirs, theirs.loadRes(copy.deepcopy(results)), "keypoints")
    run_.params.kpt_oks_sigmas = np.array(sigmas)
    run_.evaluate()
    run_.accumulate()
    run_.summarize()
    return run_.stats.tolist()


def test_crowdpose_has_areas_of_boxes_whatever_the_file_states(write):
    problem = documents(14, area=True)
    expected = peer(*problem, CROWDPOSE_SIGMAS, factor=0.53, keep_stated=False)
    with warnings.catch_warnings():
        warnings.simplefilter("error", AnydetWarning)
        result = evaluate(*write(*problem), CocoSettings("keypoints", "crowdpose"))
    assert list(result.metrics) == ["AP", "AP50", "AP75", "AR", "AR50", "AR75"]
    assert list(result.metrics.values()) == [*expected[:3], *expected[5:8]]
    assert result.protocol["box_area_factor"] == 0.53


def test_a_factor_is_for_areas_that_are_not_stated_alone_and_ends_the_warning(write):
    problem = documents(17, area=True)
    paths = write(*problem)
    with pytest.warns(AnydetWarning, match=rf"16 of 24 annotations {STATED} \(first in image 2.jpg\)"):
        plain = evaluate(*paths, iou_type="keypoints")
    with warnings.catch_warnings():
        warnings.simplefilter("error", AnydetWarning)
        scaled = evaluate(*paths, CocoSettings("keypoints", box_area_factor=0.53))
    sigmas = CocoSettings("keypoints").sigmas
    for result, factor in ((plain, 1.0), (scaled, 0.53)):
        expected = peer(*problem, sigmas, factor=factor, keep_stated=True)
        assert list(result.metrics.values()) == [None if value == -1 else value for value in expected]
    assert scaled.metrics["AP"] < plain.metrics["AP"]


def test_boxes_and_files_that_state_all_areas_get_no_warning(write):
    truth, results = documents(17, area=False)
    with warnings.catch_warnings():
        warnings.simplefilter("error", AnydetWarning)
        evaluate(*write(truth, results))
        for row in truth["annotations"]:
            row["area"] = 100.0
        evaluate(*write(truth, results), iou_type="keypoints")


def test_every_command_has_crowdpose_and_the_factor(write):
    dataset, found = write(*documents(14, area=False))
    expected = evaluate(dataset, found, CocoSettings("keypoints", "crowdpose")).metrics
    one = run(
        "eval-coco", "--dataset", dataset, "--predictions", found, "--protocol", "crowdpose", "--json", "-"
    )
    assert json.loads(one.stdout)["metrics"] == expected
    all_of = ("eval", "--dataset", dataset, "--predictions", found, "--json", "-")
    named = json.loads(run(*all_of, "--metrics", "crowdpose").stdout)["results"]["crowdpose"]
    assert named["metrics"] == expected
    both = run(
        "compare",
        found,
        found,
        "--dataset",
        dataset,
        "--protocol",
        "crowdpose",
        "--resamples",
        "5",
        "--json",
        "-",
    )
    assert json.loads(both.stdout)["overall"]["AP"]["a"] == expected["AP"]
    dataset, found = write(*documents(17, area=False))
    scaled = evaluate(dataset, found, CocoSettings("keypoints", box_area_factor=0.53)).metrics
    done = run(*all_of, "--metrics", "coco-keypoints", "--box-area-factor", "0.53")
    assert STATED not in done.stderr
    assert json.loads(done.stdout)["results"]["coco-keypoints"]["metrics"] == scaled
    assert STATED in run(*all_of, "--metrics", "coco-keypoints").stderr


def test_what_a_protocol_does_not_have_is_refused():
    with pytest.raises(EvaluationError, match="CrowdPose scores keypoints, not bbox"):
        CocoSettings(protocol="crowdpose")
    for settings in ({"iou_type": "bbox"}, {"iou_type": "keypoints", "protocol": "crowdpose"}):
        with pytest.raises(EvaluationError, match="box_area_factor"):
            CocoSettings(**settings, box_area_factor=0.5)


@pytest.mark.parametrize("side", ["annotations", "detections"])
def test_rows_with_other_numbers_of_keypoints_are_refused_and_boxes_are_scored(write, side):
    truth, results = documents(17, area=False)
    rows = truth["annotations"] if side == "annotations" else results
    for row in rows[3:5]:
        row["keypoints"] = row["keypoints"][: 13 * 3]
    paths = write(truth, results)
    place = rf"{side} differ in their number of keypoints: 2 have 13 \(first in image \d.jpg\), 22 have 17"
    with pytest.raises(EvaluationError, match=place) as error:
        evaluate(*paths, iou_type="keypoints")
    assert "0, 0, 0" in error.value.fix
    assert evaluate(*paths).metrics["AP"] is not None


def test_predictions_with_other_keypoints_than_the_truth_are_refused(write):
    truth, _ = documents(17, area=False)
    _, results = documents(13, area=False)
    with pytest.raises(EvaluationError, match="have 13 keypoints each, annotations 17: ") as error:
        evaluate(*write(truth, results), iou_type="keypoints")
    assert "sigmas" not in str(error.value)  # no number of them fits both


def test_14_keypoints_name_crowdpose(write):
    with pytest.raises(EvaluationError) as error:
        evaluate(*write(*documents(14, area=False)), iou_type="keypoints")
    assert "--protocol crowdpose" in error.value.fix
