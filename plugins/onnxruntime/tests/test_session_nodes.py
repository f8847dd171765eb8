"""The first node of a graph that differs, found by running each node of B on A's tensors."""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from anydet.crosscheck.locating.models import compare_models
from anydet.crosscheck.locating.nodes import first_node
from anydet.geometry.placement import Placement
from anydet.plugins.stages import Prepared
from anydet_onnxruntime.session import Session

onnx = pytest.importorskip("onnx")
helper, numpy_helper = onnx.helper, onnx.numpy_helper
X = np.random.default_rng(0).normal(0, 1, (3, 16, 16)).astype(np.float32)
PREPARED = Prepared(X, Placement((16, 16), (16, 16), (0, 0), (16, 16)))


def graph(changed: int | None = None, after: dict[str, list[Any]] | None = None, scale: float = 1.0) -> Any:
    """Four convolutions with ReLUs.

    Args:
        changed: convolution of which one weight is another.
        after: nodes between a tensor, which gets the name ``raw``, and those that read it.
        scale: of the weights.
    """
    rng = np.random.default_rng(1)
    nodes, weights, name = [], [], "images"
    for i in range(4):
        weight = (scale * rng.normal(0, 0.2, (8, 3 if i == 0 else 8, 3, 3))).astype(np.float32)
        if i == changed:
            weight[0, 0, 0, 0] += 0.5
        weights.append(numpy_helper.from_array(weight, f"w{i}"))
        made = f"c{i}"
        raw = "raw" if made in (after or {}) else made
        nodes.append(helper.make_node("Conv", [name, f"w{i}"], [raw], f"conv{i}", pads=[1, 1, 1, 1]))
        nodes += (after or {}).get(made, [])
        name = f"r{i}"
        nodes.append(helper.make_node("Relu", [made], [name], f"relu{i}"))
    shape = [1, 3, 16, 16]
    inputs = [helper.make_tensor_value_info("images", 1, shape)]
    outputs = [helper.make_tensor_value_info(name, 1, [1, 8, 16, 16])]
    made = helper.make_graph(nodes, "g", inputs, outputs, weights)
    return helper.make_model(made, opset_imports=[helper.make_opsetid("", 13)], ir_version=8)


@dataclass(frozen=True)
class Parts:
    """The parts of ``Stages`` that run a model."""

    model_file: str
    output_names: tuple[str, ...] = ("r3",)
    opens_files: bool = True

    def load(self, path: str) -> Session:
        return Session(path, threads=1)

    def feeds(self, tensor: Any) -> dict[str, Any]:
        return {"images": tensor[None]}

    def decode(self, outputs: Any, placement: Placement) -> None:
        """Of no layout that has boxes."""

    def run(self, tensor: Any) -> list[Any]:
        session = self.load(self.model_file)
        outputs = [output[0] for output in session.run(self.feeds(tensor))]
        session.close()
        return outputs


@pytest.fixture
def parts(tmp_path):
    def of(name: str, model: Any) -> Parts:
        path = Path(tmp_path / f"{name}.onnx")
        onnx.save(model, str(path))
        return Parts(str(path))

    return of


def casts(kind: int) -> list[Any]:
    return [
        helper.make_node("Cast", ["raw"], ["small"], "down", to=kind),
        helper.make_node("Cast", ["small"], ["c1"], "up", to=1),
    ]


def test_equal_graphs_have_no_such_node(parts):
    a = parts("a", graph())
    assert first_node(a, a, X) is None
    assert compare_models(a, a, [PREPARED])[0] == []


def test_a_changed_weight_is_found_where_it_is(parts):
    found = first_node(parts("a", graph()), parts("b", graph(changed=2)), X)
    assert found.step == "model"
    assert "conv2" in found.cause
    assert "1 of 576 numbers, by up to 0.5 (w2)" in found.cause


def test_half_precision_of_one_node_is_found(parts):
    found = first_node(parts("a", graph()), parts("b", graph(after={"c1": casts(10)})), X)
    assert (found.step, "conv1" in found.cause, "float16" in found.cause) == ("precision", True, True)


def test_half_precision_of_all_nodes_is_one_finding(parts):
    after = {
        f"c{i}": [
            helper.make_node("Cast", ["raw" if i == 1 else f"raw{i}"], [f"small{i}"], f"down{i}", to=10),
            helper.make_node("Cast", [f"small{i}"], [f"c{i}"], f"up{i}", to=1),
        ]
        for i in range(4)
    }
    model = graph(after=after)
    for i in (0, 2, 3):
        next(node for node in model.graph.node if node.name == f"conv{i}").output[0] = f"raw{i}"
    found = first_node(parts("a", graph()), parts("b", model), X)
    assert found.cause == "the model is computed in float16"


def test_an_overflow_names_the_largest_number(parts):
    a, b = (parts(n, graph(after=c, scale=60.0)) for n, c in (("a", None), ("b", {"c1": casts(10)})))
    found = first_node(a, b, 100 * X)
    assert "float16 overflows" in found.cause
    assert "65504" in found.evidence


def test_a_quantized_node_is_called_so(parts):
    pair = ["scale", "zero"]
    nodes = [
        helper.make_node("Constant", [], ["scale"], value=numpy_helper.from_array(np.float32(0.05))),
        helper.make_node("Constant", [], ["zero"], value=numpy_helper.from_array(np.uint8(128))),
        helper.make_node("QuantizeLinear", ["raw", *pair], ["q"], "quantize"),
        helper.make_node("DequantizeLinear", ["q", *pair], ["c1"], "dequantize"),
    ]
    found = first_node(parts("a", graph()), parts("b", graph(after={"c1": nodes})), X)
    assert (found.step, "quantized layer" in found.cause) == ("precision", True)
    assert "conv1" in found.cause


def test_an_operator_of_another_kind_is_named(parts):
    other = graph()
    next(n for n in other.graph.node if n.name == "relu2").op_type = "Abs"
    found = first_node(parts("a", graph()), parts("b", other), X)
    assert "the operator is Abs, not Relu" in found.cause


def test_a_sigmoid_more_at_the_end_is_an_activation(parts):
    other = graph()
    last = other.graph.node[-1]
    last.output[0] = "before"
    other.graph.node.append(helper.make_node("Sigmoid", ["before"], ["r3"], "more"))
    (found,), _, _ = compare_models(parts("a", graph()), parts("b", other), [PREPARED])
    assert (found.step, "once more" in found.cause) == ("activation", True)


def quantized() -> Any:
    """The graph with each convolution's result in int8."""
    after = {
        f"c{i}": [
            helper.make_node("Constant", [], [f"s{i}"], value=numpy_helper.from_array(np.float32(0.05))),
            helper.make_node("Constant", [], [f"z{i}"], value=numpy_helper.from_array(np.int8(0))),
            helper.make_node("QuantizeLinear", ["raw" if i == 1 else f"raw{i}", f"s{i}", f"z{i}"], [f"q{i}"]),
            helper.make_node("DequantizeLinear", [f"q{i}", f"s{i}", f"z{i}"], [f"c{i}"]),
        ]
        for i in range(4)
    }
    model = graph(after=after)
    for node in model.graph.node:
        if node.op_type == "Conv":
            node.output[0] = after[f"c{node.name[-1]}"][2].input[0]
    return model


@dataclass(frozen=True)
class Otherwise(Parts):
    """A runtime that computes a whole graph with other rounding, or otherwise than node by node."""

    noise: float = 0.0
    shift: int = 0

    def run(self, tensor: Any) -> list[Any]:
        noise = self.noise * np.random.default_rng(5).standard_normal(tensor.shape)
        found = super().run((tensor + noise).astype(np.float32))
        return [np.roll(output, self.shift, axis=-1) for output in found]


@pytest.mark.parametrize(
    ("fault", "cause", "certain"),
    [
        ({"noise": 2e-4}, "rounding puts numbers on other steps of the quantization", True),
        ({"shift": 1}, "computes the quantized model otherwise than its nodes one by one", False),
    ],
)
def test_of_two_quantized_models_rounding_is_told_from_other_numbers(fault, cause, certain, parts):
    a = parts("a", quantized())
    (found,), _, worst = compare_models(a, Otherwise(a.model_file, **fault), [PREPARED])
    assert worst > 1e-3
    assert (found.step, found.certain) == ("precision", certain)
    assert cause in found.cause


def test_of_models_in_float_nothing_is_said_of_steps(parts):
    a = parts("a", graph())
    assert compare_models(a, Otherwise(a.model_file, shift=1), [PREPARED])[0] == []
