"""Engines on a real GPU: what they give is what ONNX Runtime gives. Skipped where there is none."""

from __future__ import annotations

import json

import numpy as np
import onnxruntime
import pytest
from click.testing import CliRunner
from tests.onnx_models import load_runtime, seeing_model

from anydet.cli import main
from anydet.plugins.manager import Plugins
from anydet.testing import AdapterConformance
from anydet_tensorrt.building import BuildSettings, build_engine
from anydet_tensorrt.cuda import find_gpu
from anydet_tensorrt.engine import Engine
from anydet_tensorrt.errors import LibraryError
from anydet_tensorrt.library import MODULES, find_library

pytestmark = [
    pytest.mark.gpu,
    pytest.mark.skipif(
        find_gpu() is None, reason="CUDA finds no GPU here, or cuda-bindings is not installed"
    ),
]
OPEN = {"smallest": {"pixels": (1, 3, 64, 64)}, "largest": {"pixels": (4, 3, 64, 64)}}


@pytest.fixture(params=MODULES)
def library(request):
    try:
        find_library(request.param)
    except LibraryError as exc:
        pytest.skip(exc.problem)
    return request.param


@pytest.fixture
def build(library, tmp_path):
    def built(precision="fp32", **changes):
        model = seeing_model(tmp_path / "m.onnx", batch="N", **changes)
        settings = BuildSettings(
            precision=precision, library=library, options={"preset": "ultralytics"}, **OPEN
        )
        build_engine(model, tmp_path / "m.engine", settings)
        return model, tmp_path / "m.engine"

    return built


def inputs(count, seed=0):
    return {"pixels": np.random.default_rng(seed).random((count, 3, 64, 64), np.float32)}


@pytest.mark.parametrize("cuda_graph", [True, False])
def test_an_engine_gives_what_its_model_gives(cuda_graph, build):
    model, path = build()
    session = onnxruntime.InferenceSession(str(model), providers=["CPUExecutionProvider"])
    engine = Engine(str(path), cuda_graph=cuda_graph)
    for turn, count in enumerate((1, 2, 2, 2, 4, 4, 9, 1, 1)):
        feeds = inputs(count, turn)
        np.testing.assert_allclose(engine.run(feeds)[0], session.run(None, feeds)[0], rtol=1e-3, atol=1e-2)
    engine.close()


@pytest.mark.parametrize(("precision", "step"), [("fp16", 2.0**-10), ("bf16", 2.0**-7)])
def test_half_precision_is_as_far_off_as_its_numbers_are(precision, step, build):
    model, path = build(precision)
    feeds = inputs(4)
    expected = onnxruntime.InferenceSession(str(model), providers=["CPUExecutionProvider"]).run(None, feeds)[
        0
    ]
    found = Engine(str(path)).run(feeds)[0]
    assert np.abs(found - expected).max() <= 16 * step * np.abs(expected).max()


def test_what_tensorrt_rtx_compiled_is_kept(tmp_path, build, library):
    if library != "tensorrt-rtx":
        pytest.skip("TensorRT compiles when it builds")
    _, path = build()
    cache = tmp_path / "kernels.bin"
    for _ in range(2):
        engine = Engine(str(path), runtime_cache=str(cache))
        engine.run(inputs(2))
        engine.close()
        assert cache.stat().st_size > 0


def test_a_timing_cache_is_taken_again(tmp_path, library):
    if library != "tensorrt":
        pytest.skip("TensorRT-RTX measures nothing when it builds")
    model, cache = seeing_model(tmp_path / "m.onnx"), tmp_path / "times.bin"
    for _ in range(2):
        build_engine(model, tmp_path / "m.engine", BuildSettings(library=library, timing_cache=cache))
        assert cache.stat().st_size > 0


class TestOnHardware(AdapterConformance):
    adapter = "tensorrt"

    @pytest.fixture
    def settings(self, build):
        return Plugins(only=["tensorrt"]).settings(
            "tensorrt", checkpoint=str(build()[1]), device="cuda", batch_size=3, score_floor=0.3
        )


def test_a_closed_engine_leaves_room_for_others(build):
    _, path = build()
    for _ in range(50):
        with load_runtime(Plugins(only=["tensorrt"]), "tensorrt", path, device="cuda"):
            pass


@pytest.mark.slow
@pytest.mark.parametrize("name", ["yolox_nano_416_coco80", "nanodet_m_320_coco80", "fastestdet_coco80"])
def test_real_engines_predict_as_their_models(name, library, shared_data, coco128, tmp_path):
    preset = name.split("_")[0]
    line = f"tensorrt pipeline --library {library} --out {tmp_path}/run --option preset={preset} --json"
    given = ["--onnx", str(shared_data / "models" / f"{name}.onnx"), "--dataset", str(coco128)]
    done = CliRunner().invoke(main, [*line.split(), *given])
    assert done.exit_code == 0, done.output
    report = json.loads(done.stdout)
    steps = {step["name"]: step for step in report["steps"]}
    assert report["left"] == []
    found = steps["evaluation"]["results"]
    assert found["tensorrt"]["AP"] == pytest.approx(found["reference"]["AP"], abs=5e-4)
