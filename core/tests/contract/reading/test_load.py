from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from anydet.contract.reading.load import load
from anydet.errors import ContractError
from anydet.geometry.rotations import matrix_to_rot6d

BOX = {"cx": 0.5, "cy": 0.5, "w": 0.5, "h": 0.25}


def save(path: Path, document: Any) -> Path:
    path.write_text(document if isinstance(document, str) else json.dumps(document))
    return path


def entry(image: str, *detections: dict[str, Any], **fields: Any) -> dict[str, Any]:
    rows = [{"class_id": 0, "score": 0.5, "bbox": BOX, **d} for d in detections]
    return {"image": image, "image_size": {"width": 8, "height": 4}, "detections": rows, **fields}


def test_optional_columns_are_none_when_nobody_has_them(tmp_path: Path) -> None:
    raw = load(save(tmp_path / "p.json", [entry("a", {})]))
    for name in (
        "states",
        "state_scores",
        "masks",
        "keypoints",
        "keypoint_visibility",
        "poses",
        "meta",
        "classes",
    ):
        assert getattr(raw, name) is None


def test_a_column_that_some_have_is_filled_with_missing_values(tmp_path: Path) -> None:
    raw = load(
        save(
            tmp_path / "p.json",
            [entry("a", {}, {"state": 3, "state_scores": [0.5, 0.25]}), entry("b", {"log_z": 2})],
        )
    )
    assert raw.states is not None
    assert raw.states.tolist() == [-1, 3, -1]
    np.testing.assert_array_equal(raw.state_scores, [[np.nan] * 2, [0.5, 0.25], [np.nan] * 2])
    assert raw.poses is not None
    np.testing.assert_array_equal(raw.poses.log_z, [np.nan, np.nan, 2])
    assert raw.poses.rot6d is None


def test_keypoints_of_different_counts_are_padded(tmp_path: Path) -> None:
    two, one = [{"x": 0.5, "y": 0.5, "score": 1}, {"x": 0, "y": 0, "v": 0}], [{"x": 0, "y": 0, "v": 2}]
    raw = load(save(tmp_path / "p.json", [entry("a", {"keypoints": one}, {}, {"keypoints": two})]))
    nan = np.nan
    expected = [[[0, 0, nan], [nan] * 3], [[nan] * 3] * 2, [[0.5, 0.5, 1], [nan] * 3]]
    np.testing.assert_array_equal(raw.keypoints, expected)
    assert raw.keypoint_visibility is not None
    assert raw.keypoint_visibility.tolist() == [[2, -1], [-1, -1], [-1, 0]]
    np.testing.assert_array_equal(raw.columns().keypoints[2, 0], [4, 2, 1])


def test_rot6d_of_a_file_that_stacks_rows_becomes_columns(tmp_path: Path) -> None:
    rotation = np.linalg.qr(np.random.default_rng(0).normal(size=(3, 3)))[0]
    rotation *= np.linalg.det(rotation)
    predictions = [entry("a", {"rot6d": rotation[:2].ravel().tolist()}, {})]
    meta = {"conventions": {"rot6d": "rows"}}
    raw = load(save(tmp_path / "p.json", {"predictions": predictions, "meta": meta}))
    assert raw.poses is not None
    assert raw.poses.rot6d is not None
    np.testing.assert_allclose(raw.poses.rot6d[:1], matrix_to_rot6d(rotation[None]), atol=1e-12)
    assert np.isnan(raw.poses.rot6d[1]).all()


@pytest.mark.parametrize(
    ("box_format", "box", "expected"),
    [
        ("cxcywh_norm", [0.5, 0.5, 0.5, 0.25], [2, 1.5, 4, 1]),
        ("cxcywh_abs", [4, 2, 4, 1], [2, 1.5, 4, 1]),
        ("xywh_abs", [2, 1.5, 4, 1], [2, 1.5, 4, 1]),
        ("xyxy_abs", [2, 1.5, 6, 2.5], [2, 1.5, 4, 1]),
    ],
)
def test_boxes_of_every_format_become_pixels(
    box_format: str, box: list[float], expected: list[float], tmp_path: Path
) -> None:
    predictions = [entry("a", {"bbox": box})]
    raw = load(save(tmp_path / "p.json", predictions))
    assert raw.boxes.tolist() == [box]
    assert raw.columns(box_format).boxes_xywh_px.tolist() == [expected]
    assert raw.columns(box_format).areas.tolist() == [4]
    loaded = load(
        save(
            tmp_path / "q.json",
            {"predictions": predictions, "meta": {"conventions": {"bbox_format": box_format}}},
        )
    )
    assert loaded.columns().boxes_xywh_px.tolist() == [expected]


def test_a_size_that_nobody_knows_is_an_error_only_where_it_is_needed(tmp_path: Path) -> None:
    raw = load(save(tmp_path / "p.json", {"a.jpg": [], "b.jpg": [{"class_id": 0, "score": 1, "bbox": BOX}]}))
    with pytest.raises(ContractError, match=r"image b\.jpg: its size is needed"):
        raw.columns()
    assert len(raw.columns("xywh_abs")) == 1
    columns = raw.columns(sizes_wh=np.array([[-1, -1], [8, 4]]))
    assert columns.boxes_xywh_px.tolist() == [[2, 1.5, 4, 1]]


def test_boxes_that_make_no_sense_in_a_format_are_refused_with_their_place(tmp_path: Path) -> None:
    raw = load(
        save(
            tmp_path / "p.json", [entry("a"), entry("b.jpg", {"bbox": [3, 3, 4, 4]}, {"bbox": [5, 5, 4, 4]})]
        )
    )
    with pytest.raises(
        ContractError, match=r"\[1\]\.detections\[1\]\.bbox.*negative size as xyxy_abs.*b\.jpg"
    ):
        raw.columns("xyxy_abs")
    huge = load(save(tmp_path / "q.json", [entry("a", {"bbox": [1e308, 0, 1, 1]})]))
    with pytest.raises(ContractError, match="too large"):
        huge.columns()


def test_a_file_with_errors_lists_twenty_and_counts_the_rest(tmp_path: Path) -> None:
    path = save(tmp_path / "p.json", [entry(str(i), {"score": 2}) for i in range(25)])
    with pytest.raises(ContractError) as caught:
        load(path)
    assert str(caught.value).count("is above the maximum 1") == 20
    assert caught.value.details[-1] == "... and 5 more"
    assert len(caught.value.issues) == 25


BROKEN = {
    "missing": (None, "no such file"),
    "truncated": (b'[{"image": "a"', "ends in the middle of a value, at byte 15"),
    "comma": (b'[\n{"image": "a",}]', "trailing comma in object at line 2, byte 15"),
    "bom": (b"\xef\xbb\xbf[]", "byte order mark"),
    "utf-16": ("[]".encode("utf-16-le").join([b"\xff\xfe", b""]), "UTF-16"),
    "nul": (b"[]\0", "it holds zero bytes"),
    "deep": (b"[" * 100_000 + b"]" * 100_000, "nested too deeply"),
    "blank": (b" \n ", "the file is empty"),
    "string": (b'"a"', "where a list or an object belongs"),
    "null": (b"null", "null where a list or an object belongs"),
    "bad key": (b'{"\xff": []}', "not UTF-8 at byte 3, in line 1 (0xff)"),
}


@pytest.mark.parametrize(("content", "message"), BROKEN.values(), ids=BROKEN)
def test_files_that_are_no_json_are_refused_with_line_or_byte(
    content: bytes | None, message: str, tmp_path: Path
) -> None:
    path = tmp_path / "p.json"
    if content is not None:
        path.write_bytes(content)
    with pytest.raises(ContractError) as caught:
        load(path)
    assert caught.value.problem.startswith(f"{path}: ")
    assert message in caught.value.problem


@pytest.mark.parametrize(
    "extra", [b'"\xff"', b'{"a":' * 3000 + b"1" + b"}" * 3000], ids=["not UTF-8", "too deep"]
)
def test_an_entry_that_cannot_be_read_is_named_and_the_others_are_judged(
    extra: bytes, tmp_path: Path
) -> None:
    path = tmp_path / "p.jsonl"
    path.write_bytes(
        b'{"image":"a","detections":[],"extra":{"x":' + extra + b'}}\n{"image":"b","detections":5}\n'
    )
    with pytest.raises(ContractError) as caught:
        load(path)
    first, second = caught.value.issues
    assert first.startswith(f"{path}: line 1: ")
    assert "line 2: detections: 5 where a list belongs" in second


@pytest.mark.parametrize(
    "text", ["0", "true", "null", '"a"', "-1.5e3", "0\n", " 7 ", "[]", "tru", "1e999", '"a']
)
def test_one_line_that_is_no_object_is_said_so(text: str, tmp_path: Path) -> None:
    path = save(tmp_path / "p.jsonl", text)
    with pytest.raises(
        ContractError, match=r"p\.jsonl: line 1: (.* where an object belongs|not JSON|infinity is)"
    ):
        load(path)


def test_lines_in_a_file_named_json_are_lines(tmp_path: Path) -> None:
    path = save(tmp_path / "p.json", "\n".join(json.dumps(entry(name)) for name in "ab"))
    assert (load(path).shape, load(path).images) == ("jsonl", ("a", "b"))


def test_a_terminal_is_safe_from_image_names(tmp_path: Path) -> None:
    path = save(tmp_path / "p.json", [entry("\x1b[31m", {"score": 2})])
    with pytest.raises(ContractError) as caught:
        load(path)
    assert "\x1b" not in caught.value.problem


def test_one_bad_entry_of_many_is_explained_alone(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    from anydet.contract.reading import entries as module

    judged = []
    judge = module.judge

    def spy(place, *given):
        judged.append(place.number)
        return judge(place, *given)

    monkeypatch.setattr(module, "judge", spy)
    path = save(tmp_path / "p.json", [entry(str(i), {"score": 2 if i == 17 else 1}) for i in range(50)])
    with pytest.raises(ContractError):
        load(path)
    assert judged == [17]


def test_a_file_that_is_wrong_all_over_is_explained_in_part_and_counted(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("anydet.contract.reading.entries.EXPLAINED", 10)
    path = save(tmp_path / "p.json", [entry(str(i), {"score": 50}, {"score": 60}) for i in range(30)])
    with pytest.raises(ContractError) as caught:
        load(path)
    assert len(caught.value.issues) == 11
    assert caught.value.issues[-1] == f"{path}: 25 more entries were refused and not looked at further"
