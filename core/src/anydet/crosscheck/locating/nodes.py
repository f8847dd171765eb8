"""The first node of an ONNX graph that gives something else than its inputs explain.

A tensor late in a graph differs because an early one does. So each node of B is run on A's own tensors: what
differs then is of that node. ``Stages.load`` runs it, so that the node runs as B's runtime runs it.
"""

from __future__ import annotations

import tempfile
from collections.abc import Mapping
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
_HALF_TYPICAL = 1.5e-3
"""Median error of a node from which it is that of bfloat16, not of float16."""
_BRAIN_MOST = 1.5e-2
"""Median error of a node above which no precision explains it."""
_LEVELS = 256
_CHECKED = 6
"""Nodes of the same operator behind the first one that are looked at."""


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

    @property
    def main(self) -> Any:
        """The node that computes, among those that stand around it."""
        computing = [node for node in self.nodes if node.op_type not in _AROUND]
        return computing[-1] if computing else self.nodes[-1]

    @property
    def operator(self) -> str:
        """Of the node that computes."""
        return str(self.main.op_type)

    @property
    def reads(self) -> set[str]:
        """Everything that the nodes read, weights too."""
        return {name for node in self.nodes for name in node.input}


@dataclass(frozen=True, slots=True, eq=False)
class _Failing:
    """A segment whose output is not A's.

    Attributes:
        segment: the nodes.
        error: of the output, as ``error_of`` has it.
        typical: median relative error of its large numbers.
    """

    segment: _Segment
    error: float
    typical: float


def first_node(a: Stages, b: Stages, tensor: NDArray[Any]) -> Finding | None:
    """The node that differs first, and how; ``None`` where none does by more than rounding."""
    unlike = "the model gives other numbers for the same input"
    try:
        import onnx
    except ImportError:
        return Finding("model", unlike, "the package onnx, which takes models apart, is not installed")
    if not (a.opens_files or b.opens_files):
        return Finding("model", unlike, "no side runs ONNX files, so that nodes cannot be compared")
    if a.model_file is None or b.model_file is None:
        return Finding("model", unlike, "one of the models is no ONNX file, so that nodes cannot be compared")
    try:
        with tempfile.TemporaryDirectory() as folder:
            return _Graphs(a, b, onnx, Path(folder) / "part.onnx").first(tensor)
    except AnydetError as exc:
        return Finding("model", unlike, f"its nodes cannot be run alone: {exc.problem}", certain=False)


class _Graphs:
    """The graphs of two models.

    Args:
        a: stages of A.
        b: stages of B.
        onnx: the package.
        path: of a file for parts of graphs.
    """

    def __init__(self, a: Stages, b: Stages, onnx: Any, path: Path) -> None:
        self._stages, self._onnx, self._path = (a, b), onnx, path
        # A model of torch is compared as the file that it is exported to, which the other side runs.
        self._runs = a if a.opens_files else b, b if b.opens_files else a
        self._a, self._b = (onnx.load(one.model_file) for one in (a, b))
        # B's tensors may be of fewer bits than A's of the same name.
        self._types = self._types_of(self._b)
        self._known: dict[str, NDArray[Any]] = {}

    def first(self, tensor: NDArray[Any]) -> Finding | None:
        """The first node that differs for an input, and a few behind it."""
        feeds = self._stages[0].feeds(tensor)
        self._known = {**self._tensors(0, feeds), **feeds}
        try:
            own = self._tensors(1, self._stages[1].feeds(tensor))
        except AnydetError:
            own = {}
        failing: list[_Failing] = []
        alike = 0
        for segment in _segments(self._b, self._known):
            name = segment.output
            # What is equal on B's own tensors does not differ first, and need not be run alone.
            if name in own and _errors(self._known[name], own[name])[0] <= LOCAL / 5:
                continue
            if failing:
                # Whether others of its kind differ, too, tells one layer from all of them.
                if alike >= _CHECKED:
                    break
                if segment.operator != failing[0].segment.operator:
                    continue
                alike += 1
            found = self._run(segment)
            if found is None:
                continue
            failed = _Failing(segment, *_errors(self._known[name], found))
            if failed.error > LOCAL:
                if not np.isfinite(found).all():
                    return self._overflow(segment)
                failing.append(failed)
        if self._quantized:
            # ONNX Runtime rounds biases beside quantized layers to int32, which is an error as of float16.
            failing = [one for one in failing if one.typical >= _HALF_TYPICAL]
        if not failing:
            return None
        return self._explained(failing[0], everywhere=alike > 0 and len(failing) > 1 + alike / 2)

    @property
    def _quantized(self) -> bool:
        """Whether a model has quantized tensors: of layers around them runtimes make fewer or more bits."""
        nodes = [*self._a.graph.node, *self._b.graph.node]
        return any("QuantizeLinear" in node.op_type or node.op_type.startswith("QLinear") for node in nodes)

    def _types_of(self, model: Any) -> dict[str, np.dtype[Any]]:
        """Types of tensors by name, where they can be inferred."""
        graph = self._onnx.shape_inference.infer_shapes(model).graph
        return {
            one.name: self._onnx.helper.tensor_dtype_to_np_dtype(one.type.tensor_type.elem_type)
            for one in [*graph.value_info, *graph.input, *graph.output]
            if one.type.tensor_type.elem_type
        }

    def _tensors(self, side: int, feeds: Mapping[str, NDArray[Any]]) -> dict[str, NDArray[Any]]:
        """All tensors of a graph by name, for inputs."""
        model = (self._a, self._b)[side]
        types = self._types_of(model)
        watched = self._onnx.ModelProto()
        watched.CopyFrom(model)
        there = {output.name for output in watched.graph.output}
        made = [node for node in watched.graph.node if node.op_type != "Constant"]
        for name in dict.fromkeys(name for node in made for name in node.output if name):
            if name not in there:
                watched.graph.output.append(self._output(name, types.get(name)))
        self._onnx.save(watched, str(self._path))
        loaded = self._runs[side].load(str(self._path))
        try:
            outputs = loaded.run(feeds)
            return {info.name: np.asarray(value) for info, value in zip(loaded.outputs, outputs, strict=True)}
        finally:
            loaded.close()

    def _output(self, name: str, kind: np.dtype[Any] | None) -> Any:
        """The declaration of an output, with its type where it is known."""
        if kind is None:
            return self._onnx.ValueInfoProto(name=name)
        return self._onnx.helper.make_tensor_value_info(
            name, self._onnx.helper.np_dtype_to_tensor_dtype(kind), None
        )

    def _run(self, segment: _Segment) -> NDArray[Any] | None:
        """What B's nodes make of A's tensors; ``None`` where they cannot be run alone."""
        inputs = {name: _as_type(self._known[name], self._types.get(name)) for name in segment.inputs}
        part = self._onnx.ModelProto()
        part.ir_version = self._b.ir_version
        part.opset_import.extend(self._b.opset_import)
        part.graph.name = "part"
        part.graph.node.extend(segment.nodes)
        used = segment.reads
        part.graph.initializer.extend(one for one in self._b.graph.initializer if one.name in used)
        for name, value in inputs.items():
            of = self._onnx.helper.np_dtype_to_tensor_dtype(value.dtype)
            part.graph.input.append(self._onnx.helper.make_tensor_value_info(name, of, value.shape))
        kind = self._types.get(segment.output, self._known[segment.output].dtype)
        part.graph.output.append(self._output(segment.output, kind))
        self._onnx.save(part, str(self._path))
        try:
            loaded = self._runs[1].load(str(self._path))
            try:
                (found,) = loaded.run(inputs)
            finally:
                loaded.close()
        except AnydetError:
            return None
        return np.asarray(found)

    def _overflow(self, segment: _Segment) -> Finding:
        largest = float(np.abs(self._known[segment.output]).max(initial=0))
        names = [name for name in segment.inputs if self._known[name].dtype.kind == "f"]
        inputs = max((float(np.abs(self._known[name]).max(initial=0)) for name in names), default=0.0)
        where = f"A's numbers reach {largest:.4g} there, its inputs {inputs:.4g}"
        if max(largest, inputs) > _HALF_MOST or self._halves(segment):
            cause = f"float16 overflows in {_name(segment)}"
            return Finding("precision", cause, f"{where}; float16 ends at 65504")
        return Finding("model", f"{_name(segment)} gives numbers that are not finite", where)

    def _explained(self, failed: _Failing, *, everywhere: bool) -> Finding:
        """What makes a node differ: what is in the file, else the size of the error."""
        segment, name = failed.segment, _name(failed.segment)
        where = f"first in {name}: error {failed.error:.2g} of its largest number on A's own inputs"
        operators = {node.op_type for node in segment.nodes}
        weights = self._changed_weights(segment)
        if any("Quantize" in operator or operator.startswith("QLinear") for operator in operators):
            found = Finding("precision", f"a quantized layer, {name}", where)
        elif self._halves(segment):
            kind = "bfloat16" if _casts_to(segment, self._onnx.TensorProto.BFLOAT16) else "float16"
            part = "the model is" if everywhere else f"{name} is"
            found = Finding("precision", f"{part} computed in {kind}", where)
        elif "rounded to" in weights:
            part = "weights are" if everywhere else f"weights of {name} are"
            found = Finding("precision", f"{part} {weights}", where)
        elif weights:
            found = Finding("model", f"weights of {name} differ: {weights}", where)
        elif difference := self._changed_node(segment):
            found = Finding("model", f"{name}: {difference}", where)
        else:
            found = _by_size(failed, name, where, everywhere=everywhere)
        return found

    def _halves(self, segment: _Segment) -> bool:
        """Whether a segment computes in 16 bits."""
        kinds = {one.data_type for one in self._b.graph.initializer if one.name in segment.reads}
        halves = {self._onnx.TensorProto.FLOAT16, self._onnx.TensorProto.BFLOAT16}
        return bool(kinds & halves) or any(_casts_to(segment, kind) for kind in halves)

    def _changed_weights(self, segment: _Segment) -> str:
        """How the weights of a segment differ from those of the same name in A; "" where they do not."""
        mine = {one.name: one for one in self._a.graph.initializer if one.name in segment.reads}
        for other in self._b.graph.initializer:
            if other.name in mine and other.name in segment.reads:
                arrays = [self._onnx.numpy_helper.to_array(one) for one in (mine[other.name], other)]
                text = _changed(*arrays)
                if text:
                    return f"{text} ({other.name})"
        return ""

    def _changed_node(self, segment: _Segment) -> str:
        """How a node differs from A's of the same output: operator or attributes; "" where it does not."""
        for node in segment.nodes:
            same = next((one for one in self._a.graph.node if set(one.output) & set(node.output)), None)
            if same is None:
                return f"an operator {node.op_type} that A does not have"
            if same.op_type != node.op_type:
                return f"the operator is {node.op_type}, not {same.op_type}"
            value = self._onnx.helper.get_attribute_value
            x, y = ({one.name: value(one) for one in n.attribute} for n in (same, node))
            for name in sorted(set(x) | set(y)):
                if str(x.get(name)) != str(y.get(name)):
                    return f"attribute {name} is {_shown(y.get(name))}, not {_shown(x.get(name))}"
        return ""


def _by_size(failed: _Failing, name: str, where: str, *, everywhere: bool) -> Finding:
    """What the size of an error says of the precision, where nothing in the file does."""
    if failed.typical > _BRAIN_MOST:
        return Finding("model", f"{name} computes something else", where)
    kind = "float16" if failed.typical < _HALF_TYPICAL else "bfloat16"
    part = "the runtime computes" if everywhere else f"the runtime computes {name}"
    return Finding("precision", f"{part} as in {kind}", f"{where}, {failed.typical:.2g} in the median")


def _changed(x: NDArray[Any], y: NDArray[Any]) -> str:
    """How an array differs from another; "" where it does not."""
    if x.shape != y.shape:
        return f"the shape is {y.shape}, not {x.shape}"
    one, other = x.astype(np.float64), y.astype(np.float64)
    if np.array_equal(one, other):
        return ""
    if x.dtype == np.float32:
        with np.errstate(over="ignore"):
            halves = x.astype(np.float16).astype(np.float64)
        if np.array_equal(halves, other):
            return "rounded to float16"
        # bfloat16 is the upper half of a float32, cut or rounded.
        if y.dtype == np.float32 and not (y.view(np.uint32) & np.uint32(0xFFFF)).any():
            return "rounded to bfloat16"
    levels = len(np.unique(other))
    if levels <= _LEVELS < len(np.unique(one)):
        return f"rounded to {levels} levels"
    changed = np.count_nonzero(one != other)
    return f"{changed} of {one.size} numbers, by up to {np.abs(one - other).max():.3g}"


def _shown(value: Any) -> Any:
    if isinstance(value, bytes):
        return value.decode(errors="replace")
    return f"{value:.4g}" if isinstance(value, float) else value


def _as_type(value: NDArray[Any], kind: np.dtype[Any] | None) -> NDArray[Any]:
    if kind is None or kind == value.dtype:
        return value
    with np.errstate(over="ignore"):
        return value.astype(kind)


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


def _name(segment: _Segment) -> str:
    return f"node {segment.main.name or segment.output} ({segment.operator})"


def _casts_to(segment: _Segment, kind: int) -> bool:
    return any(
        attribute.name == "to" and attribute.i == kind
        for node in segment.nodes
        if node.op_type == "Cast"
        for attribute in node.attribute
    )
