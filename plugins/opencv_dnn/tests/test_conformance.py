from __future__ import annotations

import pytest
from tests.onnx_models import seeing_model

from anydet.plugins.manager import Plugins
from anydet.testing import AdapterConformance


@pytest.mark.slow
class TestOpenCvDnn(AdapterConformance):
    adapter = "opencv_dnn"

    @pytest.fixture(params=[1, pytest.param(2, marks=pytest.mark.soak), "N"], ids="{} images a run".format)
    def settings(self, request, tmp_path):
        return Plugins(only=["opencv_dnn"]).settings(
            "opencv_dnn",
            checkpoint=str(seeing_model(tmp_path / "model.onnx", batch=request.param)),
            options=["preset=ultralytics"],
            batch_size=3,
            score_floor=0.3,
        )


@pytest.mark.slow
class TestRealModels(AdapterConformance):
    adapter = "opencv_dnn"

    # CI runs one of them, another for each runtime.
    @pytest.fixture(
        params=[
            pytest.param("yolox_nano_416_coco80", marks=pytest.mark.soak),
            pytest.param("nanodet_m_320_coco80", marks=pytest.mark.soak),
            "fastestdet_coco80",
        ]
    )
    def settings(self, request, shared_data):
        return Plugins(only=["opencv_dnn"]).settings(
            "opencv_dnn",
            checkpoint=str(shared_data / "models" / f"{request.param}.onnx"),
            options=[f"preset={request.param.split('_')[0]}"],
            batch_size=3,
            score_floor=0.01,
        )
