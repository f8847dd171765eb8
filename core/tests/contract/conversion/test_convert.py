from __future__ import annotations

import json
from collections.abc import Callable
from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from anydet.contract.conversion.convert import convert
from anydet.contract.conversion.dropped_fields import round_trip_table
from anydet.data.dataset.columns import no_labels
from anydet.errors import AnydetError, ContractError, OptionError
from anydet.types import (
    ClassTable,
    GroundTruthColumns,
    ImageColumns,
    ImagePredictions,
    ObjectModel,
    Poses,
)

DOCS = Path(__file__).parents[4] / "docs"


def truth_of(images: list[ImagePredictions], names: tuple[str, ...] = ("disc", "box")) -> GroundTruthColumns:
    return GroundTruthColumns(
        images=tuple(p.image for p in images),
        sizes_wh=np.array([p.size_wh for p in images]),
        image_index=np.zeros(0, np.int64),
        labels=no_labels(),
        classes=ClassTable(names, tuple(7 * i + 3 for i in range(len(names)))),
        source="made here",
        image_ids=np.arange(len(images)) * 11 + 5,
    )


@pytest.mark.parametrize("between", ["a.json", "a.jsonl", "a.parquet"])
def test_a_way_through_the_contracts_shapes_ends_where_it_began(
    between: str, images: list[ImagePredictions], written: Callable[..., Path], tmp_path: Path
) -> None:
    if between.endswith(".parquet"):
        pytest.importorskip("pyarrow")
    start = written("start.json", images)
    there = convert(start, tmp_path / between, wrap=True)
    assert (there.images, there.detections, there.lost) == (3, 3, {})
    convert(tmp_path / between, tmp_path / "end.json", wrap=True)
    assert json.loads((tmp_path / "end.json").read_bytes()) == json.loads(start.read_bytes())


def test_a_plain_list_loses_only_meta(images: list[ImagePredictions], written: Callable[..., Path]) -> None:
    start = written("start.json", images)
    done = convert(start, start.with_name("list.json"))
    assert done.lost == {"meta": 3}
    assert done.loss_lines() == ["a plain list cannot hold meta: 3 lost"]
    assert (
        json.loads(start.with_name("list.json").read_bytes()) == json.loads(start.read_bytes())["predictions"]
    )


def test_cocos_ids_are_those_of_the_data_set(
    images: list[ImagePredictions], written: Any, tmp_path: Path
) -> None:
    out = tmp_path / "results.json"
    convert(written("p.json", images), out, made_into="coco", truth=truth_of(images, ("box", "disc")))
    results = json.loads(out.read_bytes())
    assert [(r["image_id"], r["category_id"]) for r in results] == [(5, 3), (5, 10), (27, 10)]
    assert results[0]["bbox"] == [0.0, 0.0, 40.0, 20.0]
    assert results[0]["keypoints"] == [10.0, 5.0, 0.9, 0, 0, 0, 20.0, 10.0, 1]


def test_absolute_boxes_and_stacked_rows_become_the_contracts_defaults(tmp_path: Path) -> None:
    detection = {"class_id": 0, "score": 0.5, "bbox": [2, 4, 6, 8], "rot6d": [0, -1, 0, 1, 0, 0]}
    entry = {"image": "a.jpg", "image_size": {"width": 20, "height": 40}, "detections": [detection]}
    meta = {"conventions": {"bbox_format": "xyxy_abs", "rot6d": "rows"}}
    path = tmp_path / "p.json"
    path.write_text(json.dumps({"schema_version": 1, "predictions": [entry], "meta": meta}))
    convert(path, tmp_path / "out.json", wrap=True)
    out = json.loads((tmp_path / "out.json").read_bytes())
    assert out["meta"]["conventions"] == {"bbox_format": "cxcywh_norm", "rot6d": "columns"}
    (row,) = out["predictions"][0]["detections"]
    assert row["bbox"] == {"cx": 0.2, "cy": 0.15, "w": 0.2, "h": 0.1}
    np.testing.assert_allclose(row["rot6d"], [0, 1, 0, -1, 0, 0], atol=1e-12)


@pytest.mark.parametrize(
    ("text", "message"),
    [
        ("image,score\n", "missing columns: class_id, x1, y1, x2, y2"),
        (
            "image,class_id,score,x1,y1,x2,y2\na.jpg,0,high,1,2,3,4\n",
            "line 2: score: 'high' is not a finite number",
        ),
        (
            "image,class_id,score,x1,y1,x2,y2\na.jpg,0.5,1,1,2,3,4\n",
            "line 2: class_id: '0.5' is not a whole number",
        ),
        ("image,class_id,score,x1,y1,x2,y2\n,0,1,1,2,3,4\n", "line 2: image is empty"),
        ("image,class_id,score,x1,y1,x2,y2\na.jpg,0,1,1,2,3,4\n", "its size is needed"),
        (
            "image,class_id,score,x1,y1,x2,y2,width,height\na.jpg,0,1,5,2,3,4,9,9\n",
            "line 2: box: [5.0, 2.0, 3.0, 4.0] has a negative",
        ),
    ],
)
def test_a_wrong_csv_is_refused_with_its_line(text: str, message: str, tmp_path: Path) -> None:
    path = tmp_path / "p.csv"
    path.write_text(text)
    with pytest.raises(ContractError) as caught:
        convert(path, tmp_path / "out.json")
    assert message in caught.value.problem
    assert not (tmp_path / "out.json").exists()


def test_columns_that_csv_does_not_know_become_extras_and_classes_join_by_name(tmp_path: Path) -> None:
    path = tmp_path / "p.csv"
    header = "image,class_id,class_name,score,x1,y1,x2,y2,width,height,track"
    path.write_text(f"{header}\na.jpg,0,box,0.5,1,2,3,4,9,9,t7\na.jpg,1,disc,0.5,1,2,3,4,9,9,\n")
    convert(path, tmp_path / "out.json", wrap=True)
    out = json.loads((tmp_path / "out.json").read_bytes())
    assert out["meta"]["classes"] == ["box", "disc"]
    truth = truth_of([ImagePredictions.empty("a.jpg", (9, 9))])  # disc is 0 there
    convert(path, tmp_path / "out.json", wrap=True, truth=truth)
    out = json.loads((tmp_path / "out.json").read_bytes())
    assert out["meta"]["classes"] == ["disc", "box"]
    assert [d["class_id"] for d in out["predictions"][0]["detections"]] == [1, 0]
    assert [d.get("extra") for d in out["predictions"][0]["detections"]] == [{"track": "t7"}, None]
    path.write_text(f"{header}\na.jpg,0,box,0.5,1,2,3,4,9,9,a,b\n")
    with pytest.raises(ContractError, match=":2: more cells than"):
        convert(path, tmp_path / "out.json")


def test_keys_that_coco_does_not_know_become_extras_of_their_own_detection(tmp_path: Path) -> None:
    truth = truth_of([ImagePredictions.empty(name, (9, 9)) for name in ("a.jpg", "b.jpg")])
    rows = [(16, 0.1, {"track": 1}), (5, 0.2, {}), (16, 0.3, {}), (5, 0.4, {"id": 9, "note": {"x": [1]}})]
    results = [
        {"image_id": i, "category_id": 3, "bbox": [1, 2, 3, 4], "score": score, **more}
        for i, score, more in rows
    ]
    (tmp_path / "r.json").write_text(json.dumps(results))
    convert(tmp_path / "r.json", tmp_path / "out.json", truth=truth)
    found = {
        d["score"]: d.get("extra")
        for entry in json.loads((tmp_path / "out.json").read_bytes())
        for d in entry["detections"]
    }
    assert found == {0.1: {"track": 1}, 0.2: None, 0.3: None, 0.4: {"id": 9, "note": {"x": [1]}}}
    done = convert(tmp_path / "r.json", tmp_path / "p.csv", truth=truth)
    assert done.lost["extras of detections"] == 2


def test_scores_beyond_one_are_refused_with_the_way_to_bring_them_in(tmp_path: Path) -> None:
    truth = truth_of([ImagePredictions.empty("a.jpg", (9, 9))])
    path = tmp_path / "r.json"
    path.write_text(json.dumps([{"image_id": 5, "category_id": 3, "bbox": [1, 2, 3, 4], "score": 4.42}]))
    for name in ("out.json", "out.csv"):
        with pytest.raises(ContractError, match=r"a\.jpg: score 4\.42 is beyond 0\.\.1") as caught:
            convert(path, tmp_path / name, truth=truth)
        assert "--repair" in caught.value.fix
        assert not (tmp_path / name).exists()
    unsized = replace(truth, sizes_wh=np.array([[-1, -1]]))
    path.write_text(json.dumps([{"image_id": 5, "category_id": 3, "bbox": [1, 2, 3, 4], "score": 0.42}]))
    with pytest.raises(ContractError, match="the file and the data set do not state it") as caught:
        convert(path, tmp_path / "out.json", truth=unsized)
    assert "--dataset" not in caught.value.fix


def test_label_files_of_yolo_are_written_and_read_again(
    images: list[ImagePredictions], written: Any, tmp_path: Path
) -> None:
    truth = truth_of(images)
    done = convert(written("p.json", images), tmp_path / "labels", made_into="yolo", truth=truth)
    assert done.lost["masks"] == 1
    assert sorted(p.name for p in (tmp_path / "labels").rglob("*.txt")) == [
        "b.txt",
        "bike 1.txt",
        "empty.txt",
    ]
    convert(tmp_path / "labels", tmp_path / "back.json", truth=truth)
    back = {e["image"]: e["detections"] for e in json.loads((tmp_path / "back.json").read_bytes())}
    for image in images:
        assert [d["score"] for d in back[image.image]] == image.scores.tolist()
        assert [d["class_id"] for d in back[image.image]] == image.class_ids.tolist()
    two = [ImagePredictions.empty(name, (9, 9)) for name in ("1.jpg", "1.png")]
    with pytest.raises(ContractError, match=r"1\.jpg and 1\.png would both be written as 1\.txt"):
        convert(written("p.json", two), tmp_path / "two", made_into="yolo", truth=truth_of(two))
    assert not (tmp_path / "two").exists()


def test_results_of_bop_are_written_and_read_again(written: Any, tmp_path: Path) -> None:
    key = "000001/rgb/000007.png"
    posed = ImagePredictions(
        key,
        (640, 480),
        np.array([[10.0, 10, 20, 20], [0, 0, 5, 5]]),
        np.array([0.1 + 0.2, 0.5]),
        np.array([1, 0]),
        poses=Poses(
            rotations=np.array([[[0.0, -1, 0], [1, 0, 0], [0, 0, 1]], [[np.nan] * 3] * 3]),
            translations_m=np.array([[0.1, 0.2, 1.5], [np.nan] * 3]),
        ),
    )
    model = ObjectModel("box", np.array([[0.0, 0, 0], [0.1, 0.1, 0.1]]), 0.2, np.eye(4)[None])
    truth = replace(
        truth_of([posed]),
        objects={0: model, 1: model},
        about=ImageColumns(cameras=np.array([[600.0, 600, 320, 240]])),
    )
    out = tmp_path / "m_lmo-test.csv"
    done = convert(written("p.json", [posed]), out, made_into="bop", truth=truth)
    assert done.lost["detections without R and t (left out)"] == 1
    assert done.lost["boxes"] == 2
    lines = out.read_text().splitlines()
    assert lines[0] == "scene_id,im_id,obj_id,score,R,t,time"
    assert lines[1].startswith(
        "1,7,10,0.30000000000000004,0.0 -1.0 0.0 1.0 0.0 0.0 0.0 0.0 1.0,100.0 200.0 1500.0,"
    )
    assert len(lines) == 2
    convert(out, tmp_path / "back.json", truth=truth)
    ((row,),) = [e["detections"] for e in json.loads((tmp_path / "back.json").read_bytes())]
    assert (row["class_id"], row["t"], row["R"]) == (1, [0.1, 0.2, 1.5], [[0, -1, 0], [1, 0, 0], [0, 0, 1]])


def test_coco_without_a_data_set_and_unknown_suffixes_are_refused(
    images: Any, written: Any, tmp_path: Path
) -> None:
    path = written("p.json", images)
    with pytest.raises(OptionError, match="--dataset"):
        convert(path, tmp_path / "r.json", made_into="coco")
    with pytest.raises(OptionError, match="predictions are written as"):
        convert(path, tmp_path / "r.xml")
    truth = replace(truth_of(images), image_ids=None)
    with pytest.raises(AnydetError, match="no image ids"):
        convert(path, tmp_path / "r.json", made_into="coco", truth=truth)
    with pytest.raises(ContractError, match="classes that the data set does not"):
        convert(path, tmp_path / "r.json", made_into="coco", truth=truth_of(images, ("cat",)))


def test_the_table_in_the_docs_is_the_one_that_the_code_prints() -> None:
    assert round_trip_table() in (DOCS / "reference" / "conversion.md").read_text("utf-8")
