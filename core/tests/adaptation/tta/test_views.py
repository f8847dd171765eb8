from __future__ import annotations

from itertools import pairwise
from typing import ClassVar

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from anydet.adaptation.tta.views import Mirrored, Original, Scaled, Sliced
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


def windows(derived):
    return [(crop.x_px, crop.y_px, *crop.size_wh) for (crop,) in (one.transforms for one in derived)]


def test_slices_stand_at_equal_distances_between_the_edges_of_the_image():
    derived = Sliced(ViewSettings({"size": 40, "overlap": 0.25})).apply(record(100, 40))
    assert windows(derived) == [(0, 0, 40, 40), (30, 0, 40, 40), (60, 0, 40, 40)]


@pytest.mark.slow
@given(st.integers(1, 400), st.integers(1, 400), st.integers(16, 200), st.floats(0, 0.9))
def test_slices_cover_the_image_and_overlap_as_asked(width, height, size, overlap):
    source = record(width, height)
    derived = Sliced(ViewSettings({"size": size, "overlap": overlap})).apply(source)
    if max(width, height) <= size:
        assert derived == (source,)
        return
    for axis, side in enumerate((width, height)):
        starts = sorted({window[axis] for window in windows(derived)})
        length = min(size, side)
        assert all(window[2 + axis] == length for window in windows(derived))
        assert (starts[0], starts[-1] + length) == (0, side)
        # Rounded to whole pixels.
        assert all(b - a <= size * (1 - overlap) + 1 for a, b in pairwise(starts))
    assert len(derived) == len(set(windows(derived)))


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


class TestUpsideDown(ViewConformance):
    view = "vflip"


class TestTurned(ViewConformance):
    view = "rot90"


class TestSliced(ViewConformance):
    view = "slice"
    options: ClassVar = {"size": 48, "overlap": 0.25}
