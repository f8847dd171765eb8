"""Files that cannot be read or joined because of a usual mistake: the error says which."""

from __future__ import annotations

import json

import numpy as np
import pytest

from anydet.contract.hints import COCO_IDS, hint_class_ids, hint_sizes
from anydet.contract.join import join_keys
from anydet.contract.reading.coco_results import load_coco_results
from anydet.contract.reading.load import load
from anydet.errors import ContractError

SIZE = {"width": 100, "height": 80}
CORNERS = [[10, 10, 30, 50], [60, 40, 95, 78], [5, 60, 50, 70]]


def read(tmp_path, detections):
    path = tmp_path / "p.json"
    rows = [{"class_id": 0, "score": 0.5, "bbox": [0.5, 0.5, 0.1, 0.1], **fields} for fields in detections]
    path.write_text(json.dumps([{"image": "a.jpg", "image_size": SIZE, "detections": rows}]))
    return load(path)


def fix_of(function, *arguments):
    with pytest.raises(ContractError) as caught:
        function(*arguments)
    return caught.value.fix


def test_sizes_taken_for_corners_are_named(tmp_path):
    boxes = [[x1, y1, x2 - x1, y2 - y1] for x1, y1, x2, y2 in CORNERS]
    raw = read(tmp_path, [{"bbox": box} for box in boxes])
    assert fix_of(raw.columns, "xyxy_abs").startswith("boxes fit as xywh_abs; state which format")


def test_a_format_with_boxes_outside_their_image_is_not_proposed(tmp_path):
    boxes = [[(x1 + x2) / 2, (y1 + y2) / 2, x2 - x1, y2 - y1] for x1, y1, x2, y2 in CORNERS]
    raw = read(tmp_path, [{"bbox": box} for box in boxes])
    assert fix_of(raw.columns, "xyxy_abs").startswith("boxes fit as cxcywh_abs; ")


def test_fractions_taken_for_corners_are_named(tmp_path):
    raw = read(tmp_path, [{"bbox": [0.5, 0.5, 0.1, 0.1]}])
    assert fix_of(raw.columns, "xyxy_abs").startswith("boxes fit as cxcywh_norm; ")


@pytest.mark.parametrize("scores", [[3.1, -2.0, 0.5, 7.0], [55, 90, 71]])
def test_scores_that_are_no_probabilities_are_named(tmp_path, scores):
    fix = fix_of(read, tmp_path, [{"score": score} for score in scores])
    assert fix.startswith(
        "scores are not between 0 and 1: a sigmoid or softmax was not applied, or they are in"
    )


def test_other_errors_are_not_taken_for_missing_sigmoids(tmp_path):
    fix = fix_of(read, tmp_path, [{"score": 2}, {"class_id": -1}, {"bbox": [1]}])
    assert fix.startswith("list all problems with")


@pytest.mark.parametrize(
    ("ids", "hint"),
    [
        (COCO_IDS, "class ids are in COCO's 91-id numbering; "),
        (range(1, 81), "class ids are one too high: they count from 1; "),
        (range(100), ""),
    ],
)
def test_class_ids_beyond_the_table_are_explained(ids, hint):
    assert hint_class_ids(np.array(ids), 80) == hint


@pytest.mark.parametrize(("start", "count", "name"), [(0, 80, "zero-based"), (1, 80, "one-based")])
def test_positions_as_category_ids_are_named(tmp_path, start, count, name):
    path = tmp_path / "results.json"
    rows = [
        {"image_id": 1, "category_id": i + start, "bbox": [1, 1, 2, 2], "score": 0.5} for i in range(count)
    ]
    path.write_text(json.dumps(rows))
    classes = {category: i for i, category in enumerate(COCO_IDS)}
    fix = fix_of(load_coco_results, path, {1: "a.jpg"}, classes)
    assert fix.startswith(f"category_id is the position of the class, from {start}: add --class-map {name}, ")


@pytest.mark.parametrize(
    ("keys", "hint"),
    [
        (["000007", "000012"], "image keys end differently: '000007' where the data set has '000007.jpg'; "),
        (["000007.png"], "image keys end differently: '000007.png'"),
        (["7", "12"], "image keys are numbers, not names of files; "),
        (["cat.jpg"], "check data set and split"),
    ],
)
def test_keys_that_do_not_join_are_explained(keys, hint):
    assert fix_of(join_keys, keys, ["000007.jpg", "000012.jpg"]).startswith(hint)


def test_sizes_that_differ_are_explained():
    known = np.array([[640, 480], [500, 375]])
    assert hint_sizes(known[:, ::-1], known).startswith("width and height of the image are swapped")
    assert hint_sizes(np.full((2, 2), 416), known) == "image_size is that of the network's input; "
    assert hint_sizes(known + 1, known) == ""
