"""Real models on real images: with its preset and nothing else, each reproduces its recorded scores."""

from __future__ import annotations

import contextlib
import io
import itertools
import json

import numpy as np
import pytest

from anydet.data.record.pixels import ImageFile
from anydet.data.record.record import Record
from anydet.geometry.boxes import iou_xyxy
from anydet.runtime.errors import ModelError

pycocotools = pytest.importorskip("pycocotools.cocoeval")
pytestmark = pytest.mark.slow

MODELS = {
    "yolox": "yolox_nano_416_coco80.onnx",
    "nanodet": "nanodet_m_320_coco80.onnx",
    "fastestdet": "fastestdet_coco80.onnx",
}
NAMES = ("AP", "AP50", "AP75", "APs", "APm", "APl", "AR1", "AR10", "AR100", "ARs", "ARm", "ARl")


@pytest.fixture
def truth(shared_data):
    from pycocotools.coco import COCO

    with contextlib.redirect_stdout(io.StringIO()):
        return COCO(str(shared_data / "coco128" / "annotations" / "instances_train2017.json"))


def evaluate(truth, results, categories=None):
    with contextlib.redirect_stdout(io.StringIO()):
        run = pycocotools.COCOeval(truth, truth.loadRes(results), "bbox")
        run.params.catIds = categories or run.params.catIds
        run.evaluate()
        run.accumulate()
        run.summarize()
    return dict(zip(NAMES, run.stats.tolist(), strict=True))


def coco_results(image_id, classes, predictions, best=100):
    rows = zip(predictions.boxes_xyxy_px, predictions.scores, predictions.class_ids, strict=True)
    return [
        {
            "image_id": image_id,
            "category_id": classes.source_ids[class_id],
            "bbox": [x1, y1, x2 - x1, y2 - y1],
            "score": score,
        }
        for (x1, y1, x2, y2), score, class_id in list(rows)[:best]
    ]


def predictions_of(adapter, images, shared_data):
    folder = shared_data / "coco128" / "images" / "train2017"
    records = [Record(i["file_name"], ImageFile(folder / i["file_name"])) for i in images]
    return zip(images, adapter.predict(records), strict=True)


def recorded(shared_data, folder, name):
    text = (shared_data / folder / "expected.json").read_text("utf-8")
    return json.loads(text)["models"][name]["metrics"]


CLOSE = 0.0005
"""All of the 12 numbers agree to the third digit; another resize or another way back costs 0.003 of some."""


@pytest.mark.parametrize("preset", MODELS)
def test_a_preset_and_nothing_else_reproduces_the_recorded_scores(preset, shared_data, truth, load):
    images = truth.loadImgs(sorted(truth.getImgIds()))
    with load(shared_data / "models" / MODELS[preset], preset=preset, score_floor=0.001) as adapter:
        results = [
            row
            for image, result in predictions_of(adapter, images, shared_data)
            for row in coco_results(image["id"], adapter.classes, result)
        ]
    assert evaluate(truth, results) == pytest.approx(
        recorded(shared_data, "models", MODELS[preset]), abs=CLOSE
    )


def test_picodet_is_found_by_itself_and_reproduces_the_recorded_scores(shared_data, truth, load):
    name = "picodet_s_320_coco80.onnx"
    images = truth.loadImgs(sorted(truth.getImgIds()))
    with load(shared_data / "families" / name, names="coco", score_floor=0.02) as adapter:
        assert adapter.notes.details["preset"] == "picodet"
        results = [
            row
            for image, result in predictions_of(adapter, images, shared_data)
            for row in coco_results(image["id"], adapter.classes, result)
        ]
    assert evaluate(truth, results) == pytest.approx(recorded(shared_data, "families", name), abs=CLOSE)


def test_rtmdet_of_mmdeploy_is_found_by_itself_and_reproduces_the_recorded_scores(shared_data, truth, load):
    name = "rtmdet_nano_320_person.onnx"
    images = truth.loadImgs(sorted(truth.getImgIds()))
    with load(shared_data / "families" / name, names="person", size=320, score_floor=0.001) as adapter:
        assert adapter.notes.details["preset"] == "mmdeploy"
        results = [
            {**row, "category_id": 1}
            for image, result in predictions_of(adapter, images, shared_data)
            for row in coco_results(image["id"], adapter.classes, result)
        ]
    metrics = evaluate(truth, results, categories=[1])
    assert metrics == pytest.approx(recorded(shared_data, "families", name), abs=CLOSE)


FACES = {
    "000000000113.jpg": [(80, 62, 136, 137), (208, 87, 263, 164)],
    "000000000536.jpg": [(210, 90, 237, 131), (121, 89, 150, 130), (340, 143, 369, 178)],
}
"""Faces that can be seen in these pictures, on which the boxes were drawn and looked at."""


def test_ultraface_is_found_by_itself_and_finds_the_faces_that_are_seen(shared_data, truth, load):
    images = [i for i in truth.loadImgs(truth.getImgIds()) if i["file_name"] in FACES]
    with load(shared_data / "families" / "ultraface_rfb_320.onnx", score_floor=0.7) as adapter:
        assert adapter.notes.details["preset"] == "ultraface"
        for image, result in predictions_of(adapter, images, shared_data):
            faces = np.array(FACES[image["file_name"]], np.float64)
            assert len(result) == len(faces)
            assert iou_xyxy(result.boxes_xyxy_px, faces).max(axis=0).min() > 0.9


@pytest.mark.parametrize(("preset", "wrong"), list(itertools.permutations(MODELS, 2)))
def test_a_real_model_under_another_preset_is_refused(preset, wrong, shared_data, load):
    with pytest.raises(ModelError, match=f"Presets that fit: {preset}"):
        load(shared_data / "models" / MODELS[preset], preset=wrong)
