from __future__ import annotations

import json
from contextlib import suppress
from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from anydet.contract.checking.repair import repair
from anydet.contract.checking.validate import validate
from anydet.contract.reading.load import load
from anydet.data.dataset.columns import no_labels
from anydet.errors import AnydetWarning, ContractError, OptionError
from anydet.types import ClassTable, GroundTruthColumns

EXAMPLES = Path(__file__).parents[4] / "schemas" / "examples"
UNREPAIRABLE = {
    "coco-results.json",
    "document-empty.json",
    "document-number.json",
    "document-trailing.json",
    "document-truncated.json",
    "lines-version-newer.jsonl",
    "predictions-object.json",
    "version-newer.json",
    "version-without-predictions.json",
}


def repaired(tmp_path: Path, document: Any) -> tuple[Any, list[str]]:
    path, out = tmp_path / "p.json", tmp_path / "out.json"
    path.write_text(json.dumps(document))
    before = path.read_bytes()
    changes = [line.removeprefix(f"{path}: ") for line in repair(path, out)]
    assert path.read_bytes() == before
    assert validate(out).ok
    return json.loads(out.read_text()), changes


def detection(**fields: Any) -> dict[str, Any]:
    return {"class_id": 0, "score": 0.5, "bbox": [0.5, 0.5, 0.5, 0.5], **fields}


def test_a_valid_file_is_copied_without_a_change(tmp_path: Path) -> None:
    document = [{"image": "a", "detections": [detection(bbox=[0.1, 0.5, 0.2, 1.0])]}]
    assert repaired(tmp_path, document) == (document, [])


def test_scores_and_boxes_are_clamped_and_each_change_is_reported(tmp_path: Path) -> None:
    rows = [detection(score=1.7), detection(score=-1), detection(bbox=[0.0, 0.5, 0.5, 0.5]), detection()]
    (entry,), changes = repaired(tmp_path, [{"image": "a", "detections": rows}])
    assert [d["score"] for d in entry["detections"]] == [1, 0, 0.5, 0.5]
    assert entry["detections"][2]["bbox"] == [0.125, 0.5, 0.25, 0.5]
    assert changes == [
        "[0].detections[0].score: 1.7 clamped to 1",
        "[0].detections[1].score: -1 clamped to 0",
        "[0].detections[2].bbox: [0.0, 0.5, 0.5, 0.5] clipped to [0.125, 0.5, 0.25, 0.5]",
    ]


@pytest.mark.parametrize(
    ("box_format", "box", "clipped"),
    [
        ("cxcywh_abs", [8, 2, 4, 2], [7, 2, 2, 2]),
        ("xywh_abs", [6, 1, 4, 2], [6, 1, 2, 2]),
        ("xyxy_abs", [6, 1, 10, 3], [6, 1, 8, 3]),
    ],
)
def test_boxes_in_pixels_are_clipped_in_their_own_format(
    box_format: str, box: Any, clipped: Any, tmp_path: Path
) -> None:
    entry = {"image": "a", "image_size": {"width": 8, "height": 4}, "detections": [detection(bbox=box)]}
    unknown = {"image": "b", "detections": [detection(bbox=box)]}
    document = {"predictions": [entry, unknown], "meta": {"conventions": {"bbox_format": box_format}}}
    result, _ = repaired(tmp_path, document)
    assert result["predictions"][0]["detections"][0]["bbox"] == clipped
    assert result["predictions"][1]["detections"][0]["bbox"] == box


def test_unknown_keys_move_to_extra_and_broken_fields_go(tmp_path: Path) -> None:
    row = detection(track=7, extra={"a": 1}, rot6d=[1, 2], log_z="far", mask={"size": [1, 1], "counts": "5"})
    (entry,), changes = repaired(tmp_path, [{"image": "a", "detections": [row], "sizes": 3}])
    assert entry == {
        "image": "a",
        "detections": [detection(extra={"track": 7, "a": 1})],
        "extra": {"sizes": 3},
    }
    assert sorted(changes) == [
        '[0].detections[0].log_z: field log_z dropped: "far" where a number belongs',
        "[0].detections[0].mask: mask dropped: counts decode to 5 pixels where 1 x 1 = 1 belong",
        "[0].detections[0].rot6d: field rot6d dropped: 2 items where 6 belong",
        "[0].detections[0].track: unknown key moved to extra",
        "[0].sizes: unknown key moved to extra",
    ]


def test_what_cannot_be_kept_is_dropped_and_reported(tmp_path: Path) -> None:
    rows = [
        detection(score=float("nan")),
        detection(class_id="0"),
        detection(bbox=[2, 2, 0.1, 0.1]),
        5,
        detection(),
    ]
    entries = [{"image": "a", "detections": rows}, {"image": "a", "detections": []}, {"detections": []}, "b"]
    meta = {"adapter": "toy", "images": -1, "tta": {"enabled": "no", "seed": 1}, "notes": 1}
    result, changes = repaired(tmp_path, {"predictions": entries, "meta": meta, "notes": 1})
    assert result == {
        "schema_version": 1,
        "predictions": [{"image": "a", "detections": [detection()]}],
        "meta": {"adapter": "toy", "tta": {"seed": 1}},
    }
    assert changes == [
        "notes: unknown key; known: schema_version, predictions, meta (left out)",
        "meta.notes: dropped: unknown key; free data may go into 'extra'",
        "meta.images: dropped: -1 is below the minimum 0",
        'meta.tta.enabled: dropped: "no" where true or false belongs',
        "predictions[0].detections[0]: detection dropped: score: NaN is not a finite number",
        'predictions[0].detections[1]: detection dropped: class_id: "0" where an integer belongs',
        "predictions[0].detections[2]: detection dropped: its box is outside the image",
        "predictions[0].detections[3]: detection dropped: 5 where an object belongs",
        "predictions[1]: entry dropped: a second one for image a",
        "predictions[2]: entry dropped: no image key",
        "predictions[3]: entry dropped: no image key",
    ]


@pytest.mark.parametrize("path", sorted((EXAMPLES / "invalid").iterdir()), ids=lambda p: p.name)
def test_every_invalid_example_comes_out_valid_or_is_refused(path: Path, tmp_path: Path) -> None:
    out = tmp_path / f"out{path.suffix}"
    if path.name in UNREPAIRABLE:
        with pytest.raises(ContractError):
            repair(path, out)
        assert not out.exists()
        return
    try:
        changes = repair(path, out)
    except ContractError as exc:
        changes = [exc.problem]
    if not out.exists():
        assert "nothing of it can be kept" in changes[0]
        assert validate(path).detections == 0
        return
    assert changes
    assert validate(out).errors == ()


@pytest.mark.parametrize("suffix", [".json", ".jsonl"])
def test_an_entry_whose_key_is_no_text_is_dropped(suffix: str, tmp_path: Path) -> None:
    path, out = tmp_path / f"in{suffix}", tmp_path / "out.json"
    entry, good = '{"image":"\\ud800","detections":[]}', '{"image": "a", "detections": []}'
    path.write_text(f"[{entry}, {good}]" if suffix == ".json" else f"{entry}\n{good}\n")
    assert repair(path, out)[-1].endswith("entry dropped: its image key is no text")
    assert json.loads(out.read_text()) == [json.loads(good)]


def test_a_file_is_never_repaired_in_place(tmp_path: Path) -> None:
    path = tmp_path / "p.json"
    path.write_text("[]")
    with pytest.raises(OptionError, match="is the file to repair"):
        repair(path, path)


values = st.recursive(
    st.one_of(st.none(), st.booleans(), st.integers(-2, 3), st.floats(), st.text(max_size=2)),
    lambda inner: st.one_of(
        st.lists(inner, max_size=4), st.dictionaries(st.text(max_size=2), inner, max_size=3)
    ),
    max_leaves=6,
)
names = ["class_id", "score", "bbox", "state", "mask", "keypoints", "R", "t", "log_z", "extra", "odd"]
garbled = st.dictionaries(st.sampled_from(names), values).map(lambda fields: detection(**fields))


@pytest.mark.slow
@settings(max_examples=150, deadline=None, suppress_health_check=[HealthCheck.function_scoped_fixture])
@given(
    rows=st.lists(
        st.dictionaries(st.sampled_from(names), values).map(lambda d: {**detection(), **d}), max_size=3
    )
)
def test_whatever_is_in_an_entry_the_repaired_file_is_valid(rows: Any, tmp_path: Path) -> None:
    intact = {"image": "b", "detections": []}  # a repair that leaves nothing is an error
    repaired(tmp_path, {"predictions": [{"image": "a", "detections": rows}, intact], "meta": {}})


def truth_of_coco() -> GroundTruthColumns:
    return GroundTruthColumns(
        images=("a.jpg", "b.jpg"),
        sizes_wh=np.array([(8, 8), (8, 8)]),
        image_index=np.zeros(0, np.int64),
        labels=no_labels(),
        classes=ClassTable(("cat", "dog"), (1, 7)),
        source="made here",
        image_ids=np.array([5, 6]),
    )


WRONG: list[tuple[dict[str, Any], str]] = [
    ({"score": float("nan")}, "dropped: score: NaN is not a finite number"),
    ({"bbox": [1, 2, float("inf"), 4]}, "dropped: bbox[2]: infinity is not a finite number"),
    ({"bbox": [1, 2, -3, 4]}, "dropped: bbox: [1, 2, -3, 4] has a negative size"),
    ({"bbox": [1, 2, 3]}, "dropped: Expected `array` of length 4"),
    ({"category_id": 2}, "dropped: category_id: 2 is not in the data set"),
    ({"image_id": 9}, "dropped: image_id: 9 is not in the data set"),
    ({"image_id": 5.5}, "dropped: image_id: 5.5 is not in the data set"),
    ({"score": None}, "dropped: Expected `float`, got `null`"),
]
MENDED: list[tuple[dict[str, Any], dict[str, Any], str]] = [
    ({"score": "0.25"}, {"score": 0.25}, '.score: "0.25" read as a number'),
    ({"bbox": ["1", "2.5", 3, 4]}, {"bbox": [1, 2.5, 3, 4]}, '.bbox: ["1", "2.5", 3, 4] read as numbers'),
    ({"image_id": 5.0}, {"image_id": 5}, ".image_id: 5.0 written as 5"),
    ({"keypoints": [1, 2]}, {}, ".keypoints: left out: 2 numbers, where x, y and score of each belong"),
    ({"segmentation": [[1, 1, 2, 2]]}, {}, ".segmentation: left out: a polygon of 4 numbers"),
]  # fmt: skip


def test_what_is_left_of_coco_results_is_written_and_every_change_listed(tmp_path: Path) -> None:
    good = {"image_id": 5, "category_id": 7, "bbox": [1, 2, 3, 4], "score": 0.5, "segmentation": [], "id": 3}
    rows = [
        good,
        *({**good, **change} for change, _ in WRONG),
        *({**good, **change} for change, _, _ in MENDED),
    ]
    path, out = tmp_path / "r.json", tmp_path / "out.json"
    path.write_text(json.dumps(rows))
    with pytest.raises(ContractError):
        load(path, truth=truth_of_coco)
    changes = repair(path, out, truth_of_coco)
    texts = [text for _, text in WRONG] + [text for _, _, text in MENDED]
    assert len(changes) == len(texts)
    for i, (line, text) in enumerate(zip(changes, texts, strict=True), 1):
        assert line.startswith(f"{path}: [{i}]")
        assert text in line
    left = json.loads(out.read_text())
    plain = {key: value for key, value in good.items() if key != "segmentation"}
    assert left[0] == good
    assert left[1:-1] == [{**good, **mended} for _, mended, _ in MENDED[:-1]]
    assert left[-1] == plain
    assert len(load(out, truth=truth_of_coco)) == 6
    with pytest.raises(OptionError, match=r"is written as \.json"):
        repair(path, tmp_path / "out.jsonl", truth_of_coco)


@pytest.mark.parametrize(
    "instead", [{}, {"segmentation": []}, {"keypoints": []}, {"segmentation": [], "keypoints": []}]
)
def test_a_result_without_place_is_counted_and_dropped(instead: dict[str, Any], tmp_path: Path) -> None:
    good = {"image_id": 5, "category_id": 7, "bbox": [1, 2, 3, 4], "score": 0.5}
    bare = {key: value for key, value in good.items() if key != "bbox"} | instead
    path, out = tmp_path / "r.json", tmp_path / "out.json"
    path.write_text(json.dumps([good, bare, bare]))
    with pytest.raises(ContractError, match=r"\[1\]: it has no bbox, .* \(2 of 3 results\)") as caught:
        load(path, truth=truth_of_coco)
    assert "--repair" in caught.value.fix
    dropped = [line for line in repair(path, out, truth_of_coco) if "dropped: it has no bbox" in line]
    assert len(dropped) == 2
    assert len(load(out, truth=truth_of_coco)) == 1


@pytest.mark.parametrize("ids", [(0, 1), (0, 1, 2), (2, 8)])
def test_results_whose_numbering_looks_shifted_are_not_repaired_by_dropping(
    tmp_path: Path, ids: tuple[int, ...]
) -> None:
    known = replace(truth_of_coco(), classes=ClassTable(("cat", "dog", "cow"), (1, 7, 3)))
    rows = [{"image_id": 5, "category_id": one, "bbox": [1, 2, 3, 4], "score": 0.5} for one in ids]
    path, out = tmp_path / "r.json", tmp_path / "out.json"
    path.write_text(json.dumps(rows))
    with pytest.raises(ContractError, match=r"does not have: .*") as caught:
        repair(path, out, lambda: known)
    assert "--class-map" in caught.value.fix
    assert not out.exists()
    if 0 in ids:
        repair(path, out, lambda: known, "zero-based")
        assert load(out, truth=lambda: known).class_ids.tolist() == list(ids)


def test_names_of_classes_stay_when_results_are_repaired(tmp_path: Path) -> None:
    good = {"image_id": 5, "bbox": [1, 2, 3, 4], "score": 0.5}
    path, out = tmp_path / "r.json", tmp_path / "out.json"
    path.write_text(json.dumps([{**good, "category_id": one} for one in ("dog", "cat", "cow")]))
    (change,) = repair(path, out, truth_of_coco)
    assert change.endswith("[2]: dropped: category_id: cow is not in the data set")
    with pytest.warns(AnydetWarning, match="category_id holds names of classes"):
        assert load(out, truth=truth_of_coco).class_ids.tolist() == [1, 0]


def test_category_ids_that_are_names_are_repaired_as_the_data_set_has_them(tmp_path: Path) -> None:
    known = replace(truth_of_coco(), classes=ClassTable(("cat", "dog"), source_names=("1", "dog")))
    good = {"image_id": 5, "bbox": [1, 2, 3, 4], "score": 0.5}
    path, out = tmp_path / "r.json", tmp_path / "out.json"
    path.write_text(json.dumps([{**good, "category_id": one} for one in ("1", 1, "dog", "cow", 7, None)]))
    changes = [line.removeprefix(f"{path}: ") for line in repair(path, out, lambda: known)]
    assert [line[:28] for line in changes] == [
        "[1].category_id: 1 written as"[:28],
        "[3]: dropped: category_id: cow"[:28],
        "[4]: dropped: category_id: 7"[:28],
        "[5]: dropped: Expected `int |"[:28],
    ]
    assert load(out, truth=lambda: known).class_ids.tolist() == [0, 0, 1]


SCORES = [
    ([4.42, -1.0, 0.3], "logits"),
    ([99.0, 12.5, 0.5], "percent"),
    ([0.2, 0.1, 1.0], ""),
    ([1.0005, 1.0001], "clamped"),
]


@pytest.mark.parametrize("form", ["coco", "document", "contract", "csv"])
def test_a_few_scores_beyond_one_are_clamped_and_the_others_stay(form: str, tmp_path: Path) -> None:
    scores = [0.25, 4.42, 0.75, -0.5]
    results = [{"image_id": 5, "category_id": 7, "bbox": [1, 2, 3, 4], "score": score} for score in scores]
    rows = [{"class_id": 0, "bbox": [0.5, 0.5, 0.1, 0.1], "score": score} for score in scores]
    document = {"images": [{"id": 5, "file_name": "a.jpg"}], "categories": [{"id": 7, "name": "dog"}]}
    path = tmp_path / ("p.csv" if form == "csv" else "p.json")
    path.write_text(
        "image,class,score,x1,y1,x2,y2\n" + "".join(f"a.jpg,1,{score},1,2,3,4\n" for score in scores)
        if form == "csv"
        else json.dumps(
            {
                "coco": results,
                "document": {**document, "annotations": results},
                "contract": [{"image": "a.jpg", "detections": rows}],
            }[form]
        )
    )
    changes = repair(path, tmp_path / "out.json", truth_of_coco)
    assert load(tmp_path / "out.json", truth=truth_of_coco).scores.tolist() == [0.25, 1, 0.75, 0]
    assert all("clamped to" in line for line in changes)
    if form != "contract":  # which has a line for each
        assert "2 scores of 4 beyond 0..1, the first 4.42 at " in changes[0]


@pytest.mark.parametrize(("scores", "word"), SCORES)
def test_scores_of_the_contracts_own_files_are_brought_into_the_range_alike(
    scores: list[float], word: str, tmp_path: Path
) -> None:
    rows = [{"class_id": 0, "bbox": [0.5, 0.5, 0.1, 0.1], "score": score} for score in scores]
    path = tmp_path / "p.jsonl"
    path.write_text(json.dumps({"image": "a.jpg", "detections": rows}) + "\nnothing\n")
    out = tmp_path / "out.jsonl"
    changes = repair(path, out)
    found = load(out).scores.tolist()
    assert found == [1, 1] if word == "clamped" else np.argsort(found).tolist() == np.argsort(scores).tolist()
    lines = [line for line in changes if "entry dropped" not in line]
    assert [word in line for line in lines] == [True] * len(lines)
    assert bool(lines) == bool(word)
    assert len(changes) == len(lines) + 1


@pytest.mark.parametrize(("scores", "word"), SCORES[:3])
def test_scores_of_coco_results_beyond_one_keep_their_order(
    scores: list[float], word: str, tmp_path: Path
) -> None:
    rows = [{"image_id": 5, "category_id": 7, "bbox": [1, 2, 3, 4], "score": score} for score in scores]
    path, out = tmp_path / "r.json", tmp_path / "out.json"
    path.write_text(json.dumps(rows))
    changes = repair(path, out, truth_of_coco)
    found = [row["score"] for row in json.loads(out.read_text())]
    assert np.argsort(found).tolist() == np.argsort(scores).tolist()
    assert all(0 <= score <= 1 for score in found)
    assert [word in line for line in changes] == ([True] if word else [])


def test_a_coco_document_and_other_tools_files_are_repaired(tmp_path: Path) -> None:
    annotation = {"image_id": "x", "category_id": 1, "bbox": [1, 2, 3, 4], "score": 0.5}
    document = {
        "images": [{"id": "x", "file_name": "a.jpg", "width": 8, "height": 8}],
        "categories": [{"id": 1, "name": "dog"}],
        "annotations": [annotation, {**annotation, "score": float("nan")}, {**annotation, "image_id": "y"}],
    }
    path, out = tmp_path / "d.json", tmp_path / "out.json"
    path.write_text(json.dumps(document))
    changes = repair(path, out, truth_of_coco)
    assert [line.removeprefix(f"{path}: ").partition(":")[0] for line in changes] == [
        "annotations[1]",
        "annotations[2]",
    ]
    assert json.loads(out.read_text()) == {**document, "annotations": [annotation]}
    assert len(load(out, truth=truth_of_coco)) == 1
    table = tmp_path / "p.csv"
    table.write_text("image,label,conf,x1,y1,x2,y2\na.jpg,dog,0.5,1,2,3,4\na.jpg,dog,4.42,1,2,3,4\n")
    assert repair(table, out, truth_of_coco) == [
        f"{table}: 1 score of 2 beyond 0..1, the first 4.42 at image a.jpg: clamped to 0 or 1; the others "
        "stay"
    ]
    assert validate(out).ok
    assert load(out).scores.tolist() == [0.5, 1.0]


@pytest.mark.slow
@pytest.mark.filterwarnings("ignore::anydet.errors.AnydetWarning")
@given(
    st.sampled_from(["image_id", "category_id", "bbox", "score", "segmentation", "keypoints", "area"]),
    st.recursive(
        st.none() | st.booleans() | st.integers() | st.floats() | st.text(max_size=4),
        lambda inner: (
            st.lists(inner, max_size=7) | st.dictionaries(st.sampled_from(["size", "counts", "x"]), inner)
        ),
        max_leaves=8,
    ),
)
@settings(max_examples=60, suppress_health_check=[HealthCheck.function_scoped_fixture])
def test_a_result_broken_in_any_field_is_read_or_refused_and_its_repair_is_read(
    tmp_path: Path, field: str, value: Any
) -> None:
    good = {"image_id": 5, "category_id": 7, "bbox": [1, 2, 3, 4], "score": 0.5}
    path, out = tmp_path / "r.json", tmp_path / "out.json"
    path.write_text(json.dumps([good, {**good, field: value}]))
    with suppress(ContractError):
        assert len(load(path, truth=truth_of_coco)) in {1, 2}
    repair(path, out, truth_of_coco)
    assert len(load(out, truth=truth_of_coco)) >= 1


@pytest.mark.parametrize("encoding", ["utf-8-sig", "utf-16", "utf-32", "latin-1"])
def test_text_in_another_encoding_is_written_as_utf_8_and_nothing_is_lost(
    encoding: str, tmp_path: Path
) -> None:
    path, out = tmp_path / "p.json", tmp_path / "out.json"
    entries = [{"image": name, "detections": [detection()]} for name in ("\u00e4.jpg", "b.jpg")]
    path.write_text(json.dumps(entries, ensure_ascii=False), encoding=encoding)
    (line,) = repair(path, out)
    assert line.startswith(f"{path}: written as UTF-8: ")
    assert json.loads(out.read_bytes()) == entries
    row = {"image_id": 5, "category_id": 7, "score": 0.5, "bbox": [1, 2, 3, 4], "note": "\u00e4"}
    path.write_text(json.dumps([row, row], ensure_ascii=False), encoding=encoding)
    (line,) = repair(path, out, truth_of_coco)
    assert line.startswith(f"{path}: written as UTF-8: ")
    assert json.loads(out.read_bytes()) == [row, row]


def test_bytes_that_are_no_text_are_not_said_to_be_repaired_by_a_repair(tmp_path: Path) -> None:
    path = tmp_path / "p.csv"
    path.write_bytes(b"image,class\0\1\2\xff")
    with pytest.raises(ContractError, match="or no text") as caught:
        repair(path, tmp_path / "out.json", truth_of_coco)
    assert "--repair" not in caught.value.fix


def test_a_folder_whose_lines_begin_with_names_is_said_to_hold_no_labels(tmp_path: Path) -> None:
    """What Cartucho's mAP reads: class, confidence, left, top, right, bottom."""
    (tmp_path / "detection-results").mkdir()
    (tmp_path / "detection-results" / "a.txt").write_text("cat 0.5 1 2 3 4\n")
    with pytest.raises(ContractError, match=r"1 text file without a line of numbers .*a\.txt") as caught:
        repair(tmp_path / "detection-results", tmp_path / "out.json", truth_of_coco)
    assert "label files with confidences" in caught.value.fix
