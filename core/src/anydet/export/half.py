"""Half precision: weights and layers as float16, with float32 at the border and where boxes are computed.

ONNX Runtime's ``convert_float_to_float16`` and the package that it comes from round what passes between two
nodes that stay in float32, and name casts twice: boxes lose all but 11 bits on their way, or the file does
not open. Here a tensor is cast where its precision changes, and nowhere else.
"""

from __future__ import annotations

import re
from collections.abc import Iterator, Mapping, Sequence
from typing import Any

import numpy as np

_SUFFIX = "/float16"
_LAYERS = frozenset(
    (
        *("Conv", "ConvTranspose", "MatMul", "Gemm", "BatchNormalization", "InstanceNormalization"),
        *("LayerNormalization", "GroupNormalization", "Relu", "LeakyRelu", "PRelu", "Elu", "Selu", "Gelu"),
        *("Sigmoid", "HardSigmoid", "HardSwish", "Tanh", "Erf", "Softplus", "Mish", "Softmax", "Clip"),
        *("Add", "Sub", "Mul", "Div", "Sqrt", "Pow", "Neg", "Abs", "ReduceMean", "ReduceSum", "ReduceMax"),
        *("Concat", "Split", "Slice", "Transpose", "Reshape", "Flatten", "Squeeze", "Unsqueeze", "Gather"),
        *("Expand", "Tile", "Pad", "Identity", "DepthToSpace", "SpaceToDepth", "Resize", "GridSample"),
        *("MaxPool", "AveragePool", "GlobalAveragePool", "GlobalMaxPool"),
    )
)
"""Operators that have a float16 version in all runtimes; others stay in float32."""
_FLOAT32_INPUTS: Mapping[str, frozenset[int]] = {"Resize": frozenset((1, 2))}
"""Operator -> inputs that are float32 in any case: region and scales."""


def half_precision(model: Any, float32_scopes: Sequence[str] = ()) -> Any:
    """An ``onnx.ModelProto`` whose weights are float16; inputs, outputs and metadata are as they were.

    Args:
        model: in float32; names of its tensors are changed.
        float32_scopes: as ``ExportSpec.float32_scopes``.
    """
    import onnx

    graph = model.graph
    weights = {tensor.name: tensor for tensor in graph.initializer}
    floats = _float_tensors(onnx.shape_inference.infer_shapes(model).graph)
    halves = [_is_layer(node, float32_scopes, weights) for node in graph.node]
    wide, narrow = _users(graph, halves, floats)
    halved = [_half_tensor(tensor) for name, tensor in weights.items() if name in narrow]
    whole = [tensor for name, tensor in weights.items() if name in wide or name not in floats]
    inputs = [value.name for value in graph.input if value.name in narrow and value.name not in weights]
    nodes = [_cast(name, name + _SUFFIX, onnx.TensorProto.FLOAT16) for name in inputs]
    for node, half in zip(graph.node, halves, strict=True):
        nodes += _converted(node, half, floats, wide, narrow)
    result = onnx.ModelProto()
    result.CopyFrom(model)
    for field, parts in (("node", nodes), ("initializer", [*whole, *halved]), ("value_info", ())):
        result.graph.ClearField(field)
        getattr(result.graph, field).extend(parts)
    onnx.checker.check_model(result, full_check=True)
    return result


def _is_layer(node: Any, float32_scopes: Sequence[str], weights: Mapping[str, Any]) -> bool:
    return (
        node.op_type in _LAYERS
        and not _matches(node.name, float32_scopes)
        and not any(name in weights and _overflows(weights[name]) for name in node.input)
    )


def _matches(name: str, scopes: Sequence[str]) -> bool:
    scope = name.rpartition("/")[0]
    return any(re.fullmatch(pattern, scope) for pattern in scopes)


def _float_tensors(graph: Any) -> set[str]:
    """Names of all tensors of type float32."""
    import onnx

    values = (*graph.input, *graph.output, *graph.value_info)
    typed = {value.name for value in values if value.type.tensor_type.elem_type == onnx.TensorProto.FLOAT}
    stored = {tensor.name for tensor in graph.initializer if tensor.data_type == onnx.TensorProto.FLOAT}
    return typed | stored


def _users(graph: Any, halves: Sequence[bool], floats: set[str]) -> tuple[set[str], set[str]]:
    """Names of the float tensors that are wanted in float32, and of those wanted in float16."""
    wide = {value.name for value in graph.output}
    narrow: set[str] = set()
    for node, half in zip(graph.node, halves, strict=True):
        for position, name in enumerate(node.input):
            if name in floats:
                (narrow if half and _is_half(node, position) else wide).add(name)
        # What is used within a branch or a loop is used under its name.
        wide |= set(_names_within(node))
    return wide, narrow


def _is_half(node: Any, position: int) -> bool:
    return position not in _FLOAT32_INPUTS.get(node.op_type, ())


def _names_within(node: Any) -> Iterator[str]:
    """Names of all inputs of the nodes in a node's graphs."""
    for attribute in node.attribute:
        for graph in (attribute.g, *attribute.graphs):
            for inner in graph.node:
                yield from inner.input
                yield from _names_within(inner)


def _converted(node: Any, half: bool, floats: set[str], wide: set[str], narrow: set[str]) -> list[Any]:
    """A node in its precision, and the casts of its outputs that others want in the other one."""
    import onnx

    if not half:
        outputs = [name for name in node.output if name in floats and name in narrow]
        return [node, *(_cast(name, name + _SUFFIX, onnx.TensorProto.FLOAT16) for name in outputs)]
    for position, name in enumerate(node.input):
        if name in floats and _is_half(node, position):
            node.input[position] = name + _SUFFIX
    outputs = [name for name in node.output if name in floats]
    for position, name in enumerate(node.output):
        if name in floats:
            node.output[position] = name + _SUFFIX
    return [node, *(_cast(name + _SUFFIX, name, onnx.TensorProto.FLOAT) for name in outputs if name in wide)]


def _cast(source: str, target: str, to: int) -> Any:
    import onnx

    return onnx.helper.make_node("Cast", [source], [target], name=f"cast {target}", to=to)


def _half_tensor(tensor: Any) -> Any:
    import onnx

    values = onnx.numpy_helper.to_array(tensor).astype(np.float16)
    return onnx.numpy_helper.from_array(values, tensor.name + _SUFFIX)


def _overflows(tensor: Any) -> bool:
    import onnx

    if tensor.data_type != onnx.TensorProto.FLOAT:
        return False
    values = onnx.numpy_helper.to_array(tensor)
    return bool(values.size) and float(np.abs(values).max()) > float(np.finfo(np.float16).max)
