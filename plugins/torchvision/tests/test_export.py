"""Exported files give what the adapter gives, on images of sizes that were not traced."""

from __future__ import annotations

import pytest

torch = pytest.importorskip("torch")
pytest.importorskip("onnx")
pytest.importorskip("onnxruntime")
pytest.importorskip("anydet_onnxruntime")

import numpy as np

from anydet.errors import OptionError
from anydet.export.onnx_export import export_onnx
from anydet.plugins.manager import Plugins
from anydet.testing.comparison import Tolerance, first_difference
from anydet.testing.images import default_images, in_memory
from anydet.types import AdapterSettings
from anydet_torchvision.adapter import Torchvision

LITE = "ssdlite320_mobilenet_v3_large"
SMALL = "fasterrcnn_mobilenet_v3_large_320_fpn"
TOLERANCE = Tolerance(box_px=1e-3, score=1e-4)


@pytest.mark.slow
@pytest.mark.parametrize(
    "model",
    [
        LITE,
        SMALL,
        "fcos_resnet50_fpn",
        *(
            pytest.param(model, marks=pytest.mark.soak)
            for model in ("retinanet_resnet50_fpn_v2", "keypointrcnn_resnet50_fpn")
        ),
    ],
)
def test_a_file_gives_what_the_adapter_gives(model, small_settings, tmp_path):
    adapter = Torchvision(small_settings(model))
    written = export_onnx(adapter, tmp_path / "model.onnx")
    described = written.description
    assert described.classes == adapter.classes.names
    assert described.keypoint_names == adapter.notes.keypoint_names
    runtime = Plugins(only=["onnxruntime"])
    settings = runtime.settings("onnxruntime", checkpoint=str(written.path), score_floor=0.01)
    records = in_memory(default_images()[:2])
    ours, theirs = (
        list(adapter.predict(records)),
        list(runtime.adapter("onnxruntime", settings).predict(records)),
    )
    assert sum(map(len, ours)) > 0
    different = first_difference(ours, theirs, TOLERANCE, floor=0.01)
    assert not different
    for one, other in zip(ours, theirs, strict=True):
        if one.keypoints is not None:
            np.testing.assert_allclose(other.keypoints, one.keypoints, atol=1e-2)


@pytest.mark.slow
def test_what_cannot_be_exported_says_why():
    adapter = Torchvision(AdapterSettings(options={"model": "maskrcnn_resnet50_fpn", "names": ["a"]}))
    with pytest.raises(OptionError, match="the description of a model file has no masks of objects"):
        adapter.export_spec()
    assert adapter.stages is None
