"""COCO results that name images otherwise than by id, in lists and lines: read or refused, never emptied."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from anydet.contract.checking.repair import repair
from anydet.contract.conversion.convert import convert
from anydet.contract.reading.load import load
from anydet.data.dataset.columns import no_labels
from anydet.errors import AnydetError, AnydetWarning, ContractError
from anydet.types import ClassTable, GroundTruthColumns

TRUTH = GroundTruthColumns(
    images=("a/7.jpg", "b/7.jpg", "b/3.jpg"),
    sizes_wh=np.full((3, 2), 32),
    image_index=np.zeros(0, np.int64),
    labels=no_labels(),
    classes=ClassTable(("cat", "dog"), (1, 2)),
    source="made here",
    image_ids=np.array([1, 2, 7]),
)
BOX = {"category_id": 2, "score": 0.5, "bbox": [1, 2, 3, 4]}


def images(path: Path) -> list[str]:
    return [*load(path, truth=lambda: TRUTH).images]


@pytest.mark.parametrize("key", ["file_name", "filename", "image_name", "image", "image_path", "img_path"])
@pytest.mark.filterwarnings("ignore::anydet.errors.AnydetWarning")
def test_an_image_may_be_named_by_its_file(key: str, tmp_path: Path) -> None:
    path, out = tmp_path / "r.json", tmp_path / "out.json"
    path.write_text(json.dumps([{key: "b/7.jpg", **BOX}, {key: "3.jpg", **BOX}]))
    assert images(path) == ["b/7.jpg", "b/3.jpg"]
    assert convert(path, tmp_path / "out.jsonl", truth=TRUTH).detections == 2
    repair(path, out, lambda: TRUTH)
    assert images(out) == ["b/7.jpg", "b/3.jpg"]


@pytest.mark.parametrize(
    ("named", "expected"),
    [("a/7", "a/7.jpg"), ("b/7", "b/7.jpg"), ("3", "b/3.jpg"), (7, "b/3.jpg"), (1, "a/7.jpg")],
)
@pytest.mark.filterwarnings("ignore::anydet.errors.AnydetWarning")
def test_a_name_without_its_suffix_is_a_name_and_a_number_an_id(
    named: str | int, expected: str, tmp_path: Path
) -> None:
    path = tmp_path / "r.json"
    path.write_text(json.dumps([{"image": named, **BOX}]))
    assert images(path) == [expected]


def test_names_of_files_and_ids_in_one_file_are_both_joined(tmp_path: Path) -> None:
    path = tmp_path / "r.json"
    path.write_text(json.dumps([{"image_id": one, **BOX} for one in (7, "a/7.jpg", 2, "3")]))
    with pytest.warns(AnydetWarning, match=r"in 2 results .* in 2 \(the first: \[1\]\.image_id: 'a/7.jpg'"):
        assert images(path) == ["a/7.jpg", "b/7.jpg", "b/3.jpg"]
    with pytest.warns(AnydetWarning):
        assert len(load(path, truth=lambda: TRUTH)) == 4
    # A name of no file, and an id of another data set.
    for other in ("9.jpg", 99):
        path.write_text(json.dumps([{"image_id": one, **BOX} for one in (7, other)]))
        with pytest.raises(ContractError, match=r"first at \[1\]\.image_id"):
            images(path)


def test_a_name_of_two_images_is_refused(tmp_path: Path) -> None:
    path = tmp_path / "r.json"
    path.write_text(json.dumps([{"file_name": "7.jpg", **BOX}]))
    with pytest.raises(ContractError, match="image_id that the data set does not have"):
        images(path)


@pytest.mark.parametrize("suffix", [".json", ".jsonl"])
def test_results_may_stand_in_lines(suffix: str, tmp_path: Path) -> None:
    path, out = tmp_path / f"r{suffix}", tmp_path / "out.json"
    rows = [{"image_id": 2, **BOX}, {"image_id": 7, **BOX, "category_id": 1, "model": "x"}]
    path.write_text("\n".join(map(json.dumps, rows)) + "\n")
    raw = load(path, truth=lambda: TRUTH)
    assert (raw.images, raw.class_ids.tolist()) == (("b/7.jpg", "b/3.jpg"), [1, 0])
    assert repair(path, out, lambda: TRUTH) == []
    assert json.loads(out.read_text()) == rows
    assert convert(path, tmp_path / "out.jsonl", truth=TRUTH).detections == 2
    with pytest.raises(ContractError, match="a COCO results file"):
        load(path)
    path.write_text(path.read_text() + json.dumps({**rows[1], "score": "x"}) + "\n")
    with pytest.raises(ContractError, match=r"\[2\]: Expected"):
        load(path, truth=lambda: TRUTH)
    assert len(repair(path, out, lambda: TRUTH)) == 1
    assert json.loads(out.read_text()) == rows


NOTHING = {
    "no.json": [[]],
    "kinds.json": [{"image": "a/7.jpg", "label": "cat", "bbox": [1, 2, 3, 4]}],
    "half.json": [{"image_id": 1, "category_id": 1, "score": 0.5, "keypoints": [1.0, 2.0] * 17}],
    "other.json": {"images": [], "annotations": [{"image_id": 1, "category_id": 1, "score": "x"}]},
    "labels.txt": "0 0.5 0.5 0.25 0.25\n",
}


@pytest.mark.parametrize("name", NOTHING)
def test_a_repair_that_would_keep_nothing_is_an_error_that_says_why(name: str, tmp_path: Path) -> None:
    value: Any = NOTHING[name]
    path, out = tmp_path / name, tmp_path / "out.json"
    path.write_text(value if isinstance(value, str) else json.dumps(value))
    with pytest.raises(AnydetError) as caught:
        repair(path, out, lambda: TRUTH)
    assert "nothing of it can be kept" in caught.value.problem
    assert caught.value.details
    assert not out.exists()


def test_a_file_that_holds_no_detections_is_repaired(tmp_path: Path) -> None:
    path, out = tmp_path / "p.json", tmp_path / "out.json"
    for value in ([], [{"image": "a/7.jpg", "detections": [], "odd": 1}]):
        path.write_text(json.dumps(value))
        repair(path, out)
        assert len(json.loads(out.read_text())) == len(value)
