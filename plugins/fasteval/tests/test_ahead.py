from __future__ import annotations

import json

import numpy as np
import pytest

from anydet.contract.reading.load import scan_predictions
from anydet.evaluation.run import evaluate_coco
from anydet.mask_columns import MaskColumn
from anydet.scanner import COCO_RESULTS, ScannedPredictions, Stop
from anydet.types import RLE
from anydet_fasteval.engine import FastEngine
from anydet_fasteval.scanner import CompiledScanner

RESULTS = [{"image_id": 1, "category_id": 2, "bbox": [1, 2, 3, 4], "score": 0.5}]
ENTRIES = [
    {
        "image": "a.jpg",
        "detections": [{"class_id": 0, "score": 0.5, "bbox": {"cx": 0.5, "cy": 0.5, "w": 0.1, "h": 0.1}}],
    }
]
IMAGE = {"id": 1, "file_name": "a.jpg", "width": 9, "height": 9}
ANNOTATION = {"id": 1, "image_id": 1, "category_id": 2, "bbox": [1, 2, 3, 4], "area": 12, "iscrowd": 0}
TRUTH = {"images": [IMAGE], "categories": [{"id": 2, "name": "x"}], "annotations": [ANNOTATION]}


def write(path, value):
    path.write_text(json.dumps(value))
    return path


def test_coco_results_read_ahead_are_those_that_are_read(tmp_path):
    path = write(tmp_path / "results.json", RESULTS)
    scanner = CompiledScanner().ahead(path)
    stop = scanner.predictions(path)
    assert isinstance(stop, Stop)
    assert stop.reason == COCO_RESULTS
    found, expected = scanner.coco_results(path), CompiledScanner().coco_results(path)
    for column in ("image_ids", "category_ids", "scores", "boxes"):
        np.testing.assert_array_equal(getattr(found, column), getattr(expected, column))
    assert scanner.coco_results(path) is not found, "it is handed out once and read again after that"


def test_predictions_read_ahead_are_those_that_are_read(tmp_path):
    path, other = write(tmp_path / "a.json", ENTRIES), write(tmp_path / "b.json", ENTRIES * 0)
    scanner = CompiledScanner().ahead(path)
    assert scan_predictions(other, scanner).images == ()
    assert scan_predictions(path, scanner).images == ("a.jpg",)
    assert isinstance(scanner.ahead(other).predictions(other), ScannedPredictions)


@pytest.mark.parametrize("content", [None, "", "[{]", '[{"image": 3}]'])
def test_what_cannot_be_read_raises_on_request(content, tmp_path):
    path = tmp_path / "broken.json"
    if content is not None:
        path.write_text(content)
    found, expected = CompiledScanner().ahead(path).predictions(path), CompiledScanner().predictions(path)
    assert isinstance(found, Stop)
    assert found == expected


def test_annotations_read_ahead_are_those_that_are_read(tmp_path):
    path, dataset = write(tmp_path / "results.json", RESULTS), write(tmp_path / "truth.json", TRUTH)
    scanner = CompiledScanner().ahead(path, dataset)
    found, expected = scanner.annotations(dataset), CompiledScanner().annotations(dataset)
    assert found.keys == expected.keys == ("a.jpg",)
    np.testing.assert_array_equal(found.boxes, expected.boxes)
    assert scanner.annotations(dataset) is not found, "it is handed out once and read again after that"
    assert isinstance(scanner.annotations(path), Stop)


def test_masks_are_looked_into_ahead(tmp_path):
    square = {"size": [2, 2], "counts": "04"}
    path = write(tmp_path / "results.json", [{**RESULTS[0], "segmentation": square}])
    scanner = CompiledScanner().ahead(path)
    masks = scanner.coco_results(path).masks
    facts, again = scanner.masks(masks), scanner.masks(masks)
    assert facts.whole.tolist() == again.whole.tolist() == [True]
    assert facts.areas.tolist() == again.areas.tolist() == [4]
    other = MaskColumn.of([RLE((2, 2), "22")])
    assert scanner.masks(other).areas.tolist() == [2]


def test_a_data_set_and_its_results_are_read_by_a_scanner_that_is_ahead(tmp_path):
    dataset, path = write(tmp_path / "truth.json", TRUTH), write(tmp_path / "results.json", RESULTS)
    assert evaluate_coco(dataset, path, engine=FastEngine()).metrics["AP"] == pytest.approx(1.0)
