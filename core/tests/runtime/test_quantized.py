"""Types that a file is quantized to, beside what onnx reads in it."""

from __future__ import annotations

import numpy as np
import onnx
import pytest
from onnx import helper, numpy_helper

from anydet.runtime.quantized import quantized_types


def saved(path, nodes, constants):
    weights = [numpy_helper.from_array(array, name) for name, array in constants.items()]
    graph = helper.make_graph(nodes, "g", [helper.make_tensor_value_info("x", 1, [2])], [], weights)
    onnx.save(helper.make_model(graph), path)
    return path


def pair(zero_point):
    inputs = ["x", "s", *([zero_point] if zero_point else [])]
    return [
        helper.make_node("QuantizeLinear", inputs, ["q"]),
        helper.make_node("DequantizeLinear", ["q", *inputs[1:]], ["d"]),
    ]


@pytest.mark.parametrize("dtype", [np.int8, np.uint8, np.int16])
def test_the_type_is_that_of_the_zero_point(dtype, tmp_path):
    path = saved(tmp_path / "m.onnx", pair("z"), {"s": np.float32(1), "z": dtype(0)})
    assert quantized_types(path) == (np.dtype(dtype).name,)


def test_without_a_zero_point_it_is_that_of_the_standard(tmp_path):
    assert quantized_types(saved(tmp_path / "m.onnx", pair(None), {"s": np.float32(1)})) == ("uint8",)


def test_a_model_in_float_and_other_files_have_none(tmp_path):
    node = helper.make_node("Relu", ["x"], ["y"])
    assert quantized_types(saved(tmp_path / "m.onnx", [node], {"z": np.int8(0)})) == ()
    (tmp_path / "m.engine").write_bytes(b"\x3a\xff\xffnothing of ONNX")
    assert quantized_types(tmp_path / "m.engine") == ()
    assert quantized_types(tmp_path / "none.onnx") == ()
