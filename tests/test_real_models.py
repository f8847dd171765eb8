"""Trained ONNX models on real COCO images, from pixels to AP, through the command line alone."""

from __future__ import annotations

import json
import subprocess
import sys

import pytest

MODELS = {
    "yolox": "yolox_nano_416_coco80.onnx",
    "nanodet": "nanodet_m_320_coco80.onnx",
    "fastestdet": "fastestdet_coco80.onnx",
}

pytestmark = pytest.mark.slow


def anydet(*arguments):
    command = [sys.executable, "-m", "anydet.cli", *map(str, arguments)]
    done = subprocess.run(command, capture_output=True, text=True, check=False)
    assert done.returncode == 0, done.stderr
    return done


@pytest.mark.parametrize("preset", MODELS)
def test_a_real_model_reproduces_its_score_with_its_preset_alone(preset, shared_data, coco128, tmp_path):
    models, dataset = shared_data / "models", coco128
    model = models / MODELS[preset]
    predictions, result = tmp_path / "predictions.json", tmp_path / "result.json"
    who = ("--adapter", "onnxruntime", "--checkpoint", model, "--option", f"preset={preset}")
    anydet("export-predictions", *who, "--dataset", dataset, "--output", predictions)
    anydet("validate-predictions", predictions, "--dataset", dataset)
    anydet("eval-coco", "--dataset", dataset, "--predictions", predictions, "--json", result)
    expected = json.loads((models / "expected.json").read_text("utf-8"))["models"][MODELS[preset]]["metrics"]
    measured = json.loads(result.read_text("utf-8"))["metrics"]
    assert list(measured) == list(expected)
    assert abs(measured["AP"] - expected["AP"]) < 0.003
    assert all(abs(measured[name] - expected[name]) < 0.01 for name in expected)
