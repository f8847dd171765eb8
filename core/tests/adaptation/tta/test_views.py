from __future__ import annotations

from typing import ClassVar

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from anydet.adaptation.tta.views import Mirrored, Original, Scaled, mirrored_pairs
from anydet.data.record.pixels import ImageArray
from anydet.data.record.record import Record
from anydet.prediction.hooks import ViewSettings
from anydet.testing import ViewConformance
from anydet.types import ImagePredictions


def record(width=101, height=75):
    return Record("a.png", ImageArray(np.zeros((height, width, 3), np.uint8)))


def scaled(factor, source):
    (derived,) = Scaled(ViewSettings({"factor": factor})).apply(source)
    return derived


def test_the_original_is_the_record_itself():
    source = record()
    assert Original(ViewSettings()).apply(source) == (source,)


@pytest.mark.parametrize(("factor", "size"), [(0.5, (50, 38)), (2, (202, 150)), (0.001, (1, 1))])
def test_a_scaled_image_has_its_size_rounded_and_never_zero(factor, size):
    derived = scaled(factor, record())
    assert derived.size_wh == size
    assert derived.image().shape == (size[1], size[0], 3)


def test_a_scale_that_changes_no_size_is_the_record_itself():
    source = record()
    assert scaled(1.001, source) is source


@given(st.integers(1, 300), st.integers(1, 300), st.floats(0.05, 4), st.floats(0, 1), st.floats(0, 1))
def test_boxes_on_a_scaled_image_come_back_exactly(width, height, factor, across, down):
    source = record(width, height)
    derived = scaled(factor, source)
    edges = np.array([across * width, down * height, width, height])
    sides = np.array(derived.size_wh) / np.array(source.size_wh)
    seen = (edges * np.concatenate([sides, sides]))[None]
    found = ImagePredictions("a.png", derived.size_wh, seen, np.ones(1), np.zeros(1, np.int64))
    back = derived.undo(found, to=source)
    assert back.size_wh == (width, height)
    np.testing.assert_allclose(back.boxes_xyxy_px[0], edges, rtol=1e-12, atol=1e-12)


def test_left_and_right_keypoints_are_found_by_name():
    assert mirrored_pairs(("nose", "Left_eye", "right_eye", "left_ear", "tail_right")) == ((1, 2),)
    assert mirrored_pairs(()) == ()


def test_a_mirrored_view_swaps_the_keypoints_of_the_adapter():
    source = record(10, 8)
    (derived,) = Mirrored(ViewSettings(keypoint_names=("left_eye", "right_eye"))).apply(source)
    keypoints = np.array([[[2.0, 1.0, 0.9], [7.0, 1.0, 0.8]]])
    found = ImagePredictions(
        "a.png", (10, 8), np.zeros((1, 4)), np.ones(1), np.zeros(1, np.int64), keypoints=keypoints
    )
    back = derived.undo(found, to=source)
    assert back.keypoints.tolist() == [[[3.0, 1.0, 0.8], [8.0, 1.0, 0.9]]]


class TestOriginal(ViewConformance):
    view = "original"


class TestMirrored(ViewConformance):
    view = "hflip"


class TestRandomlyMirrored(ViewConformance):
    view = "random_hflip"


class TestSmaller(ViewConformance):
    view = "scale"
    options: ClassVar = {"factor": 0.5}


class TestLarger(ViewConformance):
    view = "scale"
    options: ClassVar = {"factor": 1.3}
