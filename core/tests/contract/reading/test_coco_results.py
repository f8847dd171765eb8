from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from anydet.contract.reading.coco_results import load_coco_results
from anydet.errors import ContractError
from anydet.geometry.masks import bounds_xywh

KEYS = {42: "42.jpg", 7: "7.jpg", 9: "9.jpg"}
CLASSES = {1: 0, 18: 1}


def save(path: Path, results: Any) -> Path:
    path.write_text(json.dumps(results))
    return path


def tables(annotations: Path) -> tuple[dict[int, str], dict[int, int]]:
    data = json.loads(annotations.read_text())
    images = {image["id"]: image["file_name"] for image in data["images"]}
    return images, {category["id"]: i for i, category in enumerate(data["categories"])}


def test_rows_are_grouped_by_image_and_keep_their_bits(tmp_path: Path) -> None:
    results = [
        {"image_id": 7, "category_id": 18, "bbox": [0.1, 0.2, 0.3, 0.4], "score": -3.5},
        {"image_id": 42, "category_id": 1, "bbox": [1, 2, 3, 4], "score": 12.25, "id": 5},
        {"image_id": 7, "category_id": 1, "bbox": [5, 6, 7, 8], "score": 0.1 + 0.2},
    ]
    raw = load_coco_results(save(tmp_path / "r.json", results), KEYS, CLASSES)
    assert raw.images == ("42.jpg", "7.jpg")
    assert raw.image_index.tolist() == [0, 1, 1]
    assert raw.class_ids.tolist() == [0, 1, 0]
    assert raw.scores.tolist() == [12.25, -3.5, 0.1 + 0.2]
    columns = raw.columns()
    assert columns.boxes_xywh_px.tolist() == [[1, 2, 3, 4], [0.1, 0.2, 0.3, 0.4], [5, 6, 7, 8]]


def test_unknown_ids_are_named(tmp_path: Path) -> None:
    result = {"image_id": 7, "category_id": 1, "bbox": [1, 2, 3, 4], "score": 0.5}
    image = save(tmp_path / "r.json", [result, {**result, "image_id": 8}])
    with pytest.raises(ContractError, match=r"image_id that .* not have: 8 \(first at \[1\]\.image_id"):
        load_coco_results(image, KEYS, CLASSES)
    category = save(tmp_path / "s.json", [{**result, "category_id": 3}, {**result, "category_id": 2}])
    with pytest.raises(ContractError, match="category_id that the data set does not have: 2, 3"):
        load_coco_results(category, KEYS, CLASSES)


@pytest.mark.parametrize(
    ("change", "message"),
    [
        ({"score": "high"}, r"\[1\]: Expected `float`, got `str` - at `\$\.score`"),
        ({"bbox": [1, 2, 3]}, r"\[1\]: Expected `array` of length 4"),
        (
            {"segmentation": {"size": [2, 2], "counts": "0"}},
            r"\[1\]\.segmentation: counts decode to 0 pixels",
        ),
        ({"bbox": None}, r"\[1\]: Expected `array`, got `null`"),
        ({"keypoints": [1, 2, 3, 4]}, "4 numbers, where x, y and score of each belong"),
    ],
)
def test_results_that_are_none_are_named(change: dict[str, Any], message: str, tmp_path: Path) -> None:
    result = {"image_id": 7, "category_id": 1, "bbox": [1, 2, 3, 4], "score": 0.5}
    with pytest.raises(ContractError, match=message):
        load_coco_results(save(tmp_path / "r.json", [result, {**result, **change}]), KEYS, CLASSES)


def test_a_file_of_the_contract_is_no_results_file(tmp_path: Path) -> None:
    path = save(tmp_path / "p.json", {"predictions": []})
    with pytest.raises(ContractError, match="not a COCO results file"):
        load_coco_results(path, KEYS, CLASSES)


@pytest.mark.parametrize("kind", ["fakebbox100", "fakesegm100"])
def test_cocos_own_examples_are_read_exactly(kind: str, shared_data: Path) -> None:
    folder = shared_data / "coco_results" / "val2014_100"
    path = folder / f"instances_val2014_{kind}_results.json"
    images, classes = tables(folder / "instances_val2014_100.json")
    raw = load_coco_results(path, images, classes)
    ids = {key: image_id for image_id, key in images.items()}
    expected = sorted(json.loads(path.read_text()), key=lambda r: list(images).index(r["image_id"]))
    assert [ids[raw.images[i]] for i in raw.image_index] == [r["image_id"] for r in expected]
    assert raw.scores.tolist() == [r["score"] for r in expected]
    assert raw.class_ids.tolist() == [classes[r["category_id"]] for r in expected]
    if kind == "fakebbox100":
        assert raw.columns().boxes_xywh_px.tolist() == [r["bbox"] for r in expected]
    else:
        assert raw.masks is not None
        assert [m and m.counts for m in raw.masks] == [r["segmentation"]["counts"] for r in expected]
        assert raw.masks[0] is not None
        np.testing.assert_array_equal(raw.boxes[0], bounds_xywh(raw.masks[0]))


def test_keypoints_stay_in_pixels(shared_data: Path) -> None:
    folder = shared_data / "coco_results" / "keypoints"
    path = folder / "dt_dataset.json"
    images, classes = tables(folder / "gt_dataset.json")
    raw = load_coco_results(path, images, classes)
    expected = [r["keypoints"] for r in json.loads(path.read_text())]
    keypoints = raw.columns().keypoints
    assert keypoints is not None
    assert keypoints.reshape(len(raw), -1).tolist() == expected
