"""Half precision: casts where the precision changes, and nowhere else."""

from __future__ import annotations

import numpy as np
import pytest

onnx = pytest.importorskip("onnx")

from onnx import TensorProto, helper, numpy_helper
from onnx.reference import ReferenceEvaluator

from anydet.export.half import half_precision

DICE = np.random.default_rng(3)


def value_info(name, kind=TensorProto.FLOAT):
    """An output of any size: four axes, or one of whole numbers."""
    return helper.make_tensor_value_info(name, kind, [None] * (4 if kind == TensorProto.FLOAT else 1))


def graph_of(nodes, weights, outputs=("out",), dtypes=None):
    """A model of images (1, 3, 4, 4) with float weights."""
    tensors = [numpy_helper.from_array(values, name) for name, values in weights.items()]
    inputs = [helper.make_tensor_value_info("images", TensorProto.FLOAT, [1, 3, 4, 4])]
    kinds = dtypes or {}
    found = [value_info(o, kinds.get(o, TensorProto.FLOAT)) for o in outputs]
    graph = helper.make_graph(nodes, "graph", inputs, found, tensors)
    model = helper.make_model(graph, opset_imports=[helper.make_opsetid("", 17)], ir_version=8)
    helper.set_model_props(model, {"anydet": "kept"})
    return model


def conv_then_box(scale=1000.0):
    """A convolution, and arithmetic of boxes that half precision would round to whole pixels."""
    weights = {
        "kernel": DICE.normal(size=(2, 3, 1, 1)).astype(np.float32),
        "scale": np.array(scale, np.float32),
        "offset": np.array(0.123, np.float32),
    }
    nodes = [
        helper.make_node("Conv", ["images", "kernel"], ["features"], name="/backbone/conv/Conv"),
        helper.make_node("Relu", ["features"], ["active"], name="/backbone/relu/Relu"),
        helper.make_node("Mul", ["images", "scale"], ["large"], name="/boxes/Mul"),
        helper.make_node("Add", ["large", "offset"], ["boxes"], name="/boxes/Add"),
    ]
    return graph_of(nodes, weights, ("active", "boxes"))


def run(model, images):
    return ReferenceEvaluator(model).run(None, {"images": images})


def test_scopes_that_are_named_stay_in_float32():
    images = DICE.uniform(size=(1, 3, 4, 4)).astype(np.float32)
    whole = run(conv_then_box(), images)
    plain, kept = (run(half_precision(conv_then_box(), scopes), images) for scopes in ((), ("/boxes",)))
    np.testing.assert_array_equal(kept[1], whole[1])
    assert 0.05 < np.abs(plain[1] - whole[1]).max() < 1
    assert [o.dtype for o in kept] == [np.float32, np.float32]


def test_a_tensor_is_cast_where_its_precision_changes_and_nowhere_else():
    model = half_precision(conv_then_box(), ("/boxes",))
    casts = [(node.input[0], node.output[0]) for node in model.graph.node if node.op_type == "Cast"]
    assert casts == [("images", "images/float16"), ("active/float16", "active")]
    stored = {tensor.name: tensor.data_type for tensor in model.graph.initializer}
    assert stored == {
        "kernel/float16": TensorProto.FLOAT16,
        "scale": TensorProto.FLOAT,
        "offset": TensorProto.FLOAT,
    }
    assert {entry.key: entry.value for entry in model.metadata_props} == {"anydet": "kept"}


def test_a_weight_that_half_precision_has_no_number_for_stays():
    model = half_precision(conv_then_box(scale=1e6))
    assert {t.name: t.data_type for t in model.graph.initializer}["scale"] == TensorProto.FLOAT
    (_, boxes) = run(model, np.full((1, 3, 4, 4), 1e-3, np.float32))
    assert np.isfinite(boxes).all()


def test_weights_that_both_precisions_use_are_there_twice():
    weights = {"two": np.array(2, np.float32)}
    nodes = [
        helper.make_node("Mul", ["images", "two"], ["a"], name="/layer/Mul"),
        helper.make_node("Mul", ["a", "two"], ["out"], name="/boxes/Mul"),
    ]
    model = half_precision(graph_of(nodes, weights), ("/boxes",))
    assert {tensor.name for tensor in model.graph.initializer} == {"two", "two/float16"}
    images = np.full((1, 3, 4, 4), 0.5, np.float32)
    np.testing.assert_array_equal(run(model, images)[0], 4 * images)


def test_whole_numbers_and_what_a_branch_uses_are_left_alone():
    branch = helper.make_graph(
        [helper.make_node("Add", ["doubled", "doubled"], ["inner"], name="/branch/Add")],
        "branch",
        [],
        [value_info("inner")],
    )
    nodes = [
        helper.make_node("Add", ["images", "images"], ["doubled"], name="/layer/Add"),
        helper.make_node("If", ["yes"], ["out"], name="/If", then_branch=branch, else_branch=branch),
        helper.make_node("Shape", ["doubled"], ["shape"], name="/Shape"),
    ]
    weights = {"yes": np.array(True)}
    model = graph_of(nodes, weights, ("out", "shape"), {"shape": TensorProto.INT64})
    images = DICE.uniform(size=(1, 3, 4, 4)).astype(np.float32)
    found, shape = run(half_precision(model), images)
    np.testing.assert_allclose(found, 4 * images, rtol=1e-3)
    assert shape.tolist() == [1, 3, 4, 4]


def test_scales_of_a_resize_stay_float32():
    nodes = [
        helper.make_node("Resize", ["images", "", "scales"], ["out"], name="/fpn/Resize", mode="nearest"),
    ]
    model = half_precision(graph_of(nodes, {"scales": np.array([1, 1, 2, 2], np.float32)}))
    assert [t.data_type for t in model.graph.initializer] == [TensorProto.FLOAT]
    assert run(model, np.ones((1, 3, 4, 4), np.float32))[0].shape == (1, 3, 8, 8)
