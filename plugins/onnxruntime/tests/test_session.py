from __future__ import annotations

import os

import numpy as np
import onnx
import onnxruntime as ort
import pytest
from onnx import TensorProto, helper

from anydet.data.record.pixels import ImageArray
from anydet.data.record.record import Record
from anydet.errors import OptionError
from anydet.runtime.errors import ModelError
from anydet.runtime.loaded import TensorInfo
from anydet_onnxruntime.session import Session, open_session, providers

CPU = ["CPUExecutionProvider"]
GPU = ["TensorrtExecutionProvider", "CUDAExecutionProvider", "CPUExecutionProvider"]
OUTPUT = np.zeros((1, 84, 8))


@pytest.mark.parametrize(
    ("device", "names", "index"),
    [
        ("cpu", ["CPUExecutionProvider"], None),
        ("cuda", ["CUDAExecutionProvider", "CPUExecutionProvider"], "0"),
        ("cuda:1", ["CUDAExecutionProvider", "CPUExecutionProvider"], "1"),
        ("tensorrt", GPU, "0"),
        ("tensorrt:2", GPU, "2"),
    ],
)
def test_a_device_is_a_list_of_providers(device, names, index):
    chosen = providers(device, GPU)
    assert [name for name, _ in chosen] == names
    assert {options.get("device_id") for name, options in chosen if name != "CPUExecutionProvider"} <= {index}


@pytest.mark.parametrize("device", ["gpu", "cuda:x", "cuda:-1", "cpu:0", "", "CUDA"])
def test_an_unknown_device_names_the_known_ones(device):
    with pytest.raises(OptionError, match="tensorrt:N"):
        providers(device, GPU)


@pytest.mark.parametrize(
    ("device", "provider"), [("cuda", "CUDA"), ("cuda:1", "CUDA"), ("tensorrt", "Tensorrt")]
)
def test_a_missing_provider_says_what_there_is_and_what_to_install(
    device, provider, build, load, monkeypatch
):
    monkeypatch.setattr(ort, "get_available_providers", lambda: CPU)
    with pytest.raises(OptionError) as error:
        load(build([OUTPUT]), preset="yolox", device=device)
    assert f"{provider}ExecutionProvider" in error.value.problem
    assert "it has CPUExecutionProvider" in error.value.problem
    assert "onnxruntime-gpu" in error.value.fix


HAS_CUDA = "CUDAExecutionProvider" in ort.get_available_providers()


@pytest.mark.skipif(HAS_CUDA, reason="CUDA would start here")
@pytest.mark.filterwarnings("ignore:Specified provider")
def test_a_provider_that_does_not_start_is_no_silent_run_on_the_cpu(build, load, monkeypatch):
    monkeypatch.setattr(ort, "get_available_providers", lambda: GPU)
    with pytest.raises(OptionError, match="did not start"):
        load(build([OUTPUT]), preset="yolox", device="cuda")


@pytest.mark.gpu
@pytest.mark.skipif(not HAS_CUDA, reason="this onnxruntime has no CUDAExecutionProvider")
def test_cuda_gives_what_the_cpu_gives(build_seeing, load):
    record = Record("a", ImageArray(np.random.default_rng(0).integers(0, 256, (50, 70, 3), dtype=np.uint8)))
    path = build_seeing()
    (cpu,) = load(path, preset="ultralytics").predict([record])
    (cuda,) = load(path, preset="ultralytics", device="cuda").predict([record])
    np.testing.assert_allclose(cuda.scores, cpu.scores, atol=1e-3)


def test_threads_are_set(build):
    path = str(build([OUTPUT]))
    options = open_session(path).get_session_options()
    assert options.intra_op_num_threads == os.cpu_count()
    assert options.inter_op_num_threads == 1
    assert open_session(path, threads=3).get_session_options().intra_op_num_threads == 3


def test_the_threads_option_reaches_the_session(build, load, monkeypatch):
    seen = []
    real = ort.InferenceSession
    monkeypatch.setattr(
        ort, "InferenceSession", lambda path, options, **kw: seen.append(options) or real(path, options, **kw)
    )
    load(build([OUTPUT]), preset="yolox", threads=2)
    assert [options.intra_op_num_threads for options in seen] == [2]


def test_no_checkpoint_is_an_error_that_says_how_to_give_one(load):
    with pytest.raises(OptionError, match="needs a model file") as error:
        load(None, preset="yolox")
    assert "--checkpoint" in error.value.fix


@pytest.mark.parametrize("content", [b"", b"not a model at all", b"\x08\x07garbage" * 50])
def test_a_file_that_is_no_model_is_an_error_with_its_name(content, tmp_path, load):
    path = tmp_path / "broken.onnx"
    path.write_bytes(content)
    with pytest.raises(ModelError, match=r"broken\.onnx"):
        load(path, preset="yolox")


def test_a_truncated_model_is_an_error(build, load):
    path = build([np.random.default_rng(0).random((1, 84, 8))])
    path.write_bytes(path.read_bytes()[:-400])
    with pytest.raises(ModelError, match="cannot be opened as an ONNX model"):
        load(path, preset="yolox")


def test_a_missing_file_and_a_folder_are_errors(tmp_path, load):
    for path in (tmp_path / "nowhere.onnx", tmp_path):
        with pytest.raises(ModelError, match=r"no such file|a folder, no ONNX model"):
            load(path, preset="yolox")


def test_missing_external_data_is_an_error_that_names_it(build, load):
    path = build([np.random.default_rng(0).random((1, 84, 8))])
    model = onnx.load(path)
    onnx.save(model, path, save_as_external_data=True, location="weights.data", size_threshold=0)
    load(path, preset="yolox").close()
    (path.parent / "weights.data").unlink()
    with pytest.raises(ModelError) as error:
        load(path, preset="yolox")
    assert "weights.data" in error.value.problem
    assert "put the file beside the model" in error.value.fix


@pytest.mark.parametrize("shape", [(1, 64, 64, 4), (1, 1, 64, 64), (64, 64), (1, 3, 8)])
def test_an_input_that_is_no_image_is_an_error_that_shows_it(shape, build, load):
    with pytest.raises(ModelError) as error:
        load(build([OUTPUT], input_shape=shape), preset="yolox")
    assert str(shape) in error.value.problem


def test_an_input_that_nobody_can_feed_is_an_error_that_shows_it(build, load):
    for name, kind, shape in (
        ("scale_factor", TensorProto.FLOAT, (1, 2)),
        ("input_ids", TensorProto.INT64, (1, "length")),
        ("sizes", TensorProto.INT64, (1, 3)),
    ):
        extra = helper.make_tensor_value_info(name, kind, shape)
        with pytest.raises(ModelError, match=f"needs an input {name} .* beside the image"):
            load(build([OUTPUT], extra_inputs=[extra]), preset="yolox")


def test_a_pixel_mask_is_fed(build, load):
    mask = helper.make_tensor_value_info("pixel_mask", TensorProto.INT64, ["batch", 64, 64])
    adapter = load(build([np.zeros((1, 9, 6)), np.full((1, 9, 4), 0.5)], extra_inputs=[mask]), preset="detr")
    assert adapter.classes is None


@pytest.mark.parametrize("dtype", [np.float32, np.float16])
def test_a_session_has_what_the_file_declares(dtype, build):
    outputs = [np.zeros((1, 5, 4)), np.zeros((1, 5), np.int64)]
    opened = ("n", 3, "h", None)
    path = build(outputs, dtype=dtype, input_shape=opened, names=["boxes", "labels"], metadata={"task": "x"})
    session, kind = Session(str(path)), np.dtype(dtype).name
    assert session.inputs == (TensorInfo("pixels", opened, kind),)
    assert session.outputs == (TensorInfo("boxes", (1, 5, 4), kind), TensorInfo("labels", (1, 5), "int64"))
    assert session.metadata == {"task": "x"}
    found = session.run({"pixels": np.zeros((2, 3, 8, 8), dtype)})
    assert [array.dtype.name for array in found] == [kind, "int64"]


@pytest.mark.parametrize("ir_version", [3, 9])  # up to 3 all weights were inputs too
def test_weights_that_are_listed_as_inputs_are_not_fed(ir_version, build, load):
    path = build([OUTPUT], weights_are_inputs=True, ir_version=ir_version)
    assert [tensor.name for tensor in Session(str(path)).inputs] == ["pixels"]
    (result,) = load(path, preset="yolox").predict([Record("a", ImageArray(np.zeros((64, 64, 3), np.uint8)))])
    assert len(result) == 0


def test_threads_are_at_least_one(build, load):
    with pytest.raises(OptionError, match="0 is less than the minimum"):
        load(build([OUTPUT]), preset="yolox", threads=0)


def test_closing_twice_is_fine(build, load):
    adapter = load(build([OUTPUT]), preset="yolox")
    adapter.close()
    adapter.close()
