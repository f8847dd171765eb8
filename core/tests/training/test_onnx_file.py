from __future__ import annotations

import sys

import numpy as np
import pytest

torch = pytest.importorskip("torch")
onnx = pytest.importorskip("onnx")

from onnx.reference import ReferenceEvaluator

from anydet.errors import OptionError
from anydet.plugins.export import ExportSpec, ModelDescription, ModelOutput
from anydet.plugins.preprocess import Preprocess
from anydet.training.onnx_file import OPSET, write_onnx

DESCRIPTION = ModelDescription(
    layout="pixels",
    outputs=(ModelOutput("pixels", "pixel_logits"), ModelOutput("image", "image_logits")),
    preprocess=Preprocess("stretch", (8, 6)),
    classes=("a", "b"),
)


class TwoOutputs(torch.nn.Module):
    def __init__(self):
        super().__init__()
        self.weight = torch.nn.Parameter(torch.tensor([[[[2.0]]], [[[3.0]]]]))

    def forward(self, images):
        pixels = torch.nn.functional.conv2d(images[:, :1], self.weight)
        return pixels, pixels.mean(dim=(2, 3))


@pytest.fixture
def spec():
    names = {name: {0: "batch"} for name in ("images", "pixels", "image")}
    return ExportSpec(TwoOutputs().eval(), {"images": torch.zeros(1, 3, 6, 8)}, DESCRIPTION, names)


def test_the_file_has_the_modules_outputs_and_its_description(spec, tmp_path):
    write_onnx(spec, tmp_path / "model.onnx")
    model = onnx.load(tmp_path / "model.onnx")
    onnx.checker.check_model(model)
    metadata = {entry.key: entry.value for entry in model.metadata_props}
    assert ModelDescription.from_metadata(metadata) == DESCRIPTION
    assert [entry.version for entry in model.opset_import] == [OPSET]
    images = np.random.default_rng(0).random((2, 3, 6, 8), np.float32)  # more than were traced
    pixels, image = ReferenceEvaluator(model).run(None, {"images": images})
    np.testing.assert_allclose(pixels, images[:, :1] * np.reshape([2, 3], (1, 2, 1, 1)), rtol=1e-6)
    np.testing.assert_allclose(image, pixels.mean(axis=(2, 3)), rtol=1e-5)


def test_without_onnx_the_error_says_what_to_install(spec, tmp_path, monkeypatch):
    monkeypatch.setitem(sys.modules, "onnx", None)
    with pytest.raises(OptionError, match="needs the package onnx") as error:
        write_onnx(spec, tmp_path / "model.onnx")
    assert error.value.fix == "pip install 'anydet[onnx]'"
