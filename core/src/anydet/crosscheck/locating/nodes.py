"""The first node of an ONNX graph that gives something else than its inputs explain.

A tensor late in a graph differs because an early one does. So each node of B is run on A's own tensors: what differs
then is of that node. ``Stages.load`` runs it, so that the node runs as B's runtime runs it.
"""

from __future__ import annotations

import tempfile
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

from anydet.crosscheck.locating.columns import error_of
from anydet.crosscheck.locating.finding import Finding
from anydet.dataclass import dataclass
from anydet.errors import AnydetError
from anydet.plugins.stages import Stages

LOCAL = 5e-5
"""Error of one node in single precision, as a fraction of its largest number."""
_HALF_MOST = 65504.0
"""Largest number of float16."""
_AROUND = {"Cast", "Constant", "QuantizeLinear", "DequantizeLinear"}
"""Operators that stand around the one that computes."""
_CHECKED = 6
"""Nodes after the first one that are looked at, to tell one layer from all of them."""


@dataclass(frozen=True, slots=True, eq=False)
class _Segment:
    """Nodes of B from tensors that A has, too, to the next such tensor.

    Attributes:
        output: the tensor.
        inputs: tensors of A that they start from.
        nodes: in the order of the graph.
    """

    output: str
    inputs: tuple[str, ...]
    nodes: tuple[Any, ...]


def first_node(a: Stages, b: Stages, tensor: NDArray[Any]) -> Finding | None:
    """The node that differs first, and how; ``None`` where none does by more than rounding."""
    unlike = "the model gives other numbers for the same input"
    if a.model_file is None or b.model_file is None:
        return Finding("model", unlike, "one of the models is no ONNX file, so that nodes cannot be compared")
    try:
        import onnx
    except ImportError:
        return Finding("model", unlike, "the package onnx, which takes models apart, is not installed")
    graphs = [onnx.load(path) for path in (a.model_file, b.model_file)]
    try:
        return _first(a, b, graphs, tensor, onnx)
    except AnydetError as exc:
        return Finding("model", unlike, f"its nodes cannot be run alone: {exc.problem}", certain=False)


def _first(a: Stages, b: Stages, graphs: Sequence[Any], tensor: NDArray[Any], onnx: Any) -> Finding | None:
    with tempfile.TemporaryDirectory() as folder:
        path = Path(folder) / "part.onnx"
        values = _tensors(a, graphs[0], tensor, path, onnx)
        known = {**values, **a.feeds(tensor)}
        segments = _segments(graphs[1], known)
        types = _types(graphs[1], onnx)
        failing: list[tuple[_Segment, float, float]] = []
        looked = 0
        for segment in segments:
            if failing and looked >= _CHECKED:
                break
            looked += bool(failing)
            inputs = {name: _as_type(known[name], types.get(name)) for name in segment.inputs}
            found = _run(b, graphs[1], segment, inputs, path, onnx)
            if found is None:
                continue
            error, typical = _errors(known[segment.output], found)
            if error > LOCAL:
                failing.append((segment, error, typical))
                if not np.isfinite(found).all():
                    return _overflow(segment, known, graphs, onnx)
    if not failing:
        return None
    return _explained(failing, looked, known, graphs, onnx)


def _tensors(a: Stages, model: Any, tensor: NDArray[Any], path: Path, onnx: Any) -> dict[str, NDArray[Any]]:
    """All tensors of A's graph by name."""
    watched = onnx.ModelProto()
    watched.CopyFrom(model)
    there = {output.name for output in watched.graph.output}
    names = [
        name for node in watched.graph.node if node.op_type != "Constant" for name in node.output if name
    ]
    for name in names:
        if name not in there:
            watched.graph.output.add().name = name
    onnx.save(watched, str(path))
    loaded = a.load(str(path))
    try:
        outputs = loaded.run(a.feeds(tensor))
        return {info.name: np.asarray(value) for info, value in zip(loaded.outputs, outputs, strict=True)}
    finally:
        loaded.close()


def _segments(model: Any, known: Mapping[str, NDArray[Any]]) -> list[_Segment]:
    """Of B's graph, in its order; tensors that A does not have are inside of a segment."""
    makers = {name: node for node in model.graph.node for name in node.output}
    position = {id(node): i for i, node in enumerate(model.graph.node)}
    segments = []
    for node in model.graph.node:
        for name in node.output:
            value = known.get(name)
            if value is None or value.dtype.kind != "f" or node.op_type == "Constant":
                continue
            inside, inputs, pending = {id(node): node}, set[str](), list(node.input)
            while pending:
                source = pending.pop()
                if source in known:
                    inputs.add(source)
                elif source in makers and id(makers[source]) not in inside:
                    inside[id(makers[source])] = makers[source]
                    pending.extend(makers[source].input)
            ordered = sorted(inside.values(), key=lambda one: position[id(one)])
            segments.append(_Segment(name, tuple(sorted(inputs)), tuple(ordered)))
    return segments


def _types(model: Any, onnx: Any) -> dict[str, np.dtype[Any]]:
    """Types of B's tensors, which may be of fewer bits than A's of the same name."""
    graph = onnx.shape_inference.infer_shapes(model).graph
    known = [*graph.value_info, *graph.input, *graph.output]
    return {
        one.name: onnx.helper.tensor_dtype_to_np_dtype(one.type.tensor_type.elem_type)
        for one in known
        if one.type.tensor_type.elem_type
    }


def _as_type(value: NDArray[Any], kind: np.dtype[Any] | None) -> NDArray[Any]:
    if kind is None or kind == value.dtype:
        return value
    with np.errstate(over="ignore"):
        return value.astype(kind)


def _run(
    b: Stages, model: Any, segment: _Segment, inputs: Mapping[str, NDArray[Any]], path: Path, onnx: Any
) -> NDArray[Any] | None:
    """What B's nodes make of A's tensors; ``None`` where they cannot be run alone."""
    part = onnx.ModelProto()
    part.ir_version = model.ir_version
    part.opset_import.extend(model.opset_import)
    part.graph.name = "part"
    part.graph.node.extend(segment.nodes)
    used = {name for node in segment.nodes for name in node.input}
    part.graph.initializer.extend(one for one in model.graph.initializer if one.name in used)
    for name, value in inputs.items():
        kind = onnx.helper.np_dtype_to_tensor_dtype(value.dtype)
        part.graph.input.append(onnx.helper.make_tensor_value_info(name, kind, value.shape))
    part.graph.output.add().name = segment.output
    onnx.save(part, str(path))
    try:
        loaded = b.load(str(path))
        try:
            (found,) = loaded.run(inputs)
        finally:
            loaded.close()
    except AnydetError:
        return None
    return np.asarray(found)


def _errors(x: NDArray[Any], y: NDArray[Any]) -> tuple[float, float]:
    """Largest error as a fraction of the largest number, and the median one of numbers that are not small."""
    if x.shape != y.shape:
        return np.inf, np.inf
    one, other = x.astype(np.float64).ravel(), y.astype(np.float64).ravel()
    error = error_of(one, other)
    large = np.abs(one) > 0.05 * np.abs(one).max(initial=0)
    if not large.any() or not np.isfinite(other).all():
        return error, error
    return error, float(np.median(np.abs(one - other)[large] / np.abs(one[large])))


def _overflow(
    segment: _Segment, known: Mapping[str, NDArray[Any]], graphs: Sequence[Any], onnx: Any
) -> Finding:
    largest = float(np.abs(known[segment.output]).max(initial=0))
    inputs = max((float(np.abs(known[name]).max(initial=0)) for name in segment.inputs), default=0.0)
    where = f"{_name(segment)}: A's numbers reach {largest:.4g}, its inputs {inputs:.4g}"
    if largest > _HALF_MOST or inputs > _HALF_MOST or _halves(segment, graphs[1], onnx):
        return Finding(
            "precision", f"float16 overflows in {_name(segment)}", f"{where}, float16 ends at 65504"
        )
    return Finding("model", f"{_name(segment)} gives numbers that are not finite", where)


def _explained(
    failing: Sequence[tuple[_Segment, float, float]],
    looked: int,
    known: Mapping[str, NDArray[Any]],
    graphs: Sequence[Any],
    onnx: Any,
) -> Finding:
    segment, error, typical = failing[0]
    where = f"first in {_name(segment)}: error {error:.2g} of its largest number on A's own inputs"
    everywhere = len(failing) > 2 and len(failing) > looked / 2
    operators = {node.op_type for node in segment.nodes}
    if any("Quantize" in operator or operator.startswith("QLinear") for operator in operators):
        return Finding("precision", f"a quantized layer, {_name(segment)}", where)
    weights = _changed_weights(segment, graphs, onnx)
    if _halves(segment, graphs[1], onnx):
        kind = "bfloat16" if _casts_to(segment, 16) else "float16"
        part = "the model is" if everywhere else f"{_name(segment)} is"
        return Finding("precision", f"{part} computed in {kind}", where)
    if weights:
        if everywhere and typical < 2e-2 and "rounded" in weights:
            return Finding("precision", f"weights are {weights}", where)
        return Finding("model", f"weights of {_name(segment)} differ: {weights}", where)
    difference = _changed_node(segment, graphs[0], onnx)
    if difference:
        return Finding("model", f"{_name(segment)}: {difference}", where)
    if typical < 1.5e-3:
        kind = "float16"
    elif typical < 1.5e-2:
        kind = "bfloat16"
    else:
        return Finding("model", f"{_name(segment)} computes something else", where)
    part = "the runtime computes" if everywhere else f"the runtime computes {_name(segment)}"
    return Finding("precision", f"{part} as in {kind}", f"{where}, {typical:.2g} in the median")


def _name(segment: _Segment) -> str:
    node = next(
        (n for n in segment.nodes[::-1] if n.op_type not in _AROUND),
        segment.nodes[-1],
    )
    return f"node {node.name or segment.output} ({node.op_type})"


def _halves(segment: _Segment, model: Any, onnx: Any) -> bool:
    """Whether a segment computes in 16 bits."""
    used = {name for node in segment.nodes for name in node.input}
    kinds = {one.data_type for one in model.graph.initializer if one.name in used}
    halves = {onnx.TensorProto.FLOAT16, onnx.TensorProto.BFLOAT16}
    return bool(kinds & halves) or any(_casts_to(segment, kind) for kind in halves)


def _casts_to(segment: _Segment, kind: int) -> bool:
    return any(
        attribute.name == "to" and attribute.i == kind
        for node in segment.nodes
        if node.op_type == "Cast"
        for attribute in node.attribute
    )


def _changed_weights(segment: _Segment, graphs: Sequence[Any], onnx: Any) -> str:
    """How the weights of a segment differ from those of the same name in A; "" where they do not."""
    used = {name for node in segment.nodes for name in node.input}
    mine = {one.name: one for one in graphs[0].graph.initializer if one.name in used}
    for other in graphs[1].graph.initializer:
        if other.name not in mine or other.name not in used:
            continue
        x, y = (onnx.numpy_helper.to_array(one).astype(np.float64) for one in (mine[other.name], other))
        if x.shape != y.shape:
            return f"{other.name} has another shape"
        if not np.array_equal(x, y):
            for kind in ("float16",):
                if np.array_equal(x.astype(kind).astype(np.float64), y):
                    return f"rounded to {kind} ({other.name})"
            levels = len(np.unique(y))
            if levels <= 256 < len(np.unique(x)):
                return f"rounded to {levels} levels ({other.name})"
            changed = np.count_nonzero(x != y)
            return f"{changed} of {x.size} numbers of {other.name}, by up to {np.abs(x - y).max():.3g}"
    return ""


def _changed_node(segment: _Segment, model: Any, onnx: Any) -> str:
    """How a node differs from A's of the same output: operator or attributes; "" where it does not."""
    for node in segment.nodes:
        same = next((one for one in model.graph.node if set(one.output) & set(node.output)), None)
        if same is None:
            return f"an operator {node.op_type} that A does not have"
        if same.op_type != node.op_type:
            return f"the operator is {node.op_type}, not {same.op_type}"
        x, y = ({one.name: onnx.helper.get_attribute_value(one) for one in n.attribute} for n in (same, node))
        for name in sorted(set(x) | set(y)):
            if str(x.get(name)) != str(y.get(name)):
                return f"attribute {name} is {y.get(name)}, not {x.get(name)}"
    return ""
