"""Letterboxes for inference, and the way back."""

from __future__ import annotations

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from anydet.data.record.letterbox import Letterbox
from anydet.data.record.pixels import ImageArray
from anydet.data.record.record import Record
from anydet.geometry import masks
from anydet.types import ImagePredictions, Intrinsics

sides = st.integers(4, 90)
SOURCE = np.random.default_rng(0).integers(0, 255, (20, 40, 3), dtype=np.uint8)


@pytest.mark.parametrize(("centered", "top"), [(True, 20), (False, 0)])
def test_the_image_is_between_gray_margins(centered, top):
    record = Record("a", ImageArray(SOURCE), camera=Intrinsics(30, 31, 19, 11))
    boxed = record.derive(Letterbox((80, 80), centered))
    seen = boxed.image()
    assert boxed.size_wh == (80, 80)
    assert seen.shape == (80, 80, 3)
    assert (np.delete(seen, np.s_[top : top + 40], axis=0) == 114).all()
    assert np.abs(seen[top : top + 40 : 2, ::2].astype(int) - SOURCE).mean() < 40
    assert boxed.intrinsics == Intrinsics(60, 62, 38, 22 + top)


@settings(max_examples=60, deadline=None)
@given(sides, sides, sides, sides, st.booleans())
def test_it_fills_one_side_and_is_put_in_the_middle(width, height, across, down, centered):
    (w, h), left, top = Letterbox((across, down), centered).place((width, height))
    assert w == across or h == down
    assert w <= across
    assert h <= down
    if centered:
        assert abs((across - w) - 2 * left) <= 1
        assert abs((down - h) - 2 * top) <= 1
    else:
        assert (left, top) == (0, 0)


@settings(max_examples=60, deadline=None)
@given(sides, sides, st.booleans(), st.integers(0, 2**32 - 1))
def test_boxes_keypoints_and_masks_come_back(across, down, centered, seed):
    letterbox, rng = Letterbox((across, down), centered), np.random.default_rng(seed)
    (width, height), left, top = letterbox.place((40, 20))
    points = rng.uniform(0, 20, (3, 2))
    scale = np.array([width / 40, height / 20])
    there = points * scale + (left, top)
    mask = np.zeros((down, across), np.bool_)
    mask[top : top + height, left : left + width] = True
    boxed = ImagePredictions(
        "a",
        (across, down),
        np.concatenate([there, there + scale], axis=1),
        np.ones(3),
        np.zeros(3, np.int64),
        masks=(masks.encode(mask), None, masks.encode(~mask)),
        keypoints=np.concatenate([there[:, None], np.ones((3, 1, 1))], axis=2),
    )
    back = letterbox.undo(boxed, (40, 20))
    assert back.size_wh == (40, 20)
    assert np.allclose(back.boxes_xyxy_px, np.concatenate([points, points + 1], axis=1))
    assert np.allclose(back.keypoints[:, 0, :2], points)
    assert masks.decode(back.masks[0]).all()
    assert back.masks[1] is None
    assert masks.area(back.masks[2]) == 0
