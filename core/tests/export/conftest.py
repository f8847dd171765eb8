"""An adapter of a tiny torch model that trains and can be exported, beside the one that runs files."""

from __future__ import annotations

import sys
import types
from importlib.metadata import EntryPoint
from pathlib import Path

import pytest

from anydet.plugins import AdapterSpec, hookimpl
from anydet.plugins.adapter import TrainResult
from anydet.plugins.manager import Plugins


def cells_adapter():
    """The class; torch is imported for it alone."""
    import torch

    from anydet.plugins.export import ExportSpec, ModelDescription, ModelOutput
    from anydet.plugins.preprocess import Preprocess
    from anydet.testing.grid import CELLS, SIDE, GridDetector

    class Exported(torch.nn.Module):
        """Logits and boxes of the cells."""

        def __init__(self, model):
            super().__init__()
            self.model = model

        def forward(self, images):
            centers = (torch.arange(CELLS) + 0.5) / CELLS
            y, x = torch.meshgrid(centers, centers, indexing="ij")
            side = torch.full_like(x, 1 / CELLS)
            boxes = torch.stack([x, y, side, side], dim=-1).reshape(1, -1, 4)
            return self.model(images), boxes.expand(images.shape[0], -1, -1)

    class Cells(GridDetector):
        """Predicts, trains by adding to a bias, and is exported."""

        module = Exported

        def __init__(self, settings):
            super().__init__(settings)
            if settings.checkpoint:
                self.model.load_state_dict(torch.load(settings.checkpoint, weights_only=True))

        def train(self, run):
            with torch.no_grad():
                self.model.head.bias += 1.0
            run.paths.best.parent.mkdir(parents=True, exist_ok=True)
            torch.save(self.model.state_dict(), run.paths.best)
            return TrainResult(str(run.paths.best))

        def export_spec(self):
            names = "images", "logits", "boxes"
            return ExportSpec(
                self.module(self.model).eval(),
                {"images": torch.zeros(1, 3, SIDE, SIDE)},
                ModelDescription(
                    layout="queries",
                    outputs=(ModelOutput("logits", "class_logits"), ModelOutput("boxes", "boxes_cxcywh")),
                    preprocess=Preprocess("stretch", (SIDE, SIDE), divisor=255.0),
                    classes=self.classes.names,
                ),
                {name: {0: "batch"} for name in names},
                {"size": "cells have one size"},
            )

    return Cells


@pytest.fixture
def cells(monkeypatch):
    """The adapter's class, registered as ``cells`` with the plugins of ``plugins``."""
    pytest.importorskip("torch")
    module = types.ModuleType("cells_plugin")
    module.Cells = cells_adapter()
    module.PLUGIN_API = 2
    spec = AdapterSpec(
        "cells", "cells_plugin:Cells", "cells", capabilities=("predict", "train", "export-onnx")
    )
    module.register_adapters = hookimpl(lambda register: register(spec))
    monkeypatch.setitem(sys.modules, "cells_plugin", module)
    for name in ("RANK", "WORLD_SIZE"):
        monkeypatch.delenv(name, raising=False)
    return module.Cells


@pytest.fixture
def plugins(cells):
    """``cells`` and the adapter of ONNX Runtime."""
    pytest.importorskip("anydet_onnxruntime", reason="files are run with the onnxruntime adapter")
    pytest.importorskip("onnx")
    names = ("cells", "cells_plugin"), ("onnxruntime", "anydet_onnxruntime")
    return Plugins([EntryPoint(name, module, "anydet") for name, module in names])


@pytest.fixture
def without_runtime(cells):
    """``cells`` alone."""
    pytest.importorskip("onnx")
    return Plugins([EntryPoint("cells", "cells_plugin", "anydet")])


@pytest.fixture
def checkpoint(cells, tmp_path) -> Path:
    """Weights of seed 5."""
    import torch

    from anydet.types import AdapterSettings

    path = tmp_path / "cells.pt"
    torch.save(cells(AdapterSettings(seed=5)).model.state_dict(), path)
    return path
