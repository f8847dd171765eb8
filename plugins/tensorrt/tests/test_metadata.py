"""Engines that are for another place are refused, by metadata that are made here: nothing is built or run."""

from __future__ import annotations

import hashlib
from dataclasses import replace
from types import SimpleNamespace

import pytest
from tests.onnx_models import seeing_model

from anydet_tensorrt.cuda import Gpu
from anydet_tensorrt.errors import StaleEngineError
from anydet_tensorrt.graph import Graph
from anydet_tensorrt.library import Library
from anydet_tensorrt.metadata import EngineMetadata, read_metadata, require_current, stated_source

GPU = Gpu("NVIDIA L4", "8.9", "13.0")
RTX = {"library": "tensorrt-rtx", "library_version": "1.7.1", "gpu": None}


def library(name="tensorrt", version="10.13.0"):
    return Library(name, SimpleNamespace(__version__=version))


@pytest.fixture
def engine(tmp_path):
    """An engine that is nothing but its name and its metadata."""
    model, path = seeing_model(tmp_path / "m.onnx"), tmp_path / "m.engine"
    path.write_bytes(b"plan")
    graph = Graph(model)
    EngineMetadata(
        sha256=hashlib.sha256(b"plan").hexdigest(),
        onnx=stated_source(graph, path),
        library="tensorrt",
        library_version="10.13.0",
        gpu=GPU,
        precision="fp16",
        strongly_typed=False,
        flags=("FP16",),
        inputs=graph.inputs,
        outputs=graph.outputs,
    ).write(path)
    return path


def change(engine, **fields):
    """The metadata of an engine with other fields, written beside it."""
    stated = read_metadata(engine)
    onnx = replace(stated.onnx, sha256=fields.pop("onnx_sha256", stated.onnx.sha256))
    replace(stated, onnx=onnx, **fields).write(engine)


def refusal(engine, installed=None, gpu=GPU):
    with pytest.raises(StaleEngineError) as error:
        require_current(engine, read_metadata(engine), installed or library(), gpu)
    assert error.value.fix == f"build it again: 'anydet tensorrt build --onnx MODEL.onnx --engine {engine}'"
    return error.value.problem.removeprefix(f"{engine} is not for this place: ")


@pytest.mark.parametrize(
    ("changes", "says"),
    [
        (
            {"gpu": replace(GPU, name="NVIDIA A100")},
            f"it was built for NVIDIA A100 (compute capability 8.9), and this is {GPU}",
        ),
        (
            {"gpu": replace(GPU, compute_capability="8.6")},
            f"it was built for NVIDIA L4 (compute capability 8.6), and this is {GPU}",
        ),
        (
            {"library_version": "10.9.0"},
            "it was built by tensorrt 10.9.0, and tensorrt 10.13.0 is installed",
        ),
        (RTX, "it was built by tensorrt-rtx 1.7.1, and tensorrt 10.13.0 is installed"),
        ({"onnx_sha256": "0" * 64}, "m.onnx is not the model that it was built of"),
        ({"sha256": "0" * 64}, "the file is not the one that m.engine.json describes"),
    ],
    ids=["gpu", "compute capability", "version", "library", "model", "engine"],
)
def test_one_thing_that_differs_is_all_that_is_said(changes, says, engine):
    require_current(engine, read_metadata(engine), library(), GPU)
    change(engine, **changes)
    assert refusal(engine) == says


def test_all_that_differs_is_said_at_once(engine):
    change(engine, sha256="0" * 64, onnx_sha256="0" * 64, library_version="9.3.0")
    said = refusal(engine, gpu=replace(GPU, name="NVIDIA T4", compute_capability="7.5")).split("; ")
    assert [one.split()[-1] for one in said] == ["describes", "of", "installed", "7.5)"]


def test_a_driver_of_another_version_is_no_difference(engine):
    require_current(engine, read_metadata(engine), library(), replace(GPU, driver="12.4"))


def test_a_model_that_is_not_there_is_not_missed(engine):
    change(engine, onnx_sha256="0" * 64)
    engine.with_name("m.onnx").unlink()
    require_current(engine, read_metadata(engine), library(), GPU)


def test_an_engine_of_tensorrt_rtx_is_for_any_gpu_and_one_version(engine):
    change(engine, **{**RTX, "gpu": GPU})
    other = replace(GPU, name="NVIDIA RTX 5090", compute_capability="12.0")
    require_current(engine, read_metadata(engine), library("tensorrt-rtx", "1.7.1"), other)
    assert "built by tensorrt-rtx 1.7.1" in refusal(engine, library("tensorrt-rtx", "1.8.0"), other)
