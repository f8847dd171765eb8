"""Protocols of fixed conditions: what a file's meta is held against, and what is let pass."""

from __future__ import annotations

from pathlib import Path

import pytest

from anydet.errors import OptionError
from anydet.evaluation.protocol import CocoSettings
from anydet.suite.protocol import CONDITIONS, Protocol

META = {
    "dataset": {"root": "data", "split": "val", "fingerprint": "sha256:00"},
    "export_settings": {
        "image_size": [640, 640],
        "score_threshold": 0.001,
        "max_detections": 300,
        "nms_iou": None,
        "preprocess": {"resize": "letterbox", "channels": "rgb", "mean": [0.0, 0.0, 0.0]},
    },
    "tta": {"enabled": False},
    "ttt": {"enabled": False, "method": "none"},
}
KEPT = {
    "image_size": 640,
    "score_threshold": 0.001,
    "nms_iou": None,
    "max_detections": 300,
    "preprocess": {"resize": "letterbox", "mean": [0, 0, 0]},
    "tta": False,
    "ttt": "none",
    "fingerprint": "sha256:00",
}
BROKEN = {
    "image_size": [640, 512],
    "score_threshold": 0.01,
    "nms_iou": 0.7,
    "max_detections": 100,
    "preprocess": {"resize": "stretch"},
    "tta": True,
    "ttt": "tent",
    "fingerprint": "sha256:01",
}
FILE = Path("models/a.json")


@pytest.fixture
def protocol(tmp_path):
    def read(text, *allow):
        path = tmp_path / "p.yaml"
        path.write_text(text)
        return Protocol.read(path, allow)

    return read


def test_every_condition_is_met_by_equal_values_and_broken_by_others():
    assert set(KEPT) == set(BROKEN) == set(CONDITIONS)
    assert Protocol("p", KEPT).mismatches(FILE, META) == ()
    for key, value in BROKEN.items():
        (miss,) = Protocol("p", {**KEPT, key: value}).mismatches(FILE, META)
        assert miss.condition.partition(".")[0] == key
        assert not miss.allowed


def test_a_file_that_says_nothing_keeps_no_condition():
    misses = Protocol("p", KEPT).mismatches(FILE, {})
    assert [miss.condition for miss in misses] == [*KEPT]
    assert {miss.stated for miss in misses} == {"not stated"}


def test_a_condition_without_a_value_is_not_stated_but_no_suppression_is_a_choice():
    meta = {"export_settings": {"image_size": None, "nms_iou": None}}
    wanted = {"image_size": 640, "nms_iou": 0.5}
    assert [miss.stated for miss in Protocol("p", wanted).mismatches(FILE, meta)] == ["not stated", "none"]
    assert Protocol("p", {"nms_iou": None}).mismatches(FILE, meta) == ()


def test_parts_of_the_preprocessing_are_named_one_by_one():
    wanted = {"preprocess": {"resize": "stretch", "channels": "rgb", "std": [1, 1, 1]}}
    misses = Protocol("p", wanted).mismatches(FILE, META)
    assert [miss.condition for miss in misses] == ["preprocess.resize", "preprocess.std"]
    assert str(misses[0]) == 'preprocess.resize is "letterbox", the protocol\'s is "stretch"'


@pytest.mark.parametrize(
    ("allow", "passes"),
    [("tta", True), ("a.json:tta", True), ("*.json:tta", True), ("b.json:tta", False)],
)
def test_a_condition_is_let_pass_of_all_files_or_of_those_of_a_name(protocol, allow, passes):
    read = protocol("tta: true", allow)
    (miss,) = read.mismatches(FILE, META)
    assert miss.allowed is passes


def test_the_digest_is_of_what_decides_the_numbers(protocol):
    plain = protocol("score_threshold: 0.001")
    assert plain.digest.startswith("sha256:")
    same = ("{score_threshold: 0.001, name: other}", "{score_threshold: 0.001, allow: [score_threshold]}")
    others = (
        "score_threshold: 0.002",
        "{score_threshold: 0.001, seed: 1}",
        "{score_threshold: 0.001, counting: {max_detections: [1, 10, 300]}}",
        "{score_threshold: 0.001, max_images: 10}",
    )
    assert {protocol(text).digest for text in same} == {plain.digest}
    assert len({plain.digest, *(protocol(text).digest for text in others)}) == 5


def test_what_is_counted_is_read_as_settings(protocol):
    read = protocol(
        "{tta: false, counting: {iou_thresholds: [0.5], area_ranges_px: {all: [0, 1.0e+10]}, "
        "class_agnostic: true}}"
    )
    assert read.counting == CocoSettings(
        iou_thresholds=(0.5,), area_ranges_px={"all": (0, 1e10)}, class_agnostic=True
    )


@pytest.mark.parametrize(
    ("text", "said"),
    [
        ("image_sise: 640", "did you mean 'image_size'"),
        ("image_size: 0", "image_size"),
        ("{}", "states no condition"),
        ("{tta: false, counting: {iou_type: box}}", "counting"),
        ("{tta: false, counting: {iou_thresholds: [2]}}", "counting: iou_thresholds"),
        ("{tta: false, allow: [ttt]}", "no condition 'ttt'"),
        ("[1, 2]", "key: value"),
        ("tta: [", "p.yaml"),
    ],
)
def test_a_wrong_protocol_names_the_key(protocol, text, said):
    with pytest.raises(OptionError, match=r"p\.yaml|allow") as raised:
        protocol(text)
    assert said in str(raised.value)
    assert raised.value.fix


def test_a_protocol_that_anydet_brings_is_found_by_its_name():
    assert Protocol.read("yolo-640").conditions["nms_iou"] == 0.7
    with pytest.raises(OptionError, match="did you mean 'yolo-640'"):
        Protocol.read("yolo640")
