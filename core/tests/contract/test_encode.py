from __future__ import annotations

import json
from collections.abc import Callable
from dataclasses import fields, replace
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st
from hypothesis.extra import numpy as hnp

from anydet.contract.columns import read_images, to_columns, to_images
from anydet.contract.encode import encode_entry
from anydet.contract.reading.load import load
from anydet.contract.schema import validator
from anydet.errors import ContractError
from anydet.geometry.boxes import clip_xyxy
from anydet.types import ImageColumns, ImagePredictions, Poses


def same(left: Any, right: Any) -> None:
    """Equal to the last bits of a division and a multiplication; NaN equals NaN."""
    if isinstance(left, np.ndarray):
        np.testing.assert_allclose(left, right, rtol=1e-14, atol=1e-14)
    elif isinstance(left, ImagePredictions | ImageColumns | Poses):
        for field in fields(left):
            same(getattr(left, field.name), getattr(right, field.name))
    else:
        assert left == right


NAMES = ["out.json", "out.jsonl", pytest.param("out.parquet", id="out.parquet")]


@pytest.mark.parametrize("name", NAMES)
def test_reading_gives_back_what_was_written(
    name: str, images: list[ImagePredictions], written: Callable[..., Path]
) -> None:
    if name.endswith(".parquet"):
        pytest.importorskip("pyarrow")
    for before, after in zip(images, read_images(written(name, images)), strict=True):
        same(before, after)


@pytest.mark.parametrize("name", NAMES)
def test_every_kind_of_file_gives_the_same_columns(
    name: str, images: list[ImagePredictions], written: Callable[..., Path]
) -> None:
    if name.endswith(".parquet"):
        pytest.importorskip("pyarrow")
    raw = load(written(name, images))
    assert raw.images == ("folder/bike 1.jpg", "empty.jpg", "b.jpg")
    assert raw.image_index.tolist() == [0, 0, 2]
    assert raw.sizes_wh.tolist() == [[40, 20], [8, 6], [10, 10]]
    assert raw.meta is not None
    assert raw.classes == ("disc", "box")
    assert raw.scores.tolist() == [0.1 + 0.2, 0.25, 0.5]
    columns, direct = raw.columns(), to_columns(images, ["disc", "box"])
    for field in fields(columns):
        same(getattr(columns, field.name), getattr(direct, field.name))


def test_columns_and_images_are_inverse(images: list[ImagePredictions]) -> None:
    for before, after in zip(images, to_images(to_columns(images)), strict=True):
        for name in ("image", "size_wh", "boxes_xyxy_px", "scores", "class_ids"):
            same(getattr(before, name), getattr(after, name))
        states = np.full(len(before), -1) if before.states is None else before.states
        same(states, after.states)
    assert list(to_images(to_columns([]))) == []


def test_a_full_entry_is_what_the_contract_says(full: ImagePredictions) -> None:
    entry = json.loads(encode_entry(full))
    assert validator("entry").is_valid(entry)
    first, second = entry["detections"]
    assert first["bbox"] == {"cx": 0.5, "cy": 0.5, "w": 1.0, "h": 1.0}
    assert first["keypoints"] == [
        {"x": 0.25, "y": 0.25, "score": 0.9, "v": 2},
        {"x": 0.0, "y": 0.0, "score": 0.0, "v": 0},
        {"x": 0.5, "y": 0.5},
    ]
    assert first["R"] == [[0, -1, 0], [1, 0, 0], [0, 0, 1]]
    assert set(second) == {"class_id", "score", "bbox"}
    assert b"\n" not in encode_entry(full)


def with_value(p: ImagePredictions, name: str, row: int, value: float) -> ImagePredictions:
    column = getattr(p, name).copy()
    column[row] = value
    return replace(p, **{name: column})


@pytest.mark.parametrize(
    ("name", "value", "message"),
    [
        ("scores", np.nan, "score is not in [0, 1]"),
        ("scores", 1.0000001, "score is not in [0, 1]"),
        ("boxes_xyxy_px", np.inf, "box is not finite"),
        ("boxes_xyxy_px", [5, 5, 4, 6], "box has a negative size"),
        ("class_ids", -1, "class id is negative"),
        ("state_scores", 2.0, "state score is not in [0, 1]"),
        ("keypoints", np.inf, "keypoint is infinite"),
    ],
)
def test_what_the_contract_refuses_is_not_written(
    name: str, value: Any, message: str, full: ImagePredictions
) -> None:
    with pytest.raises(ContractError) as caught:
        encode_entry(with_value(full, name, 1, value))
    assert f"folder/bike 1.jpg: detections[1]: {message}" in caught.value.problem


def test_infinity_in_poses_and_free_data_is_refused_with_its_path(full: ImagePredictions) -> None:
    with pytest.raises(ContractError, match=r"detections\.0\.log_z is not a finite number"):
        encode_entry(replace(full, poses=Poses(log_z=np.array([np.inf, 0]))))
    with pytest.raises(ContractError, match=r"extra\.a\.1 is not a finite number"):
        encode_entry(replace(full, extra={"a": [1, np.float32("nan")]}))
    with pytest.raises(ContractError, match="object has no JSON form"):
        encode_entry(replace(full, extra={"a": object()}))


def test_detections_without_an_image_size_are_refused_and_an_empty_image_is_not(
    full: ImagePredictions,
) -> None:
    with pytest.raises(ContractError, match="no image size"):
        encode_entry(replace(full, size_wh=(0, 0)))
    empty = ImagePredictions.empty("corrupt.jpg", (0, 0), extra={"error": "cannot be decoded"})
    assert json.loads(encode_entry(empty)) == {
        "image": "corrupt.jpg",
        "detections": [],
        "extra": {"error": "cannot be decoded"},
    }


def test_free_data_may_hold_numpy_values_paths_and_kinds_of_text(full: ImagePredictions) -> None:
    class Version(str):
        __slots__ = ()

    extra = {
        "a": np.int64(1),
        "b": np.array([0.5]),
        "c": Path("d"),
        "e": Version("2.4"),
        "f": (np.bool_(True),),
    }
    entry = json.loads(encode_entry(replace(full, extra=extra)))
    assert entry["extra"] == {"a": 1, "b": [0.5], "c": "d", "e": "2.4", "f": [True]}


sizes = st.tuples(st.integers(1, 5000), st.integers(1, 5000))


@given(size=sizes, boxes=hnp.arrays(np.float64, (5, 4), elements=st.floats(-6000, 6000)))
def test_clipped_boxes_stay_within_zero_and_one(size: tuple[int, int], boxes: Any) -> None:
    boxes = np.concatenate(
        [np.minimum(boxes[:, :2], boxes[:, 2:]), np.maximum(boxes[:, :2], boxes[:, 2:])], axis=1
    )
    boxes = clip_xyxy(boxes, size)
    boxes = boxes[(boxes[:, 2:] - boxes[:, :2] > 1e-9).all(axis=1)]
    n = len(boxes)
    entry = json.loads(encode_entry(ImagePredictions("a", size, boxes, np.ones(n), np.zeros(n, np.int64))))
    for detection in entry["detections"]:
        box = detection["bbox"]
        assert 0 <= box["cx"] <= 1
        assert 0 <= box["cy"] <= 1
        assert 0 < box["w"] <= 1
        assert 0 < box["h"] <= 1
