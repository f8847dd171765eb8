"""Ultralytics exports say themselves what they are; masks against a loop over pixels."""

from __future__ import annotations

import math

import numpy as np
import pytest

from anydet.data.record.pixels import ImageArray
from anydet.data.record.record import Record
from anydet.geometry import masks
from anydet.runtime.errors import ModelError

CELLS = 84  # of 64x64
METADATA = {"task": "detect", "stride": "32", "imgsz": "[64, 64]", "names": "{0: 'cat', 1: 'dog'}"}
SEGMENT = {**METADATA, "task": "segment"}
DEPTH = 3


def record(width=64, height=64):
    return Record("a.png", ImageArray(np.zeros((height, width, 3), np.uint8)))


def segment_outputs():
    """Two anchors that score; the rest is silent."""
    rng = np.random.default_rng(0)
    rows = np.zeros((6 + DEPTH, CELLS))
    rows[:, 5] = [20, 25, 22.6, 21, 0.9, 0, *rng.normal(0, 1, DEPTH)]
    rows[:, 60] = [40, 36, 30.2, 40.8, 0, 0.8, *rng.normal(0, 1, DEPTH)]
    return rows, rng.normal(0, 2, (DEPTH, 16, 16))


def bilinear(grid, x, y):
    """Value at a point between pixel centers, the edge repeated."""
    height, width = len(grid), len(grid[0])
    x, y = min(max(x, 0), width - 1), min(max(y, 0), height - 1)
    left, top = min(int(x), width - 2), min(int(y), height - 2)
    u, v = x - left, y - top
    upper = grid[top][left] * (1 - u) + grid[top][left + 1] * u
    lower = grid[top + 1][left] * (1 - u) + grid[top + 1][left + 1] * u
    return upper * (1 - v) + lower * v


def scaled(grid, width, height):
    kx, ky = len(grid[0]) / width, len(grid) / height
    return [
        [bilinear(grid, (x + 0.5) * kx - 0.5, (y + 0.5) * ky - 0.5) for x in range(width)]
        for y in range(height)
    ]


def soft_mask(coefficients, prototypes, box, image_wh):
    """In the image, of a 64x64 letterbox whose border is above and below."""
    soft = [
        [1 / (1 + math.exp(-sum(c * p[y][x] for c, p in zip(coefficients, prototypes, strict=True))))
         for x in range(16)]
        for y in range(16)
    ]  # fmt: skip
    x1, y1, x2, y2 = box
    whole = [
        [value if x1 <= x < x2 and y1 <= y < y2 else 0.0 for x, value in enumerate(row)]
        for y, row in enumerate(scaled(soft, 64, 64))
    ]
    rows = 64 * image_wh[1] // image_wh[0]
    top = (64 - rows) // 2
    return np.array(scaled(whole[top : top + rows], *image_wh))


@pytest.mark.parametrize("nms_inside", [False, True])
@pytest.mark.parametrize("image_wh", [(64, 64), (96, 48), (40, 30)])
def test_masks_are_what_a_loop_over_pixels_gives(image_wh, nms_inside, build, load):
    rows, prototypes = segment_outputs()
    found = rows[:, [5, 60]]
    (cx, cy, w, h), weights = found[:4], found[6:].T
    boxes = np.stack([cx - w / 2, cy - h / 2, cx + w / 2, cy + h / 2], axis=1)
    table = np.concatenate([boxes, [[0.9, 0], [0.8, 1]], weights], axis=1)
    outputs = [table[None] if nms_inside else rows[None], prototypes[None]]
    (result,) = load(build(outputs, metadata=SEGMENT), score_floor=0.5).predict([record(*image_wh)])
    assert result.class_ids.tolist() == [0, 1]
    for rle, box, coefficients in zip(result.masks, boxes, weights, strict=True):
        soft = soft_mask(coefficients.tolist(), prototypes.tolist(), box, image_wh)
        mask = masks.decode(rle)
        assert mask.shape == (image_wh[1], image_wh[0])
        assert mask.sum() > 20
        clear = np.abs(soft - 0.5) > 1e-3
        np.testing.assert_array_equal(mask[clear], (soft > 0.5)[clear])


def test_the_file_selects_preset_size_and_names(build, load):
    rows, prototypes = segment_outputs()
    opened = ("N", 3, "h", "w")
    for outputs, metadata, preset in (
        ([rows[None, :6]], METADATA, "ultralytics"),
        ([np.zeros((1, 9, 6))], METADATA, "ultralytics-end2end"),
        ([rows[None], prototypes[None]], SEGMENT, "ultralytics-segment"),
    ):
        adapter = load(build(outputs, metadata=metadata, input_shape=opened))
        assert adapter.notes.details["preset"] == preset
        assert adapter.notes.image_size == (64, 64)
        assert adapter.classes.names == ("cat", "dog")


def test_options_win_over_what_the_file_says(build, load):
    path = build([np.zeros((1, 6, 126))], metadata=METADATA, input_shape=("N", 3, "h", "w"))
    adapter = load(path, preset="ultralytics", size="96x64", names="x,y")
    assert adapter.notes.image_size == (96, 64)
    assert adapter.classes.names == ("x", "y")


def test_other_tasks_of_ultralytics_are_refused(build, load):
    with pytest.raises(ModelError, match=r"task 'depth'.*detect, segment, pose, obb, classify"):
        load(build([np.zeros((1, 56, CELLS))], metadata={**METADATA, "task": "depth"}))


def test_labels_that_are_no_classes_are_refused(build, load):
    rows = np.array([[[1, 1, 9, 9, 0.9, 7.0]]])
    with pytest.raises(ModelError, match="one of the 2 classes"):
        list(load(build([np.repeat(rows, 3, axis=1)], metadata=METADATA)).predict([record()]))
