"""The best detections alone are the first of all, however few candidates were looked at for them."""

from __future__ import annotations

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from anydet.data.record.pixels import ImageArray
from anydet.data.record.record import Record
from anydet.errors import OptionError
from anydet.geometry.placement import Placement
from anydet.plugins.stages import Decoded
from anydet.runtime.classes import ModelClasses
from anydet.runtime.decoding import Decoding
from anydet.runtime.errors import ModelError
from anydet.runtime.stages import Given

RECORD = Record("a.png", ImageArray(np.zeros((60, 80, 3), np.uint8)))
PLACEMENT = Placement((80, 60), (160, 120), (0, 20), (160, 160))


def decode(scores, boxes, *, nms_iou, limit, most):
    decoding = Decoding(ModelClasses(None), nms_iou, 0.1, limit)
    return decoding.result(RECORD, Given(Decoded(scores, boxes)), [], PLACEMENT, most=most)


def assert_first_of_all(scores, boxes, *, nms_iou, limit, most):
    everything = decode(scores, boxes, nms_iou=nms_iou, limit=limit, most=None)
    best = decode(scores, boxes, nms_iou=nms_iou, limit=limit, most=most)
    assert len(best) == min(most, len(everything))
    for name in ("boxes_xyxy_px", "scores", "class_ids"):
        np.testing.assert_array_equal(getattr(best, name), getattr(everything, name)[:most])
    return everything


@given(
    seed=st.integers(0, 2**32 - 1),
    rows=st.integers(0, 300),
    classes=st.integers(1, 4),
    digits=st.sampled_from([1, 2, 8]),
    highest=st.sampled_from([0.2, 1.0, 1.005]),
    nms_iou=st.sampled_from([None, 0.0, 0.5, 1.0]),
    limit=st.integers(1, 400),
    most=st.integers(1, 30),
)
def test_the_best_are_the_first_of_all(seed, rows, classes, digits, highest, nms_iou, limit, most):
    rng = np.random.default_rng(seed)
    # Some are in the padding alone, and with few digits scores are equal, and some above 1 and cut.
    corners = rng.uniform(-20, 160, (rows, 2))
    boxes = np.concatenate([corners, corners + rng.uniform(0, 60, (rows, 2))], axis=1)
    scores = np.minimum(np.round(rng.uniform(0, 1.2, (rows, classes)) * highest, digits), highest)
    assert_first_of_all(scores.astype(np.float32), boxes, nms_iou=nms_iou, limit=limit, most=most)


@pytest.mark.parametrize("highest", [0.9, 1.005])
def test_where_the_best_candidates_are_of_one_object_the_others_are_looked_at(highest):
    rng = np.random.default_rng(0)
    boxes = np.tile([20.0, 40.0, 60.0, 80.0], (2000, 1))
    boxes[1900:] = rng.uniform((0, 20, 80, 90), (70, 90, 150, 160), (100, 4))
    scores = rng.uniform(0.5, 0.6, (2000, 1)).astype(np.float32)
    scores[:1900] = highest
    everything = assert_first_of_all(scores, boxes, nms_iou=0.5, limit=3000, most=5)
    assert len(everything) > 5


def test_of_scores_that_are_cut_to_1_the_first_is_the_best():
    rows = np.arange(100)
    corners = np.stack([rows % 10 * 16.0, 20 + rows // 10 * 12.0], axis=1)
    scores = np.full((100, 1), 1.005, np.float32)
    scores[0] = 1.001
    boxes = np.concatenate([corners, corners + 10], axis=1)
    everything = assert_first_of_all(scores, boxes, nms_iou=0.5, limit=3000, most=2)
    np.testing.assert_allclose(everything.boxes_xyxy_px[0], [0, 0, 5, 5])


def outputs(score, *, outside=False):
    """Of a model of two classes on 64x64: one box that scores."""
    out = np.zeros((1, 6, 84))
    out[0, :4] = [[-90 if outside else 30], [30], [10], [10]]
    out[0, 4, 7] = score
    return [out]


@pytest.mark.parametrize(
    ("score", "outside", "said"),
    [
        (0.0, False, "highest score 0.0000; a broken quantized or half-precision file"),
        (2e-4, False, "highest score 0.0002, below 0.001, the lowest that is kept"),
        (0.9, True, "highest score 0.9000, of boxes outside of the image"),
        (0.9, False, ""),
    ],
)
def test_a_run_that_finds_nothing_says_the_highest_score(score, outside, said, build, load):
    adapter = load(
        build(outputs(score, outside=outside)), preset="ultralytics", names="a,b", score_floor=0.001
    )
    assert adapter.notes.warnings == ()
    assert [len(result) > 0 for result in adapter.predict([RECORD] * 3)] == [not said] * 3
    if said:
        (warning,) = adapter.notes.warnings
        assert warning.startswith(f"nothing was found on 3 images: {said}")
    else:
        assert adapter.notes.warnings == ()


@pytest.mark.parametrize(("row", "said"), [(4, "1 of 504"), (0, "1 of 504"), (slice(0, 2), "2 of 504")])
def test_nan_is_named_with_its_output(row, said, build, load):
    out = outputs(0.9)[0]
    out[0, row, 7] = np.nan
    with pytest.raises(ModelError) as caught:
        list(load(build([out]), preset="ultralytics", names="a,b").predict([RECORD]))
    assert caught.value.problem.endswith(f"image a.png: output '700': {said} numbers are NaN")
    assert "float16" in caught.value.fix


def test_nan_of_what_is_not_kept_does_not_matter(build, load):
    out = outputs(0.9)[0]
    out[0, :4, 8] = np.nan
    (result,) = load(build([out]), preset="ultralytics", names="a,b").predict([RECORD])
    assert len(result) == 1


@pytest.mark.parametrize("of", ["coefficients", "prototypes"])
def test_nan_in_masks_is_no_empty_mask(of, build, load):
    rows = np.concatenate([outputs(0.9)[0], np.ones((1, 32, 84))], axis=1)
    prototypes = np.ones((1, 32, 16, 16))
    (rows if of == "coefficients" else prototypes)[0, -1, 7] = np.nan
    with pytest.raises(ModelError, match=r"output '70[01]': \d+ of \d+ numbers are NaN"):
        list(load(build([rows, prototypes]), preset="ultralytics-segment", names="a,b").predict([RECORD]))


def test_a_model_that_gives_nan_alone_is_said_to_do_so_where_no_preset_is_named(build, load):
    with pytest.raises(OptionError) as caught:
        load(build([np.full((1, 6, 84), np.nan)]))
    assert "  not ultralytics: 168 of 168 scores are NaN" in caught.value.details
