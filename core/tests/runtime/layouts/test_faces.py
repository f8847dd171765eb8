"""Face detectors by planted landmarks, and as files."""

from __future__ import annotations

import json

import numpy as np
import pytest
from PIL import Image

from anydet import api
from anydet.data.record.pixels import ImageArray
from anydet.data.record.record import Record
from anydet.runtime.errors import ModelError

STRIDES = (8, 16, 32)
NAMES = ["right_eye", "left_eye", "nose", "right_mouth_corner", "left_mouth_corner"]
WIDTHS = {"cls": 1, "obj": 1, "bbox": 4, "kps": 10}


def planted_scrfd(*, landmarks=True):
    """One face of 40x48 in a 64x64 input, at the second anchor of cell (1, 2) of stride 16."""
    counts = {8: 128, 16: 32, 32: 8}
    scores, boxes, points = ({s: np.zeros((n, width)) for s, n in counts.items()} for width in (1, 4, 10))
    row = 2 * (2 * 4 + 1) + 1
    face = np.array([4.0, 12.0, 44.0, 60.0])
    eyes_nose_mouth = np.array([[14.0, 28], [34, 28], [24, 38], [16, 50], [32, 50]])
    scores[16][row] = 0.9
    boxes[16][row] = [(16 - 4) / 16, (32 - 12) / 16, (44 - 16) / 16, (60 - 32) / 16]
    points[16][row] = ((eyes_nose_mouth - [16, 32]) / 16).ravel()
    parts = [scores, boxes, points] if landmarks else [scores, boxes]
    return [part[s] for part in parts for s in STRIDES], face, eyes_nose_mouth


@pytest.mark.parametrize("batched", [True, False])
def test_a_planted_face_and_its_landmarks_come_back_in_the_pixels_of_the_image(batched, build, load):
    outputs, face, points = planted_scrfd()
    path = build([o[None] for o in outputs] if batched else outputs)
    record = Record("a", ImageArray(np.zeros((96, 128, 3), np.uint8)))  # becomes 64x48 in the top left corner
    adapter = load(path, preset="scrfd")
    (result,) = adapter.predict([record])
    np.testing.assert_allclose(result.boxes_xyxy_px, [np.minimum(face * 2, [128, 96, 128, 96])], atol=1e-5)
    np.testing.assert_allclose(result.keypoints[0, :, :2], points * 2, atol=1e-5)
    assert np.isnan(result.keypoints[..., 2]).all()
    assert adapter.classes.names == ("face",)


def test_models_without_landmarks_have_no_keypoints(build, load):
    outputs, face, _ = planted_scrfd(landmarks=False)
    adapter = load(build(outputs), preset="scrfd")
    (result,) = adapter.predict([Record("a", ImageArray(np.zeros((64, 64, 3), np.uint8)))])
    assert result.keypoints is None
    assert adapter.notes.keypoint_names == ()
    np.testing.assert_allclose(result.boxes_xyxy_px, [face], atol=1e-5)


def test_names_of_outputs_tell_the_family(build, load):
    scrfd = [f"{part}_{s}" for part in ("score", "bbox", "kps") for s in STRIDES]
    yunet = [f"{part}_{s}" for part in WIDTHS for s in STRIDES]
    faces = [np.zeros((4096 // s**2, width)) for width in WIDTHS.values() for s in STRIDES]
    for outputs, names, preset in ((planted_scrfd()[0], scrfd, "scrfd"), (faces, yunet, "yunet")):
        notes = load(build(outputs, names=names)).notes
        assert notes.details["preset"] == preset
        assert notes.keypoint_names == tuple(NAMES)


def test_yunet_without_its_sigmoids_is_refused(build, load):
    faces = [np.full((4096 // s**2, width), -3.0) for width in WIDTHS.values() for s in STRIDES]
    record = Record("a", ImageArray(np.zeros((64, 64, 3), np.uint8)))
    with pytest.raises(ModelError, match="scores run from -3"):
        list(load(build(faces), preset="yunet").predict([record]))


def test_landmarks_and_their_names_reach_the_file(tmp_path, build, load):
    outputs, _, points = planted_scrfd()
    (tmp_path / "images").mkdir()
    Image.new("RGB", (64, 64)).save(tmp_path / "images" / "a.png")
    output = tmp_path / "p.json"
    with load(build(outputs), preset="scrfd") as adapter:
        api.export_predictions(adapter, api.open_dataset(tmp_path / "images"), output, wrap=True)
    assert api.validate(output).ok
    assert json.loads(output.read_text("utf-8"))["meta"]["extra"]["keypoint_names"] == NAMES
    np.testing.assert_allclose(api.read_predictions(output).keypoints[0, :, :2], points, atol=1e-4)
