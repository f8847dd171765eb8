from __future__ import annotations

import sys
from pathlib import Path

import pytest

from anydet_tensorrt import building, cuda, engine, pipeline
from anydet_tensorrt.building import BuildSettings, build_engine
from anydet_tensorrt.library import Library, find_library

sys.path.insert(0, str(Path(__file__).parent))

from emulated import CudaRuntime, TensorRT


class Machine:
    """An emulated GPU with TensorRT; tests change what it has."""

    def __init__(self):
        self.cuda = CudaRuntime()
        self.trt = TensorRT(self.cuda)

    def build(self, model: Path, target: Path, **settings):
        settings.setdefault("options", {"preset": "ultralytics"})
        return build_engine(model, target, BuildSettings(library="tensorrt", **settings))


@pytest.fixture
def machine(monkeypatch):
    made = Machine()

    def find(name="auto"):
        return find_library(name) if name == "tensorrt-rtx" else Library("tensorrt", made.trt)

    monkeypatch.setattr(cuda, "_bindings", lambda: made.cuda)
    for module in (engine, building, pipeline):
        monkeypatch.setattr(module, "find_library", find)
    return made
