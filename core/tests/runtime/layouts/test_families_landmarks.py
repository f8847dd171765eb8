"""Landmarks of the families that layout files declare, against loops over cells and anchors."""

from __future__ import annotations

import math

import numpy as np
import pytest

from anydet.data.record.pixels import ImageArray
from anydet.data.record.record import Record

INPUT_WH = (96, 64)
FIVE = ("right_eye", "left_eye", "nose", "right_mouth_corner", "left_mouth_corner")
SIX = ("right_eye", "left_eye", "nose", "mouth", "right_ear", "left_ear")
HAND = ("wrist", "index_base", "middle_base", "ring_base", "little_base", "thumb_root", "thumb_base")


def sigmoid(value):
    return 1 / (1 + math.exp(-value))


def cells(stride):
    across, down = -(-INPUT_WH[0] // stride), -(-INPUT_WH[1] // stride)
    return [(x, y) for y in range(down) for x in range(across)]


def pairs(values):
    return list(zip(values[::2], values[1::2], strict=True))


def retinaface(rng, *, parts):
    """Points in tenths of the prior's size from the center of the cell."""
    out, found = [], []
    for stride, sizes in ((8, (16, 32)), (16, (64, 128)), (32, (256, 512))):
        for x, y in cells(stride):
            for size in sizes:
                v = np.concatenate([rng.normal(0, 1, 4), rng.random(2), rng.normal(0, 1, 10)])
                cx, cy = (x + 0.5) * stride, (y + 0.5) * stride
                points = [(cx + 0.1 * px * size, cy + 0.1 * py * size) for px, py in pairs(v[6:])]
                out.append(v)
                found.append((v[5], points))
    table = np.array(out)
    return ([table[:, :4], table[:, 4:6], table[:, 6:]] if parts else [table]), found


def yolov5_face(rng):
    """Points in sizes of the anchor from the corner of the cell, which no sigmoid changes."""
    anchors = {
        8: [(4, 5), (8, 10), (13, 16)],
        16: [(23, 29), (43, 55), (73, 105)],
        32: [(146, 217), (231, 300), (335, 433)],
    }
    outputs, found = [], []
    for stride, sizes in anchors.items():
        out = rng.normal(0, 1.5, (3, -(-INPUT_WH[1] // stride), -(-INPUT_WH[0] // stride), 16))
        outputs.append(out)
        for x, y in cells(stride):
            for a, (width, height) in enumerate(sizes):
                v = out[a, y, x]
                points = [(px * width + x * stride, py * height + y * stride) for px, py in pairs(v[5:15])]
                found.append((sigmoid(v[4]) * sigmoid(v[15]), points))
    return outputs, found


def mediapipe(rng, grid, count):
    """Points in pixels from the center of the cell."""
    out, logits, found = [], [], []
    for stride, anchors in grid:
        for x, y in cells(stride):
            for _ in range(anchors):
                v = np.concatenate([rng.normal(0, 4, 2), 4 + 20 * rng.random(2), rng.normal(0, 9, 2 * count)])
                out.append(v)
                logits.append([rng.normal(0, 3)])
                cx, cy = (x + 0.5) * stride, (y + 0.5) * stride
                found.append((sigmoid(logits[-1][0]), [(cx + px, cy + py) for px, py in pairs(v[4:])]))
    return [np.array(out), np.array(logits)], found


FAMILIES = {
    "retinaface": (lambda rng: retinaface(rng, parts=False), FIVE),
    "retinaface-parts": (lambda rng: retinaface(rng, parts=True), FIVE),
    "yolov5-face": (yolov5_face, FIVE),
    "blazeface": (lambda rng: mediapipe(rng, ((8, 2), (16, 6)), 6), SIX),
    "blazeface-back": (lambda rng: mediapipe(rng, ((16, 2), (32, 6)), 6), SIX),
    "blazeface-full": (lambda rng: mediapipe(rng, ((4, 1),), 6), SIX),
    "palm": (lambda rng: mediapipe(rng, ((8, 2), (16, 6)), 7), HAND),
}


@pytest.mark.parametrize("family", FAMILIES)
def test_landmarks_are_what_a_loop_over_anchors_gives(family, build, load):
    make, names = FAMILIES[family]
    outputs, found = make(np.random.default_rng(0))
    path = build([o[None] for o in outputs], input_wh=INPUT_WH)
    adapter = load(path, preset=family, nms_iou="null", score_floor=0.3)
    assert adapter.notes.keypoint_names == names
    # An image of twice the size: points come back in its pixels.
    (result,) = adapter.predict([Record("a", ImageArray(np.zeros((128, 192, 3), np.uint8)))])
    scores = np.array([score for score, _ in found])
    assert len(result) > 10
    for score, points in zip(result.scores, result.keypoints, strict=True):
        nearest = int(np.abs(scores - score).argmin())
        assert scores[nearest] == pytest.approx(score, abs=1e-6)
        np.testing.assert_allclose(points[:, :2] / 2, found[nearest][1], atol=1e-3)
    assert np.isnan(result.keypoints[..., 2]).all()
