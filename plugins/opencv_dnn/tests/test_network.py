from __future__ import annotations

from functools import partial

import cv2
import numpy as np
import onnx
import pytest
from onnx import TensorProto, helper
from tests.onnx_models import constant_model, load_runtime, seeing_model

from anydet.errors import OptionError
from anydet.plugins.manager import Plugins
from anydet.runtime.errors import ModelError
from anydet.runtime.loaded import TensorInfo
from anydet_opencv_dnn.network import Network, reason


@pytest.fixture
def load():
    return partial(load_runtime, Plugins(only=["opencv_dnn"]), "opencv_dnn")


@pytest.mark.parametrize("dtype", [np.float32, np.float16])
def test_a_network_has_what_the_file_declares(dtype, tmp_path):
    outputs = [np.zeros((1, 5, 4)), np.zeros((1, 5), np.int64)]
    opened = ("n", 3, "h", None)
    path = constant_model(
        tmp_path / "m.onnx",
        outputs,
        dtype=dtype,
        input_shape=opened,
        names=["boxes", "labels"],
        metadata={"task": "x"},
        weights_are_inputs=True,
    )
    network, kind = Network(str(path)), np.dtype(dtype).name
    assert network.inputs == (TensorInfo("pixels", opened, kind),)
    assert network.outputs == (TensorInfo("boxes", (1, 5, 4), kind), TensorInfo("labels", (1, 5), "int64"))
    assert network.metadata == {"task": "x"}
    found = network.run({"pixels": np.zeros((2, 3, 8, 8), dtype)})
    assert [array.dtype.kind for array in found] == ["f", "i"]


def test_results_of_a_run_stay_when_the_next_is_made(tmp_path):
    network = Network(str(seeing_model(tmp_path / "m.onnx")))
    (first,) = network.run({"pixels": np.zeros((1, 3, 64, 64), np.float32)})
    kept = first.copy()
    network.run({"pixels": np.ones((1, 3, 64, 64), np.float32)})
    np.testing.assert_array_equal(first, kept)


def test_an_input_of_another_shape_than_declared_does_not_run(tmp_path):
    network = Network(str(seeing_model(tmp_path / "m.onnx")))
    for shape in ((1, 3, 64, 96), (2, 3, 64, 64), (3, 64, 64)):
        with pytest.raises(ModelError, match=r"the input is pixels float32 \(1, 3, 64, 64\), not"):
            network.run({"pixels": np.zeros(shape, np.float32)})


def test_each_adapter_has_its_own_number_of_threads(tmp_path):
    path = str(seeing_model(tmp_path / "m.onnx"))
    one, two = Network(path, threads=1), Network(path, threads=2)
    for network, threads in ((one, 1), (two, 2), (one, 1)):
        network.run({"pixels": np.zeros((1, 3, 64, 64), np.float32)})
        assert cv2.getNumThreads() == network.runtime.threads == threads
    with pytest.raises(OptionError, match="threads=1000 are too many"):
        Network(path, threads=1000)


@pytest.mark.parametrize("device", ["cuda", "gpu", "CPU", ""])
def test_another_device_than_the_cpu_is_an_error_that_says_who_has_it(device, tmp_path, load):
    with pytest.raises(OptionError, match="runs on the CPU") as error:
        load(seeing_model(tmp_path / "m.onnx"), preset="ultralytics", device=device)
    assert "onnxruntime" in error.value.fix


def test_an_operator_that_opencv_lacks_is_named_with_the_adapters_that_have_it(tmp_path, load, capfd):
    node = helper.make_node("DeformConv", ["pixels", "pixels", "pixels"], ["out"])
    image, output = (
        helper.make_tensor_value_info(name, TensorProto.FLOAT, [1, 3, 8, 8]) for name in ("pixels", "out")
    )
    graph = helper.make_graph([node], "g", [image], [output])
    opset = helper.make_opsetid("", 19)  # the first with DeformConv
    onnx.save(helper.make_model(graph, opset_imports=[opset], ir_version=9), tmp_path / "m.onnx")
    with pytest.raises(ModelError) as error:
        load(tmp_path / "m.onnx", preset="yolox")
    assert error.value.problem.endswith(f"OpenCV {cv2.__version__} does not have its operator 'DeformConv'")
    assert error.value.fix == "use --adapter onnxruntime or --adapter openvino"
    assert capfd.readouterr() == ("", "")


def test_the_log_of_opencv_is_as_loud_afterwards_as_before(tmp_path):
    before = cv2.utils.logging.getLogLevel()
    Network(str(seeing_model(tmp_path / "m.onnx")))
    assert cv2.utils.logging.getLogLevel() == before


def test_a_reason_is_what_a_message_says_without_its_place():
    text = "OpenCV(5.0.0) /io/a.cpp:1114: error: (-2:Unspecified error) in function 'f'\n> Node [A]: bad"
    assert "Node [A]: bad" in reason(cv2.error(text))
    text = "OpenCV(5.0.0) /io/a.cpp:4: error: (-215:Assertion failed) !empty() in function 'forward'\n"
    assert reason(cv2.error(text)) == "!empty()"
    assert reason(cv2.error("")) == "error"
