from __future__ import annotations

import subprocess
import sys
from functools import partial

import numpy as np
import openvino as ov
import pytest
from tests.onnx_models import constant_model, load_runtime, seeing_model

from anydet.data.record.pixels import ImageArray
from anydet.data.record.record import Record
from anydet.errors import OptionError
from anydet.plugins.manager import Plugins
from anydet.runtime.errors import ModelError
from anydet.runtime.loaded import TensorInfo
from anydet_openvino.compiled import Compiled, device_name, reason, the_core

OUTPUT = np.zeros((1, 84, 8))
CAPABILITIES = the_core().get_property("CPU", "OPTIMIZATION_CAPABILITIES")


@pytest.fixture
def load():
    return partial(load_runtime, Plugins(only=["openvino"]), "openvino")


@pytest.fixture
def records():
    rng = np.random.default_rng(0)
    blocks = rng.integers(0, 256, (3, 6, 6, 3), dtype=np.uint8)
    return [
        Record(f"{i}.png", ImageArray(np.kron(b, np.ones((12, 12, 1), np.uint8))))
        for i, b in enumerate(blocks)
    ]


@pytest.mark.parametrize(
    ("device", "available", "name"),
    [
        ("cpu", ["CPU"], "CPU"),
        ("gpu", ["CPU", "GPU"], "GPU"),
        ("gpu", ["CPU", "GPU.0", "GPU.1"], "GPU"),
        ("gpu:0", ["CPU", "GPU"], "GPU.0"),
        ("gpu:1", ["CPU", "GPU.0", "GPU.1"], "GPU.1"),
        ("npu", ["CPU", "NPU"], "NPU"),
    ],
)
def test_a_device_has_a_name_of_openvino(device, available, name):
    assert device_name(device, available) == name


@pytest.mark.parametrize("device", ["cuda", "cuda:0", "CPU", "", "gpu:", "gpu:x", "cpu:0", "npu:1", "auto"])
def test_an_unknown_device_names_the_known_ones(device):
    with pytest.raises(OptionError) as error:
        device_name(device, ["CPU", "GPU", "NPU"])
    assert "use cpu, gpu, gpu:N or npu" in error.value.fix


@pytest.mark.parametrize("device", ["gpu", "gpu:1", "npu"])
def test_a_device_that_is_not_there_says_what_there_is(device):
    with pytest.raises(OptionError, match=r"is not there \(OpenVINO finds CPU\)"):
        device_name(device, ["CPU"])


def test_a_second_gpu_that_is_not_there_is_not_taken_for_the_first():
    with pytest.raises(OptionError, match="gpu:1 is not there"):
        device_name("gpu:1", ["CPU", "GPU"])


def test_single_precision_is_asked_for(tmp_path, load):
    """Of the hint, not of the default, which is bf16 on some CPUs."""
    notes = load(seeing_model(tmp_path / "m.onnx"), preset="ultralytics").notes
    assert notes.runtime["precision"] == "float32"
    assert notes.runtime["name"] == "openvino"
    assert ov.__version__.startswith(notes.runtime["version"])
    assert notes.runtime["device"].startswith("CPU: ")
    assert notes.runtime["threads"] >= 1


@pytest.mark.parametrize(("precision", "capability"), [("bf16", "BF16"), ("f16", "FP16")])
def test_another_precision_is_used_and_stated_or_refused(precision, capability, tmp_path, load):
    path = seeing_model(tmp_path / "m.onnx")
    if capability in CAPABILITIES:
        used = load(path, preset="ultralytics", precision=precision).notes.runtime["precision"]
        assert used == {"bf16": "bfloat16", "f16": "float16"}[precision]
    else:
        with pytest.raises(OptionError, match=f"precision={precision} is nothing that .* computes in"):
            load(path, preset="ultralytics", precision=precision)


def test_the_precision_of_auto_is_that_of_openvino(tmp_path, load):
    path = seeing_model(tmp_path / "m.onnx")
    chosen = the_core().compile_model(str(path), "CPU").get_property("INFERENCE_PRECISION_HINT")
    used = load(path, preset="ultralytics", precision="auto").notes.runtime["precision"]
    assert used == {"f32": "float32", "bf16": "bfloat16", "f16": "float16"}[chosen.to_string()]


def test_threads_are_set(tmp_path):
    path = str(seeing_model(tmp_path / "m.onnx"))
    assert Compiled(path, threads=1).runtime.threads == 1
    with pytest.raises(OptionError, match="threads=1000 are too many"):
        Compiled(path, threads=1000)


@pytest.mark.parametrize("dtype", [np.float32, np.float16])
def test_a_model_has_what_the_file_declares(dtype, tmp_path):
    outputs = [np.zeros((1, 5, 4)), np.zeros((1, 5), np.int64)]
    path = constant_model(
        tmp_path / "m.onnx",
        outputs,
        dtype=dtype,
        input_shape=("n", 3, "h", None),
        names=["boxes", "labels"],
        metadata={"task": "x", "a.b": "{0: 'c'}"},
    )
    model, kind = Compiled(str(path)), np.dtype(dtype).name
    assert model.inputs == (TensorInfo("pixels", (None, 3, None, None), kind),)
    assert model.outputs == (TensorInfo("boxes", (1, 5, 4), kind), TensorInfo("labels", (1, 5), "int64"))
    assert model.metadata == {"task": "x", "a.b": "{0: 'c'}"}
    found = model.run({"pixels": np.zeros((2, 3, 8, 8), dtype)})
    assert [array.dtype.name for array in found] == [kind, "int64"]


def test_results_of_a_run_stay_when_the_next_is_made(tmp_path):
    model = Compiled(str(seeing_model(tmp_path / "m.onnx")))
    (first,) = model.run({"pixels": np.zeros((1, 3, 64, 64), np.float32)})
    kept = first.copy()
    model.run({"pixels": np.ones((1, 3, 64, 64), np.float32)})
    np.testing.assert_array_equal(first, kept)


SIGNALED = """
import faulthandler, signal, subprocess, sys
from anydet_openvino.compiled import Compiled

faulthandler.enable()
signal.signal(signal.SIGCHLD, lambda *_: None)  # as torch's loaders with workers do
models = [Compiled(path) for path in sys.argv[1:]]
while models:
    del models[0]
subprocess.run([sys.executable, "-c", ""], check=True)
"""


@pytest.mark.slow
def test_signals_are_handled_after_models_are_gone(tmp_path):
    paths = [seeing_model(tmp_path / name) for name in ("a.onnx", "b.onnx")]
    done = subprocess.run([sys.executable, "-c", SIGNALED, *map(str, paths)], check=False)
    assert done.returncode == 0


def test_an_ir_predicts_as_the_file_that_it_is_made_of(tmp_path, load, records):
    path = seeing_model(tmp_path / "m.onnx", batch="N", size_hw=("h", "w"))
    ov.save_model(the_core().read_model(path), tmp_path / "m.xml", compress_to_fp16=False)
    ours, theirs = (
        list(load(file, preset="ultralytics", size="64", batch_size=2).predict(records))
        for file in (tmp_path / "m.xml", path)
    )
    assert sum(map(len, ours)) > 10
    for a, b in zip(ours, theirs, strict=True):
        np.testing.assert_array_equal(a.boxes_xyxy_px, b.boxes_xyxy_px)
    (tmp_path / "m.bin").unlink()
    with pytest.raises(ModelError, match=r"its weights m\.bin are not there"):
        load(tmp_path / "m.xml", preset="ultralytics")


def test_an_ir_keeps_the_metadata_of_the_file_that_it_is_made_of(tmp_path):
    path = constant_model(tmp_path / "m.onnx", [OUTPUT], metadata={"anydet": '{"a": [1, "<b>"]}'})
    ov.save_model(the_core().read_model(path), tmp_path / "m.xml")
    assert Compiled(str(tmp_path / "m.xml")).metadata == {"anydet": '{"a": [1, "<b>"]}'}


def test_metadata_beside_an_ir_are_read_as_ultralytics_writes_them(tmp_path, load):
    model = the_core().read_model(constant_model(tmp_path / "m.onnx", [np.zeros((1, 6, 84))]))
    ov.save_model(model, tmp_path / "m.xml")
    beside = tmp_path / "metadata.yaml"
    beside.write_text("stride: 32\ntask: detect\nimgsz:\n- 64\n- 64\nnames:\n  0: cat\n  1: dog\n", "utf-8")
    adapter = load(tmp_path / "m.xml")
    assert adapter.classes.names == ("cat", "dog")
    assert adapter.notes.details["preset"] == "ultralytics"
    beside.write_text("a: [", "utf-8")
    with pytest.raises(ModelError, match=r"metadata\.yaml cannot be read"):
        load(tmp_path / "m.xml")


def test_a_broken_ir_is_an_error_with_its_name(tmp_path, load):
    (tmp_path / "m.xml").write_text('<?xml version="1.0"?>\n<net name="m" version="11"><layers', "utf-8")
    (tmp_path / "m.bin").write_bytes(b"")
    with pytest.raises(ModelError, match=r"m\.xml cannot be opened by OpenVINO"):
        load(tmp_path / "m.xml", preset="yolox")


def test_a_reason_is_what_a_message_says_without_its_places():
    text = "Exception from src/a.cpp:1:\nCheck 'x' failed at src/b.cpp:2:\nCan't set the input tensor\n\n"
    assert reason(RuntimeError(text)) == "Can't set the input tensor"
    assert reason(RuntimeError("Exception from src/a.cpp:1:\n")) == "Exception from src/a.cpp:1:"
    assert reason(RuntimeError()) == "RuntimeError"
