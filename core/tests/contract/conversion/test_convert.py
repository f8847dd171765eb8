from __future__ import annotations

import json
import tempfile
from collections.abc import Callable, Mapping
from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from click.testing import CliRunner
from hypothesis import given, settings
from hypothesis import strategies as st

from anydet.cli import main
from anydet.contract.columns import read_images
from anydet.contract.conversion.convert import convert
from anydet.contract.conversion.losses import COUNTS, HOLDS, round_trip_table
from anydet.contract.encode import encode_entry
from anydet.contract.load import load
from anydet.contract.write import write_predictions
from anydet.data.columns import no_labels
from anydet.errors import AnydetError, ContractError, OptionError
from anydet.types import ClassTable, GroundTruthColumns, ImagePredictions

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


def counts(images: list[ImagePredictions]) -> dict[str, int]:
    return {name: sum(count(p) for p in images) for name, count in COUNTS.items()}


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
    assert done.lost == {"meta": 1}
    assert done.loss_lines() == ["a plain list cannot hold meta: 1 lost"]
    assert (
        json.loads(start.with_name("list.json").read_bytes()) == json.loads(start.read_bytes())["predictions"]
    )


@pytest.mark.parametrize(("kind", "name"), [("CSV", "out.csv"), ("COCO results", "out.json")])
def test_what_a_format_holds_comes_back_and_what_it_does_not_is_listed(
    kind: str, name: str, images: list[ImagePredictions], written: Callable[..., Path], tmp_path: Path
) -> None:
    truth = truth_of(images)
    there = tmp_path / name
    into = "coco" if kind == "COCO results" else None
    start = written("start.jsonl", images)
    done = convert(start, there, made_into=into, truth=truth)
    convert(there, tmp_path / "back.jsonl", truth=truth)
    back = {p.image: p for p in read_images(tmp_path / "back.jsonl")}
    before, after = counts(images), counts(list(back.values()))
    for field in COUNTS:
        if field in HOLDS[kind]:
            assert field not in done.lost
            assert after[field] == before[field] - (field == "image sizes") * (3 - len(back))
        else:
            assert done.lost[field] == before[field] > 0
            # a missing point among others comes back from COCO as one that is not labelled
            assert after[field] == int(field == "keypoint visibilities" and kind == "COCO results")
    assert done.lost["meta"] == 1
    for p in read_images(start):
        if len(p):
            np.testing.assert_allclose(back[p.image].boxes_xyxy_px, p.boxes_xyxy_px, rtol=1e-14)
            np.testing.assert_array_equal(back[p.image].scores, p.scores)
            np.testing.assert_array_equal(back[p.image].class_ids, p.class_ids)
            if kind == "COCO results" and p.masks:
                assert back[p.image].masks == p.masks
    assert load(tmp_path / "back.jsonl").classes == ("disc", "box")


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


rows = st.lists(st.tuples(st.integers(0, 3), st.floats(0, 1), *[st.floats(0, 1, width=32)] * 4), max_size=5)


@settings(max_examples=30, deadline=None)
@given(
    tables=st.dictionaries(
        st.text(st.characters(codec="utf-8", exclude_categories=["C", "Z"]), min_size=1),
        rows,
        min_size=1,
        max_size=4,
    ),
    shapes=st.lists(st.sampled_from(["json", "jsonl", "parquet", "csv"]), min_size=1, max_size=4),
)
def test_any_way_through_the_formats_keeps_boxes_scores_and_classes(
    tables: Mapping[str, list[tuple[float, ...]]], shapes: list[str]
) -> None:
    pytest.importorskip("pyarrow")
    before = []
    for image, table in tables.items():
        columns = np.array(table, np.float64).reshape(-1, 6)
        corners = columns[:, 2:4] * (300, 200)
        boxes = np.concatenate([corners, corners + columns[:, 4:] * (300, 200)], axis=1)
        before.append(
            ImagePredictions(image, (300, 200), boxes, columns[:, 1], columns[:, 0].astype(np.int64))
        )
    with tempfile.TemporaryDirectory() as folder:
        at = Path(folder) / "0.json"
        write_predictions(map(encode_entry, before), at)
        for i, shape in enumerate(shapes, start=1):
            done = convert(at, Path(folder) / f"{i}.{shape}")
            assert done.lost == {}
            at = Path(folder) / f"{i}.{shape}"
        convert(at, Path(folder) / "end.json")
        after = list(read_images(Path(folder) / "end.json"))
    for left, right in zip(before, after, strict=True):
        assert left.image == right.image
        np.testing.assert_array_equal(left.scores, right.scores)
        np.testing.assert_array_equal(left.class_ids, right.class_ids)
        np.testing.assert_allclose(left.boxes_xyxy_px, right.boxes_xyxy_px, rtol=1e-12, atol=1e-9)


@pytest.mark.parametrize(
    ("text", "message"),
    [
        ("image,score\n", "missing columns: class_id, x1, y1, x2, y2"),
        (
            "image,class_id,score,x1,y1,x2,y2\na.jpg,0,high,1,2,3,4\n",
            ":2: score: 'high' is not a finite number",
        ),
        (
            "image,class_id,score,x1,y1,x2,y2\na.jpg,0.5,1,1,2,3,4\n",
            ":2: class_id: '0.5' is not a whole number",
        ),
        ("image,class_id,score,x1,y1,x2,y2\n,0,1,1,2,3,4\n", ":2: image is empty"),
        ("image,class_id,score,x1,y1,x2,y2\na.jpg,0,1,1,2,3,4\n", "its size is needed"),
        ("image,class_id,score,x1,y1,x2,y2,width,height\na.jpg,0,1,5,2,3,4,9,9\n", "box has a negative size"),
    ],
)
def test_a_wrong_csv_is_refused_with_its_line(text: str, message: str, tmp_path: Path) -> None:
    path = tmp_path / "p.csv"
    path.write_text(text)
    with pytest.raises(ContractError) as caught:
        convert(path, tmp_path / "out.json")
    assert message in caught.value.problem
    assert not (tmp_path / "out.json").exists()


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


def test_the_command_lists_losses_on_stderr_and_prints_json(
    images: Any, written: Any, tmp_path: Path
) -> None:
    path = written("p.json", images)
    result = CliRunner().invoke(main, ["convert", str(path), str(tmp_path / "p.csv"), "--json"])
    assert result.exit_code == 0, result.output
    assert "CSV cannot hold masks: 1 lost" in result.stderr
    assert json.loads(result.stdout)["lost"]["masks"] == 1
    result = CliRunner().invoke(main, ["convert", str(tmp_path / "none.json"), str(tmp_path / "p.csv")])
    assert result.exit_code == 1
    assert "no such file" in result.stderr


def test_the_table_in_the_docs_is_the_one_that_the_code_prints() -> None:
    assert round_trip_table() in (DOCS / "reference" / "conversion.md").read_text("utf-8")
