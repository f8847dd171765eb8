from __future__ import annotations

import json

import numpy as np
import pytest

from anydet.data.dataset.image_subset import take_images
from anydet.errors import EvaluationError
from anydet.evaluation.analysis.slices import read_slices, slice_metrics
from anydet.evaluation.coco import CocoEvaluator
from anydet.evaluation.pycocotools_engine import PycocotoolsEngine


def evaluator_of(detections, ground_truth, engine=None):
    evaluator = CocoEvaluator(ground_truth.classes, engine=engine or PycocotoolsEngine())
    evaluator.add(detections, ground_truth)
    return evaluator


def test_a_slice_has_the_bits_of_an_evaluation_of_its_images(columns, crowd, engine):
    detections, ground_truth = columns(crowd(12, 1))
    slices = {"day": np.array([0, 3, 4, 11]), "night": np.array([1, 3]), "all": np.arange(12)}
    named = {name: [ground_truth.images[i] for i in rows] for name, rows in slices.items()}
    found = slice_metrics(evaluator_of(detections, ground_truth, engine), named)
    for name, rows in slices.items():
        alone = evaluator_of(*take_images(detections, ground_truth, rows)).result()
        assert found.metrics[name] == alone.metrics
    assert found.images == {"day": 4, "night": 2, "all": 12}
    assert [row[:2] for row in found.table.rows] == [("day", 4), ("night", 2), ("all", 12)]


def test_an_image_that_was_not_evaluated_is_named(columns, crowd):
    with pytest.raises(EvaluationError, match=r"slice 'day' names image 'x.jpg', which is not among the 8"):
        slice_metrics(evaluator_of(*columns(crowd())), {"day": ["x.jpg"]})


@pytest.mark.parametrize(
    ("name", "text"),
    [
        ("s.json", json.dumps({"a.jpg": "day", "b.jpg": ["day", "wet"], "c.jpg": []})),
        ("s.csv", "image,slice,slice\na.jpg,day,\nb.jpg,day,wet\n"),
    ],
)
def test_names_are_read_from_json_and_csv(tmp_path, name, text):
    path = tmp_path / name
    path.write_text(text)
    assert read_slices(path) == {"day": ["a.jpg", "b.jpg"], "wet": ["b.jpg"]}


@pytest.mark.parametrize(
    ("name", "text"),
    [
        ("s.json", json.dumps({"a.jpg": {"time": "day", "camera": 2}, "b.jpg": {"time": "night"}})),
        ("s.csv", "\ufeffimage,time,camera\r\na.jpg,day,2\r\n\r\nb.jpg,night,\r\n"),
    ],
)
def test_attributes_are_read_from_json_and_csv(tmp_path, name, text):
    path = tmp_path / name
    path.write_bytes(text.encode())
    assert read_slices(path) == {"time=day": ["a.jpg"], "camera=2": ["a.jpg"], "time=night": ["b.jpg"]}


@pytest.mark.parametrize(
    ("name", "text", "problem"),
    [
        ("s.json", "[]", "the top level is not an object of images"),
        ("s.json", '{"a.jpg": 3}', "the slices of image 'a.jpg' are 3"),
        ("s.json", "{", "cannot be read as slices"),
        ("s.json", "{}", "names no slice"),
        ("s.csv", "", "no column beside the image"),
        ("s.csv", "image,slice\na.jpg\n", "line 2 has 1 cells, the header 2"),
    ],
)
def test_another_shape_is_named(tmp_path, name, text, problem):
    path = tmp_path / name
    path.write_text(text)
    with pytest.raises(EvaluationError, match=problem):
        read_slices(path)


def test_a_missing_file_is_named(tmp_path):
    with pytest.raises(EvaluationError, match=r"none\.json: cannot be read as slices"):
        read_slices(tmp_path / "none.json")
