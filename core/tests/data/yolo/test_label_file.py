from __future__ import annotations

import re
from pathlib import Path

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from anydet.data.yolo.label_file import LabelGrammar, parse_labels
from anydet.errors import DatasetError

FILE = Path("labels/val/a.txt")


def parse(text, **grammar):
    return parse_labels(text, FILE, LabelGrammar(**grammar))


def test_boxes_become_pixels_without_clipping():
    labels = parse("3 0.5 0.5 0.25 0.5\n\n0 0 0 1 1\n").in_pixels((200, 100))
    assert labels.class_ids.tolist() == [3, 0]
    assert labels.boxes_xywh_px.tolist() == [[75, 25, 50, 50], [-100, -50, 200, 100]]
    assert labels.areas.tolist() == [2500, 20000]
    assert not labels.iscrowd.any()
    assert labels.segmentations is None
    assert labels.keypoints is None
    assert labels.annotation_ids is None


def test_polygons_become_boxes_and_segmentations_beside_plain_boxes():
    labels = parse("1 0.1 0.2 0.5 0.2 0.5 0.6\n2 0.5 0.5 0.5 0.5").in_pixels((100, 200))
    np.testing.assert_allclose(labels.boxes_xywh_px[0], [10, 40, 40, 80])
    np.testing.assert_allclose(labels.segmentations[0][0], [10, 40, 50, 40, 50, 120])
    assert labels.segmentations[1] is None


def test_pose_lines_need_the_keypoint_shape():
    line = "0 0.5 0.5 0.5 0.5 0.1 0.2 2 0.9 0.9 0"
    labels = parse(line + "\n0 0.5 0.5 0.5 0.5", keypoint_shape=(2, 3)).in_pixels((100, 200))
    np.testing.assert_allclose(labels.keypoints[0], [[10, 40, 2], [0, 0, 0]])
    assert np.isnan(labels.keypoints[1]).all()
    assert labels.boxes_xywh_px[0].tolist() == [25, 50, 50, 100]


def test_points_of_two_numbers_are_visible_unless_negative():
    labels = parse("0 0.5 0.5 0.5 0.5 0.1 0.2 -1 -1", keypoint_shape=(2, 2)).in_pixels((100, 100))
    np.testing.assert_allclose(labels.keypoints[0], [[10, 20, 2], [0, 0, 0]])


def test_no_lines_are_no_objects():
    assert len(parse("\n  \n").in_pixels((10, 10))) == 0


@pytest.mark.parametrize(
    ("line", "grammar", "expected"),
    [
        ("0 0.5 0.5 0.5", {}, "4 numbers, expected 5"),
        ("0 0.5 0.5 0.5 0.5 0.9", {}, "6 numbers, expected 5"),
        ("0 0.1 0.1 0.2 0.2 0.3 0.3 0.4", {}, "8 numbers, expected 5"),
        ("0", {}, "1 numbers, expected 5"),
        ("0 0.5 x 0.5 0.5", {}, "'x' is not a finite number"),
        ("0 0.5 nan 0.5 0.5", {}, "'nan' is not a finite number"),
        ("0 0.5 inf 0.5 0.5", {}, "'inf' is not a finite number"),
        ("0 0.5 0.1_0 0.5 0.5", {}, "'0.1_0' is not a finite number"),
        ("0,0.5,0.5,0.5,0.5", {}, "is not a finite number"),
        ("cat 0.5 0.5 0.5 0.5", {}, "'cat' is not a finite number"),
        ("1.5 0.5 0.5 0.5 0.5", {}, "class 1.5 is not an integer"),
        ("-1 0.5 0.5 0.5 0.5", {}, "class -1 is not an integer"),
        ("1e30 0.5 0.5 0.5 0.5", {}, "class 1e30 is not an integer"),
        ("3 0.5 0.5 0.5 0.5", {"classes": 3}, "class 3, but the data set names 3 classes (0..2)"),
        ("0 1.01 0.5 0.5 0.5", {}, "center (1.01, 0.5) is outside [0, 1]"),
        ("0 0.5 -0.01 0.5 0.5", {}, "center (0.5, -0.01) is outside [0, 1]"),
        ("0 320 240 100 50", {}, "center (320, 240) is outside [0, 1]"),
        ("0 0.5 0.5 1.01 0.5", {}, "size 1.01 x 0.5 is above 1"),
        ("0 0.5 0.5 0 0.5", {}, "size 0 x 0.5 is not positive"),
        ("0 0.5 0.5 0.5 -0.1", {}, "size 0.5 x -0.1 is not positive"),
        ("0 0.1 0.1 0.2 0.2 1.2 0.3", {}, "polygon coordinate 1.2 is outside [0, 1]"),
        ("0 0.1 0.1 0.1 0.2 0.1 0.3", {}, "polygon without area"),
        ("0 0.5 0.5 0.5 0.5 0.1 0.1 2 0.2", {"keypoint_shape": (2, 3)}, "9 numbers, expected 5 or"),
        ("0 0.5 0.5 0.5 0.5 0.1 0.1 3", {"keypoint_shape": (1, 3)}, "keypoint visibility 3"),
        ("0 0.5 0.5 0.5 0.5 1.1 0.1 1", {"keypoint_shape": (1, 3)}, "keypoint (1.1, 0.1) is outside"),
    ],
)
def test_a_malformed_line_is_named_with_its_number(line, grammar, expected):
    with pytest.raises(DatasetError, match=re.escape(f"{FILE}:3: ")) as caught:
        parse(f"0 0.5 0.5 0.5 0.5\n\n{line}\n", **grammar)
    assert expected in caught.value.problem
    assert caught.value.fix


def test_rounding_of_writers_is_tolerated():
    assert len(parse("0 1.0005 -0.0005 1.0009 0.5")) == 1


@given(st.text(alphabet="0123456789.-+eEinfa_ \n\t\0", max_size=60))
def test_any_text_is_parsed_or_refused_with_its_line(text):
    try:
        lines, problem = parse(text), ""
    except DatasetError as exc:
        lines, problem = parse(""), exc.problem
    assert not problem or re.match(r"labels/val/a\.txt:\d+: ", problem)
    assert np.isfinite(lines.boxes_xywh_norm).all()
    assert (lines.boxes_xywh_norm[:, 2:] > 0).all()
