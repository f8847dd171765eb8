"""Real models on real images: with its preset and nothing else, each reproduces its recorded scores."""

from __future__ import annotations

import contextlib
import io
import itertools
import json

import pytest

from anydet.data.record.pixels import ImageFile
from anydet.data.record.record import Record
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


def evaluate(truth, results):
    with contextlib.redirect_stdout(io.StringIO()):
        run = pycocotools.COCOeval(truth, truth.loadRes(results), "bbox")
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


@pytest.mark.parametrize("preset", MODELS)
def test_a_preset_and_nothing_else_reproduces_the_recorded_scores(preset, shared_data, truth, load):
    images = truth.loadImgs(sorted(truth.getImgIds()))
    folder = shared_data / "coco128" / "images" / "train2017"
    records = [Record(i["file_name"], ImageFile(folder / i["file_name"])) for i in images]
    with load(shared_data / "models" / MODELS[preset], preset=preset, score_floor=0.001) as adapter:
        predictions = adapter.predict(records)
        results = [
            row
            for image, result in zip(images, predictions, strict=True)
            for row in coco_results(image["id"], adapter.classes, result)
        ]
    metrics = evaluate(truth, results)
    recorded = json.loads((shared_data / "models" / "expected.json").read_text("utf-8"))
    expected = recorded["models"][MODELS[preset]]["metrics"]
    assert metrics["AP"] == pytest.approx(expected["AP"], abs=0.003)
    assert metrics == pytest.approx(expected, abs=0.01)


@pytest.mark.parametrize(("preset", "wrong"), list(itertools.permutations(MODELS, 2)))
def test_a_real_model_under_another_preset_is_refused(preset, wrong, shared_data, load):
    with pytest.raises(ModelError, match=f"Presets that fit: {preset}"):
        load(shared_data / "models" / MODELS[preset], preset=wrong)
