from __future__ import annotations

import pytest

from anydet.plugins.manager import Plugins
from anydet.testing import AdapterConformance


@pytest.mark.slow
class TestOnnxruntime(AdapterConformance):
    adapter = "onnxruntime"

    @pytest.fixture(
        params=[
            "one image a run",
            pytest.param("two images a run", marks=pytest.mark.soak),
            "any number of images a run",
        ]
    )
    def settings(self, request, build_seeing):
        batch = {"one": 1, "two": 2, "any": "N"}[request.param.split()[0]]
        return Plugins(only=["onnxruntime"]).settings(
            "onnxruntime",
            checkpoint=str(build_seeing(batch=batch)),
            options=["preset=ultralytics"],
            batch_size=3,
            score_floor=0.3,
        )


@pytest.mark.slow
class TestRealModels(AdapterConformance):
    adapter = "onnxruntime"

    # CI runs one of them, another for each runtime.
    @pytest.fixture(
        params=[
            "yolox_nano_416_coco80",
            pytest.param("nanodet_m_320_coco80", marks=pytest.mark.soak),
            pytest.param("fastestdet_coco80", marks=pytest.mark.soak),
        ]
    )
    def settings(self, request, shared_data):
        return Plugins(only=["onnxruntime"]).settings(
            "onnxruntime",
            checkpoint=str(shared_data / "models" / f"{request.param}.onnx"),
            options=[f"preset={request.param.split('_')[0]}"],
            batch_size=3,
            score_floor=0.01,
        )
