"""The graph that is quantized: which of its layers can be, and what it is with some of them in int8."""

from __future__ import annotations

from collections.abc import Collection, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
import onnx
import onnx.version_converter
from onnxruntime.quantization import QuantType
from onnxruntime.quantization.qdq_quantizer import QDQQuantizer
from onnxruntime.quantization.shape_inference import quant_pre_process

from anydet.errors import OptionError
from anydet.runtime.errors import ModelError
from anydet.runtime.model_file import require_model_file
from anydet_onnxruntime.session import reason

OPERATORS = ("Conv", "Gemm", "MatMul")
"""What is quantized. Everything else, such as NMS in the file, stays as it is."""
OPSET = 13
"""The first in which the scales of a tensor may be those of its channels."""
_IR_OF_OPSET = 7
_QUANTIZERS = {"QuantizeLinear", "DequantizeLinear"}
_AS_TENSORRT_TAKES_IT = {
    "ActivationSymmetric": True,
    "WeightSymmetric": True,
    "QuantizeBias": False,
    # Results of a layer stay as they are until the next layer: what follows, an activation or a sum, gets
    # them in float. TensorRT and OpenVINO fuse it so, and AP is far higher.
    "OpTypesToExcludeOutputQuantization": list(OPERATORS),
    "MatMulConstBOnly": True,
}


@dataclass(frozen=True, slots=True)
class Layer:
    """What is in int8 or in float as a whole: a node, or those that have their weights in common.

    Attributes:
        name: of the first node.
        nodes: names of all.
        weight_bytes: of its weights in float32.
    """

    name: str
    nodes: tuple[str, ...]
    weight_bytes: int


class FloatGraph:
    """A model in float32, prepared: opset 13 or later, constants folded, all nodes named.

    Args:
        path: the ``.onnx`` file.
        folder: for what is written in between.

    Attributes:
        path: the file.
        prepared: file of the prepared model.
        layers: that can be quantized, in the order of the graph.

    Raises:
        ModelError: the file is no ONNX model, or cannot be prepared.
        OptionError: there is nothing in it to quantize.
    """

    def __init__(self, path: Path, folder: Path) -> None:
        require_model_file(path, option="--model")
        self.path, self.prepared = path, folder / "prepared.onnx"
        self._model = _prepared(path, self.prepared)
        self._metadata = {entry.key: entry.value for entry in self._model.metadata_props}
        self.layers = _layers(self._model)
        if not self.layers:
            kinds = {onnx.TensorProto.DataType.Name(w.data_type) for w in self._model.graph.initializer}
            raise OptionError(
                f"{path} has no {', '.join(OPERATORS[:-1])} or {OPERATORS[-1]} with weights in float32 "
                f"(its weights are {', '.join(sorted(kinds)) or 'none'})",
                fix="give --model the model in float32, as it was exported",
            )

    def quantized(self, layers: Collection[Layer], ranges: Any, *, per_channel: bool = True) -> Any:
        """The ``onnx.ModelProto`` with these layers in int8.

        Args:
            layers: at least one.
            ranges: of the inputs of layers, ``onnxruntime.quantization.calibrate.TensorsData``.
            per_channel: whether each output channel of a weight has a scale of its own.
        """
        nodes = {name for layer in layers for name in layer.nodes}
        copy = onnx.ModelProto()
        copy.CopyFrom(self._model)
        quantizer = QDQQuantizer(
            copy,
            per_channel,
            False,  # weights use all of the 8 bits
            QuantType.QInt8,
            QuantType.QInt8,
            ranges,
            sorted(nodes),
            [],
            list(OPERATORS),
            dict(_AS_TENSORRT_TAKES_IT),
        )
        quantizer.quantize_model()
        model = quantizer.model.model
        _leave_others_in_float(model.graph, nodes)
        # New nodes come last in it, and OpenCV takes what ONNX demands: that none is before its inputs.
        quantizer.model.topological_sort()
        _set_metadata(model, self._metadata)
        return model


def _prepared(path: Path, target: Path) -> Any:
    model = _read(path)
    if any(node.op_type in _QUANTIZERS for node in model.graph.node):
        raise OptionError(f"{path} is quantized already", fix="give --model the model in float32")
    metadata = {entry.key: entry.value for entry in model.metadata_props}
    domains = {"", *(o.domain for o in model.opset_import)}
    opset = next((o.version for o in model.opset_import if o.domain in {"", "ai.onnx"}), 0)
    try:
        if opset < OPSET:
            model = onnx.version_converter.convert_version(model, OPSET)
            model.ir_version = max(model.ir_version, _IR_OF_OPSET)
        onnx.save(model, target)
        # Symbolic inference is for transformers with open sizes, and needs a package of its own.
        quant_pre_process(target, target, skip_symbolic_shape=True)
        model = onnx.load(target)
    except Exception as exc:  # of onnx and onnxruntime, which have no base class in common
        raise ModelError(
            f"{path} (opset {opset}) cannot be prepared for quantization: {reason(exc)}",
            fix=f"export it again with opset {OPSET} or later",
        ) from exc
    for number, node in enumerate(model.graph.node):
        node.name = node.name or f"{node.op_type}_{number}"
    _state_kernels(model.graph)
    # ONNX Runtime states all domains that it knows, and other runtimes would ask what is in them.
    stated = [o for o in model.opset_import if o.domain in domains]
    del model.opset_import[:]
    model.opset_import.extend(stated)
    _set_metadata(model, metadata)
    onnx.save(model, target)
    return model


def _read(path: Path) -> Any:
    try:
        return onnx.load(path)
    except Exception as exc:  # of protobuf, which is not imported here
        raise ModelError(
            f"{path} cannot be opened as an ONNX model: it is damaged, cut short or of another kind",
            fix="give --model a complete .onnx file; download or export it again",
        ) from exc


def _set_metadata(model: Any, metadata: Mapping[str, str]) -> None:
    """As the float file has them, without notes of ONNX Runtime."""
    onnx.helper.set_model_props(model, dict(metadata))


def _state_kernels(graph: Any) -> None:
    """State sizes of kernels: OpenCV does not find them in weights that are quantized."""
    sizes = {weight.name: list(weight.dims) for weight in graph.initializer}
    for node in graph.node:
        stated = any(attribute.name == "kernel_shape" for attribute in node.attribute)
        if node.op_type == "Conv" and node.input[1] in sizes and not stated:
            kernel = onnx.helper.make_attribute("kernel_shape", sizes[node.input[1]][2:])
            node.attribute.append(kernel)


def _layers(model: Any) -> tuple[Layer, ...]:
    weights = {
        weight.name: weight
        for weight in model.graph.initializer
        if weight.data_type == onnx.TensorProto.FLOAT and len(weight.dims) > 1
    }
    nodes: dict[str, list[str]] = {}
    for node in model.graph.node:
        if node.op_type in OPERATORS and node.input[1] in weights:
            nodes.setdefault(node.input[1], []).append(node.name)
    return tuple(
        Layer(names[0], tuple(names), 4 * int(np.prod(weights[weight].dims)))
        for weight, names in nodes.items()
    )


def _leave_others_in_float(graph: Any, chosen: set[str]) -> None:
    """Give nodes that are not chosen the tensor before it was quantized for others."""
    # ONNX Runtime's quantizer gives all consumers of a tensor what one of them needs, sums of residual
    # blocks and layers that were left in float too.
    makers = {output: node for node in graph.node for output in node.output}
    for node in graph.node:
        if node.name in chosen or node.op_type in _QUANTIZERS:
            continue
        for place, name in enumerate(node.input):
            source = _before(makers.get(name), makers)
            if source is not None:
                node.input[place] = source


def _before(node: Any, makers: dict[str, Any]) -> str | None:
    """The tensor that a pair of quantization and its undoing has as input; ``None`` for other nodes."""
    if node is None or node.op_type != "DequantizeLinear":
        return None
    quantizer = makers.get(node.input[0])
    return None if quantizer is None else str(quantizer.input[0])


def weight_bytes(layers: Sequence[Layer]) -> int:
    """Of all weights in float32."""
    return sum(layer.weight_bytes for layer in layers)
