from __future__ import annotations

import pytest

pytest.importorskip("transformers")
pytest.importorskip("onnx")
pytest.importorskip("onnxruntime")

import numpy as np

from anydet.errors import UnsupportedError
from anydet.training.onnx_file import module_run, traced_model
from anydet.types import AdapterSettings
from anydet_transformers.adapter import Transformers


@pytest.mark.slow
@pytest.mark.parametrize("name", ["rt_detr", "deimv2", "lw_detr"])
def test_a_file_gives_the_logits_and_boxes_of_the_model(name, saved_folder):
    import onnxruntime

    spec = Transformers(AdapterSettings(checkpoint=str(saved_folder(name)))).export_spec()
    session = onnxruntime.InferenceSession(traced_model(spec).SerializeToString())
    width, height = spec.description.preprocess.size_wh
    noise = np.random.default_rng(0).normal(size=(2, 3, height, width)).astype(np.float32)
    expected = module_run(spec)({"images": noise})
    found = session.run(None, {"images": noise})
    for output, values in zip(spec.description.outputs, found, strict=True):
        assert np.allclose(values, expected[output.name], rtol=1e-4, atol=1e-4), output.name


@pytest.mark.slow
@pytest.mark.parametrize(("name", "why"), [("maskformer", "no layout for masks"), ("detr", "one size")])
def test_what_has_no_file_is_refused_with_the_reason(name, why, saved_folder):
    with pytest.raises(UnsupportedError, match=why):
        Transformers(AdapterSettings(checkpoint=str(saved_folder(name)))).export_spec()
