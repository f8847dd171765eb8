from __future__ import annotations

import pytest
from tests.onnx_models import seeing_model

from anydet.plugins.manager import Plugins
from anydet.testing import AdapterConformance, CommandConformance


@pytest.mark.slow
class TestTensorRT(AdapterConformance):
    """On an emulated GPU (``emulated``)."""

    adapter = "tensorrt"

    @pytest.fixture(params=[1, pytest.param(2, marks=pytest.mark.soak), "N"], ids="{} images a run".format)
    def settings(self, request, machine, tmp_path):
        model = seeing_model(tmp_path / "model.onnx", batch=request.param)
        shapes = {"smallest": {"pixels": (1, 3, 64, 64)}, "largest": {"pixels": (3, 3, 64, 64)}}
        machine.build(model, tmp_path / "model.engine", **(shapes if request.param == "N" else {}))
        return Plugins(only=["tensorrt"]).settings(
            "tensorrt",
            checkpoint=str(tmp_path / "model.engine"),
            device="cuda",
            batch_size=3,
            score_floor=0.3,
        )


class TestCommand(CommandConformance):
    command = "tensorrt"
