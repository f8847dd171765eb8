from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from anydet.contract.reading.coco_results import load_coco_results
from anydet.errors import ContractError
from anydet.geometry.masks import bounds_xywh, encode

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
        ({"bbox": None}, r"\[1\]: Expected `array`, got `null`"),
    ],
)
def test_results_that_are_none_are_named(change: dict[str, Any], message: str, tmp_path: Path) -> None:
    result = {"image_id": 7, "category_id": 1, "bbox": [1, 2, 3, 4], "score": 0.5}
    with pytest.raises(ContractError, match=message):
        load_coco_results(save(tmp_path / "r.json", [result, {**result, **change}]), KEYS, CLASSES)


SIZES = {7: (4, 4)}
MASK = encode(np.pad(np.ones((2, 2), np.bool_), 1))


@pytest.mark.parametrize(
    ("segmentation", "counts"),
    [
        ([], None),
        ({"size": [4.0, 4.0], "counts": MASK.counts}, MASK.counts),
        ({"size": [4, 4], "counts": [5, 2, 2, 2, 5]}, MASK.counts),
        ([[1, 1, 3, 1, 3, 3, 1, 3]], MASK.counts),
        ([1, 1, 3, 1, 3, 3, 1, 3], MASK.counts),
    ],
)
def test_masks_are_read_in_all_of_cocos_forms(segmentation: Any, counts: str | None, tmp_path: Path) -> None:
    result = {"image_id": 7.0, "category_id": 1, "bbox": [1, 2, 3, 4], "score": 0.5}
    path = save(tmp_path / "r.json", [{**result, "segmentation": segmentation}])
    raw = load_coco_results(path, KEYS, CLASSES, sizes_wh=lambda: SIZES)
    assert raw.images == ("7.jpg",)
    assert (raw.masks[0].counts if raw.masks and raw.masks[0] else None) == counts
    assert raw.areas is not None
    assert raw.areas.tolist() == [12]  # of the box, as in COCO.loadRes


@pytest.mark.parametrize(
    ("segmentation", "message"),
    [
        ([[1, 1, 2, 2]], "a polygon of 4 numbers"),
        ([[1, 1, 3, 1, 3]], "a polygon of 5 numbers"),
        ({"size": [4, 4], "counts": [5, 2]}, "counts add up to 7 pixels where 4 x 4 = 16 belong"),
        ({"size": [4, 4], "counts": [5, -2, 13]}, "neither text nor whole numbers"),
        ({"size": [0, 4], "counts": "0"}, "is not a height and a width"),
        ({"size": [4, 4], "counts": "~"}, "characters that no run-length code has"),
    ],
)
def test_masks_that_are_none_are_left_out_and_named(segmentation: Any, message: str, tmp_path: Path) -> None:
    result = {"image_id": 7, "category_id": 1, "bbox": [1, 2, 3, 4], "score": 0.5}
    path = save(tmp_path / "r.json", [result, {**result, "segmentation": segmentation}])
    raw = load_coco_results(path, KEYS, CLASSES, sizes_wh=lambda: SIZES)
    assert raw.boxes.tolist() == [[1, 2, 3, 4]] * 2
    assert raw.masks is None
    (line,) = raw.oddities
    assert line.startswith("segmentations that are no mask: 1 of 2 (the first: [1].segmentation: ")
    assert message in line
    # Where nothing else says where the object is, no number would be right.
    plain = {key: value for key, value in result.items() if key != "bbox"}
    save(path, [result, {**plain, "segmentation": segmentation}])
    with pytest.raises(ContractError, match=rf"\[1\]\.segmentation: .*{message}"):
        load_coco_results(path, KEYS, CLASSES, sizes_wh=lambda: SIZES)


QUAD = [1.0, 0.5, 3.5, 1.0, 3.0, 3.5, 0.5, 3.0]


def oriented(tmp_path: Path, *shapes: dict[str, Any]) -> Any:
    """Results of image 7 with these in place of a box."""
    results = [{"image_id": 7, "category_id": 1, "score": 0.5, **shape} for shape in shapes]
    return load_coco_results(save(tmp_path / "r.json", results), KEYS, CLASSES, sizes_wh=lambda: SIZES)


@pytest.mark.parametrize("shape", [{"segmentation": [QUAD]}, {"poly": QUAD, "rbox": [2, 2, 3, 3, 0.1]}])
def test_oriented_boxes_are_polygons_of_four_corners_or_what_ultralytics_writes(
    shape: dict[str, Any], tmp_path: Path
) -> None:
    raw = oriented(tmp_path, shape, shape)
    assert raw.keypoints[:, :, :2].tolist() == [np.reshape(QUAD, (4, 2)).tolist()] * 2
    assert np.isnan(raw.keypoints[:, :, 2]).all()
    if "poly" in shape:
        assert raw.columns().boxes_xywh_px.tolist() == [[0.5, 0.5, 3.0, 3.0]] * 2


@pytest.mark.parametrize(
    "other",
    [
        {"segmentation": [QUAD[:6]]},
        {"segmentation": [QUAD, QUAD]},
        {"segmentation": [], "bbox": [1, 1, 2, 2]},
        {"poly": QUAD[:6], "bbox": [1, 1, 2, 2]},
        {"poly": "quad", "bbox": [1, 1, 2, 2]},
    ],
)
def test_polygons_of_four_corners_among_others_are_masks_alone(other: dict[str, Any], tmp_path: Path) -> None:
    assert oriented(tmp_path, {"segmentation": [QUAD]}, other).keypoints is None


@pytest.mark.parametrize(
    ("keypoints", "message"),
    [
        ([1, 2, 3, 4], "4 numbers, where x, y and score of each belong"),
        ([1, 2, "3"], '"3" is not a finite number'),
        ([1, float("nan"), 3], "NaN is not a finite number"),
        ({"x": 1}, "where a list belongs"),
    ],
)
def test_keypoints_that_are_none_are_left_out_and_named(keypoints: Any, message: str, tmp_path: Path) -> None:
    good = {"image_id": 7, "category_id": 1, "bbox": [1, 2, 3, 4], "score": 0.5, "keypoints": [1, 2, 0.5]}
    path = save(tmp_path / "r.json", [good, {**good, "keypoints": keypoints}, {**good, "keypoints": []}])
    raw = load_coco_results(path, KEYS, CLASSES)
    assert raw.keypoints is not None
    assert raw.keypoints[0].tolist() == [[1, 2, 0.5]]
    assert np.isnan(raw.keypoints[1:]).all()
    (line,) = raw.oddities
    assert line.startswith("keypoints that cannot be read: 1 of 3 (the first: [1].keypoints: ")
    assert message in line
    plain = {key: value for key, value in good.items() if key != "bbox"}
    with pytest.raises(ContractError, match=r"\[1\]\.keypoints: "):
        load_coco_results(save(path, [good, {**plain, "keypoints": keypoints}]), KEYS, CLASSES)


def test_nan_infinity_and_negative_sizes_are_named_with_their_number(tmp_path: Path) -> None:
    result = {"image_id": 7, "category_id": 1, "bbox": [1, 2, 3, 4], "score": 0.5}
    path = save(
        tmp_path / "r.json",
        [result, {**result, "score": float("nan")}, {**result, "bbox": [1, 2, float("inf"), 4]}],
    )
    with pytest.raises(ContractError) as caught:
        load_coco_results(path, KEYS, CLASSES)
    assert caught.value.issues == (
        f"{path}: [1].score: NaN is not a finite number",
        f"{path}: [2].bbox[2]: infinity is not a finite number",
    )
    assert "NaN or infinity stands in 2 of 3 results" in caught.value.fix
    assert "--repair" in caught.value.fix
    negative = {**result, "bbox": [5, 5, -1, 2]}
    path = save(tmp_path / "r.json", [result, negative, negative])
    with pytest.raises(ContractError, match=r"\[1\]\.bbox: .* negative size \(2 of 3 results\)") as caught:
        load_coco_results(path, KEYS, CLASSES)
    assert "--repair" in caught.value.fix


@pytest.mark.parametrize("keypoints", [[], None])
def test_a_result_of_empty_keypoints_alone_has_no_box_and_is_refused(keypoints: Any, tmp_path: Path) -> None:
    good = {"image_id": 7, "category_id": 1, "score": 0.5, "keypoints": [1, 2, 1]}
    path = save(tmp_path / "r.json", [good, {**good, "keypoints": keypoints}])
    with pytest.raises(ContractError, match="has no bbox, segmentation or keypoints"):
        load_coco_results(path, KEYS, CLASSES)


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
