"""Quantized files have the numbers that the file says, in int8 and in float32."""

from __future__ import annotations

import os
import platform
import subprocess
import sys
from functools import partial

import numpy as np
import openvino as ov
import pytest
from onnx import helper, load, numpy_helper, save
from onnx.reference import ReferenceEvaluator
from tests.onnx_models import load_runtime, save_graph, seeing_model

import anydet_openvino.compiled
from anydet.errors import OptionError
from anydet.plugins.manager import Plugins
from anydet_openvino.compiled import Compiled
from anydet_openvino.quantized import join_pairs, saturates

SIDE = 9


def quantized_convolution(path, before, *, scale=2.0, zero_point=None):
    """A convolution in int8 of what stands in ``before``: nodes from ``x`` and ``y`` to ``tensor``."""
    rng = np.random.default_rng(0)
    weights = {
        "stored": rng.integers(-127, 128, (8, 6, 3, 3)).astype(np.int8),
        "weight_scales": np.linspace(0.01, 0.03, 8, dtype=np.float32),
        "weight_zeros": np.zeros(8, np.int8),
        "scale": np.float32(scale),
        "zero_point": np.int8(0) if zero_point is None else zero_point,
    }
    nodes = [
        *before,
        helper.make_node("QuantizeLinear", ["tensor", "scale", "zero_point"], ["q"]),
        helper.make_node("DequantizeLinear", ["q", "scale", "zero_point"], ["d"]),
        helper.make_node("DequantizeLinear", ["stored", "weight_scales", "weight_zeros"], ["w"], axis=0),
        helper.make_node("Conv", ["d", "w"], ["out"], kernel_shape=[3, 3]),
    ]
    inputs = [helper.make_tensor_value_info(name, 1, [1, 3, SIDE, SIDE]) for name in ("x", "y")]
    outputs = [helper.make_tensor_value_info("out", 1, [1, 8, SIDE - 2, SIDE - 2])]
    constants = [numpy_helper.from_array(array, name) for name, array in weights.items()]
    save_graph(path, nodes, inputs=inputs, outputs=outputs, initializers=constants)
    model = load(path)
    model.opset_import[0].version = 19  # the first that onnx's own evaluator has for these operators
    save(model, path)
    return path


CONCAT = [helper.make_node("Concat", ["x", "y"], ["tensor"], axis=1)]
SUM = [
    helper.make_node("Concat", ["x", "y"], ["both"], axis=1),
    helper.make_node("Add", ["both", "both"], ["tensor"]),
]


@pytest.fixture
def feeds():
    rng = np.random.default_rng(1)
    return {name: rng.uniform(-250, 250, (1, 3, SIDE, SIDE)).astype(np.float32) for name in ("x", "y")}


@pytest.mark.parametrize("quantized", ["int8", "f32"])
@pytest.mark.parametrize("zero_point", [np.int8(0), np.int8(-9), np.uint8(128)])
@pytest.mark.parametrize("before", [CONCAT, SUM], ids=["concat", "sum"])
def test_numbers_are_those_of_the_file(before, zero_point, quantized, tmp_path, feeds):
    """Of a tensor quantized right behind a Concat, OpenVINO's own passes take the scale for one."""
    if quantized == "int8" and saturates():
        pytest.skip("this processor's int8 saturates")
    path = quantized_convolution(tmp_path / "m.onnx", before, zero_point=zero_point)
    (wanted,) = ReferenceEvaluator(load(path)).run(None, feeds)
    (found,) = Compiled(str(path), quantized=quantized, threads=1).run(feeds)
    np.testing.assert_allclose(found, wanted, atol=1e-5 * np.abs(wanted).max())


def test_pairs_behind_a_concat_become_one_operation_each(tmp_path):
    model = ov.Core().read_model(quantized_convolution(tmp_path / "m.onnx", CONCAT))
    assert join_pairs(model) == 1
    assert join_pairs(model) == 0
    assert join_pairs(ov.Core().read_model(quantized_convolution(tmp_path / "m.onnx", SUM))) == 0


@pytest.mark.parametrize(
    ("saturating", "quantized", "precision"),
    [
        (False, None, "int8, float32"),
        (False, "f32", "float32"),
        (True, None, "float32"),
        (True, "f32", "float32"),
    ],
)
def test_layers_are_in_int8_where_that_is_exact(saturating, quantized, precision, tmp_path, monkeypatch):
    monkeypatch.setattr(anydet_openvino.compiled, "saturates", lambda: saturating)
    path = quantized_convolution(tmp_path / "m.onnx", CONCAT)
    runtime = Compiled(str(path), quantized=quantized).runtime
    assert (runtime.precision, runtime.details) == (precision, {"quantized": "int8"})


def test_int8_that_saturates_is_refused(tmp_path, monkeypatch):
    monkeypatch.setattr(anydet_openvino.compiled, "saturates", lambda: True)
    with pytest.raises(OptionError, match=r"saturate on .* no VNNI") as error:
        Compiled(str(quantized_convolution(tmp_path / "m.onnx", SUM)), quantized="int8")
    assert "quantized=f32" in error.value.fix


@pytest.mark.slow
@pytest.mark.skipif(platform.machine() != "x86_64", reason="oneDNN's instruction sets of x86")
def test_saturation_is_measured(tmp_path):
    """oneDNN without VNNI, as on a CPU that lacks it, adds products of int8 in 16 bits."""
    code = "from anydet_openvino.quantized import saturates; print(saturates())"
    environment = {**os.environ, "ONEDNN_MAX_CPU_ISA": "AVX2"}
    done = subprocess.run(
        [sys.executable, "-c", code], check=False, env=environment, capture_output=True, text=True
    )
    assert done.stdout == "True\n", done.stderr


def test_a_model_in_float_has_nothing_of_it(tmp_path):
    runtime = Compiled(str(seeing_model(tmp_path / "m.onnx"))).runtime
    assert (runtime.precision, runtime.details) == ("float32", {})


def test_meta_says_what_an_int8_file_is_computed_in(tmp_path):
    """As a quantized layer in front of a detector that is in float."""
    model = load(seeing_model(tmp_path / "m.onnx"))
    (image,) = (value.name for value in model.graph.input)
    for node in model.graph.node:
        node.input[:] = ["restored" if name == image else name for name in node.input]
    constants = {"scale": np.float32(1 / 127), "zero": np.int8(0)}
    model.graph.initializer.extend(numpy_helper.from_array(a, name) for name, a in constants.items())
    pair = [
        helper.make_node("QuantizeLinear", [image, "scale", "zero"], ["stored"]),
        helper.make_node("DequantizeLinear", ["stored", "scale", "zero"], ["restored"]),
    ]
    for place, node in enumerate(pair):
        model.graph.node.insert(place, node)
    save(model, tmp_path / "q.onnx")
    load_here = partial(load_runtime, Plugins(only=["openvino"]), "openvino")
    stated = load_here(tmp_path / "q.onnx", preset="ultralytics", quantized="f32").notes.runtime
    assert (stated["precision"], stated["quantized"]) == ("float32", "int8")
