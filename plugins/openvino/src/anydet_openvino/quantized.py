"""Quantized models: their layers in int8 with the numbers of the file, or in float32 where that cannot be.

OpenVINO computes other numbers of such a file by itself in two cases, both of which are seen to here. Its
low-precision passes take a scale of one for tensors that are quantized right behind a ``Concat`` (2026.4.1,
as a pair of ``QuantizeLinear`` and ``DequantizeLinear`` with signed numbers). And a CPU without VNNI adds two
products of 8 bits in 16, which saturates.
"""

from __future__ import annotations

from functools import cache
from typing import Any

import numpy as np
import openvino as ov
from openvino import opset13 as ops

WITHOUT_INT8 = {"LP_TRANSFORMS_MODE": False}
"""Property with which quantized layers are in floating point, on the numbers that the file quantizes to."""
_STEPS = {"Convert", "Subtract", "Multiply"}
"""What a ``DequantizeLinear`` is made of, the last one last."""


def quantized_types(model: Any) -> tuple[str, ...]:
    """Types that a model is quantized to, as numpy names them, ``int8``; none of a model in float."""
    kinds = (_stored_type(op) for op in model.get_ordered_ops() if op.get_type_name() == "FakeQuantize")
    return tuple(dict.fromkeys(kinds))


def join_pairs(model: Any) -> int:
    """Make one operation of each quantization behind a ``Concat`` and its undoing; returns how many.

    That is the form of OpenVINO's own quantizer, with the same numbers, which its passes compute rightly.
    """
    joined = 0
    for op in model.get_ordered_ops():
        if op.get_type_name() != "FakeQuantize":
            continue
        if op.input_value(0).get_node().get_type_name() != "Concat":
            continue
        found = _undone(op)
        if found is None:
            continue
        last, zero_point, scale = found
        low, high = (_number(op.input_value(place)) for place in (3, 4))
        whole = ops.fake_quantize(
            op.input_value(0),
            op.input_value(1),
            op.input_value(2),
            ops.constant((low - zero_point) * scale),
            ops.constant((high - zero_point) * scale),
            op.get_levels(),
        )
        whole.set_friendly_name(last.get_friendly_name())
        for consumer in last.output(0).get_target_inputs():
            consumer.replace_source_output(whole.output(0))
        joined += 1
    return joined


@cache
def saturates() -> bool:
    """Whether products of int8 saturate on this CPU, measured on a convolution of the largest numbers."""
    core = ov.Core()
    single = {"INFERENCE_PRECISION_HINT": "f32"}
    found = [core.compile_model(_largest(), "CPU", {**single, **more}) for more in ({}, WITHOUT_INT8)]
    image = np.full((1, 16, 8, 8), 127, np.float32)
    in_int8, in_float = (compiled.create_infer_request().infer([image])[0] for compiled in found)
    return not np.allclose(in_int8, in_float, rtol=0.01)


def _largest() -> Any:
    """A convolution over 16 channels, all of whose inputs and weights are 127."""
    image = ops.parameter([1, 16, 8, 8], np.float32)
    ends = [ops.constant(np.float32(value)) for value in (-128, 127, -128, 127)]
    quantized = ops.fake_quantize(image, *ends, 256)
    weights = ops.convert(ops.constant(np.full((16, 16, 3, 3), 127, np.int8)), np.float32)
    scaled = ops.multiply(weights, ops.constant(np.full((16, 1, 1, 1), 0.5, np.float32)))
    return ov.Model([ops.convolution(quantized, scaled, [1, 1], [0, 0], [0, 0], [1, 1])], [image])


def _undone(op: Any) -> tuple[Any, Any, Any] | None:
    """The last operation of the undoing, its zero point and its scale; ``None`` where there is none."""
    zero_point = np.float32(0)
    node = op
    while True:
        consumers = list(node.output(0).get_target_inputs())
        if len(consumers) != 1:
            return None
        node = consumers[0].get_node()
        kind = node.get_type_name()
        if kind not in _STEPS:
            return None
        if kind == "Convert":
            continue
        value = _number(node.input_value(1))
        if value is None:
            return None
        if kind == "Multiply":
            return node, zero_point, value
        zero_point = value


def _number(output: Any) -> Any:
    """What a constant holds, as float32; ``None`` where it is none."""
    node = output.get_node()
    while node.get_type_name() == "Convert":
        node = node.input_value(0).get_node()
    return np.asarray(node.data, np.float32) if node.get_type_name() == "Constant" else None


def _stored_type(op: Any) -> str:
    """Of a quantization: that of the tensor that it is converted to, else what its levels need."""
    consumers = list(op.output(0).get_target_inputs())
    if consumers and consumers[0].get_node().get_type_name() == "Convert":
        return str(consumers[0].get_node().get_element_type().to_dtype().name)
    return "int8" if op.get_levels() <= 256 else "int16"
