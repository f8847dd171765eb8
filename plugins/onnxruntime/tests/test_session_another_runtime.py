"""A further runtime is a few lines: onnx's own evaluator, written in numpy, on the same files."""

from __future__ import annotations

import numpy as np
import onnx
import pytest
from onnx.reference import ReferenceEvaluator

from anydet.plugins.specs import AdapterSpec
from anydet.runtime.adapter import RuntimeAdapter
from anydet.runtime.errors import ModelError
from anydet.runtime.loaded import RuntimeInfo, TensorInfo
from anydet.testing import AdapterConformance, AdapterSubject
from anydet.testing.images import default_images, in_memory
from anydet.types import AdapterSettings


class Evaluated:
    """A model that onnx itself evaluates."""

    runtime = RuntimeInfo("onnx", onnx.__version__, "CPU")

    def __init__(self, path):
        model = onnx.load(path)
        self.inputs = [described(value) for value in model.graph.input]
        self.outputs = [described(value) for value in model.graph.output]
        self.metadata = {entry.key: entry.value for entry in model.metadata_props}
        self._evaluator = ReferenceEvaluator(model)

    def run(self, feeds):
        for tensor in self.inputs:
            for declared, size in zip(tensor.shape, feeds[tensor.name].shape, strict=True):
                if isinstance(declared, int) and declared != size:
                    raise ModelError(f"{tensor} got {feeds[tensor.name].shape}")
        return self._evaluator.run(None, feeds)

    def close(self):
        self._evaluator = None


def described(value):
    tensor = value.type.tensor_type
    shape = tuple(d.dim_value if d.HasField("dim_value") else d.dim_param or None for d in tensor.shape.dim)
    return TensorInfo(value.name, shape, onnx.helper.tensor_dtype_to_np_dtype(tensor.elem_type).name)


class EvaluatorAdapter(RuntimeAdapter):
    registered_name = "evaluator"

    def load(self, path):
        return Evaluated(path)


SPEC = AdapterSpec("evaluator", "tests:EvaluatorAdapter", options_schema="anydet.runtime:options.schema.json")


@pytest.mark.slow
class TestEvaluator(AdapterConformance):
    adapter = "evaluator"

    @pytest.fixture(params=[1, 2, "N"], ids="{} images a run".format)
    def settings(self, request, build_seeing):
        return settings_for(build_seeing(batch=request.param), score_floor=0.3)

    @pytest.fixture
    def subject(self, settings, tmp_path):
        return AdapterSubject(SPEC, EvaluatorAdapter, settings, folder=tmp_path)


def settings_for(path, score_floor):
    options = {"preset": "ultralytics"}
    return AdapterSettings(checkpoint=str(path), batch_size=3, score_floor=score_floor, options=options)


@pytest.mark.parametrize("batch", [1, 2, "N"])
def test_predictions_are_those_of_onnxruntime_on_the_same_file(batch, build_seeing, plugins):
    settings = settings_for(build_seeing(batch=batch), score_floor=0.01)
    ours = list(EvaluatorAdapter(settings).predict(in_memory(default_images())))
    theirs = list(plugins.adapter("onnxruntime", settings).predict(in_memory(default_images())))
    assert sum(map(len, ours)) > 10, "too few detections to show anything"
    for a, b in zip(ours, theirs, strict=True):
        np.testing.assert_array_equal(a.class_ids, b.class_ids)
        np.testing.assert_allclose(a.scores, b.scores, atol=1e-5)
        np.testing.assert_allclose(a.boxes_xyxy_px, b.boxes_xyxy_px, atol=1e-3)
