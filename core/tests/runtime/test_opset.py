"""What is newer than the opset that a model states is named, with what to do."""

from __future__ import annotations

import numpy as np
import onnx
import pytest
from onnx import TensorProto, helper, numpy_helper

from anydet.runtime.errors import ModelError
from anydet.runtime.opset import check_opset


def quantized(path, opset, *, operator="DequantizeLinear", domain="", others=(), **attributes):
    """A graph with one quantizer; its operators are of ``domain``."""
    weights = [
        numpy_helper.from_array(np.zeros((3, 4), np.int8), "w"),
        numpy_helper.from_array(np.ones(3, np.float32), "scale"),
    ]
    nodes = [helper.make_node(operator, ["w", "scale"], ["y"], "weights", domain=domain, **attributes)]
    outputs = [helper.make_tensor_value_info("y", TensorProto.FLOAT, [3, 4])]
    graph = helper.make_graph(nodes, "g", [], outputs, weights)
    opsets = [*others, helper.make_opsetid("", opset)]
    onnx.save(helper.make_model(graph, opset_imports=opsets), path)
    return path


@pytest.mark.parametrize(
    ("opset", "operator", "attributes", "said"),
    [
        (11, "DequantizeLinear", {"axis": 0}, "'axis' of DequantizeLinear, which is of opset 13"),
        (12, "QuantizeLinear", {"axis": 0}, "'axis' of QuantizeLinear, which is of opset 13"),
        (9, "DequantizeLinear", {}, "the operator DequantizeLinear, which is of opset 10"),
        (13, "DequantizeLinear", {"axis": 1, "block_size": 4}, "'block_size' of DequantizeLinear"),
        (13, "QuantizeLinear", {"saturate": 1}, "'saturate' of QuantizeLinear, which is of opset 19"),
    ],
)
def test_what_is_newer_than_the_opset_is_named(opset, operator, attributes, said, tmp_path):
    path = quantized(tmp_path / "m.onnx", opset, operator=operator, **attributes)
    with pytest.raises(ModelError) as error:
        check_opset(path)
    assert f"states opset {opset}, and node 'weights' has" in error.value.problem
    assert said in error.value.problem
    assert "anydet quantize" in error.value.fix


@pytest.mark.parametrize(
    ("opset", "domain", "attributes"),
    [(13, "", {"axis": 0}), (10, "", {}), (21, "", {"block_size": 4}), (11, "com.microsoft", {"axis": 0})],
)
def test_what_the_opset_has_is_fine(opset, domain, attributes, tmp_path):
    others = [helper.make_opsetid("com.microsoft", 1)]
    check_opset(quantized(tmp_path / "m.onnx", opset, domain=domain, others=others, **attributes))


def test_what_is_no_model_is_left_to_the_runtime(tmp_path):
    path = tmp_path / "m.onnx"
    path.write_bytes(b"<html>" * 9)
    check_opset(path)
