"""The ONNX graph that an engine is built of: what it computes in, and its conversion to another precision."""

from __future__ import annotations

from collections.abc import Mapping
from hashlib import sha256
from pathlib import Path
from typing import Any, Literal, TypeAlias

import ml_dtypes
import numpy as np
import onnx
from onnx import TensorProto, numpy_helper

from anydet.errors import OptionError
from anydet.prediction.meta import file_sha256
from anydet.runtime.errors import ModelError
from anydet.runtime.external_data import external_data
from anydet.runtime.loaded import TensorInfo
from anydet.runtime.metadata import described, stated_size
from anydet.runtime.model_file import require_model_file
from anydet.types import Size
from anydet_tensorrt.errors import BuildError
from anydet_tensorrt.shapes import USUAL_SIZE

Precision: TypeAlias = Literal["fp32", "fp16", "bf16", "int8", "best"]
QUANTIZED = (
    "symmetric in int8 and with biases in float, as 'anydet quantize' does "
    "(pip install 'anydet-onnxruntime[quantize]')"
)
"""What TensorRT takes, for hints."""
_HALF_SUFFIX = "/float16"
"""Of the names of tensors that ``anydet.export.half`` has made."""
_QUANTIZERS = {"QuantizeLinear", "DequantizeLinear"}
_TYPES = {TensorProto.FLOAT16: "fp16", TensorProto.BFLOAT16: "bf16"}


class Graph:
    """An ONNX model as it is before it is built.

    Args:
        path: the ``.onnx`` file.

    Attributes:
        path: the file.
        proto: ``onnx.ModelProto``, without the data that lies beside it.
        inputs: weights are not among them.
        outputs: as the file declares them.
        metadata: what the exporter wrote into the file.
        opset: version of ONNX's own operators.

    Raises:
        ModelError: the file is missing, or no ONNX model.
    """

    def __init__(self, path: Path) -> None:
        require_model_file(path, option="--onnx")
        self.path = path
        try:
            self.proto = onnx.load(path, load_external_data=False)
        except Exception as exc:  # of protobuf, which is not imported here
            raise ModelError(
                f"{path} cannot be opened as an ONNX model: it is damaged, cut short or of another kind",
                fix="give --onnx a complete .onnx file; download or export it again",
            ) from exc
        graph = self.proto.graph
        weights = {weight.name for weight in graph.initializer}
        self.inputs = tuple(_tensor(value) for value in graph.input if value.name not in weights)
        self.outputs = tuple(_tensor(value) for value in graph.output)
        self.metadata: Mapping[str, str] = {entry.key: entry.value for entry in self.proto.metadata_props}
        self.opset = next((o.version for o in self.proto.opset_import if o.domain in {"", "ai.onnx"}), 0)

    @property
    def size_wh(self) -> Size:
        """(width, height) that images are resized to as the metadata say, else the usual 640."""
        description = described(str(self.path), self.metadata, [output.name for output in self.outputs])
        if description is not None:
            return description.preprocess.size_wh
        return stated_size(self.metadata) or USUAL_SIZE

    @property
    def precision(self) -> str:
        """``int8`` where a tensor is quantized, ``fp16`` or ``bf16`` where one is so, else ``fp32``."""
        graph = self.proto.graph
        if any(node.op_type in _QUANTIZERS for node in graph.node):
            return "int8"
        kinds = {weight.data_type for weight in graph.initializer}
        kinds |= {value.type.tensor_type.elem_type for value in (*graph.input, *graph.output)}
        kinds |= {
            a.i for node in graph.node if node.op_type == "Cast" for a in node.attribute if a.name == "to"
        }
        return next((name for kind, name in _TYPES.items() if kind in kinds), "fp32")

    def sha256(self) -> str:
        """Of the file; where it has data beside it, of the digests of all."""
        locations = sorted({entry["location"] for entry in external_data(self.path)})
        digests = [
            file_sha256(path) for path in (self.path, *(self.path.parent / name for name in locations))
        ]
        return digests[0] if len(digests) == 1 else sha256("".join(digests).encode()).hexdigest()

    def cast(self, precision: str) -> bytes:
        """The model in ``fp16`` or ``bf16``, serialized; inputs and outputs keep their types.

        Raises ``OptionError`` where it has other precisions than float32 already.
        """
        if self.precision != "fp32":
            raise OptionError(
                f"--precision {precision}: {self.path} computes in {self.precision} already",
                fix=f"use --precision {self.precision}, or a model in float32",
            )
        from anydet.export.half import half_precision

        source = onnx.load(self.path)
        half = half_precision(onnx.load(self.path))
        cast = half if precision == "fp16" else _as_bfloat16(half, source)
        return bytes(cast.SerializeToString())

    def require_symmetric(self) -> None:
        """Raise ``BuildError`` for quantization with zero points or of biases, which TensorRT lacks."""
        graph = self.proto.graph
        weights = {weight.name: weight for weight in graph.initializer}
        for node in graph.node:
            if node.op_type not in _QUANTIZERS:
                continue
            fix = f"quantize it {QUANTIZED}"
            if node.op_type == "DequantizeLinear" and _kind(weights.get(node.input[0])) == TensorProto.INT32:
                raise BuildError(f"{self.path}: {node.name or node.output[0]} is a quantized bias", fix=fix)
            zero = weights.get(node.input[2]) if len(node.input) > 2 else None
            if zero is None:
                continue
            if zero.data_type == TensorProto.UINT8 or np.any(numpy_helper.to_array(zero)):
                raise BuildError(
                    f"{self.path}: {node.name or node.output[0]} has a zero point, and TensorRT none", fix=fix
                )


def _as_bfloat16(half: Any, source: Any) -> Any:
    """A graph in float16 as one in bfloat16: of weights the numbers before they were rounded to float16."""
    originals = {weight.name: weight for weight in source.graph.initializer}
    for weight in half.graph.initializer:
        original = originals.get(weight.name.removesuffix(_HALF_SUFFIX))
        if weight.data_type != TensorProto.FLOAT16 or original is None:
            continue
        values = numpy_helper.to_array(original).astype(ml_dtypes.bfloat16)
        weight.data_type, weight.raw_data = TensorProto.BFLOAT16, values.tobytes()
    for node in half.graph.node:
        for attribute in node.attribute if node.op_type == "Cast" else ():
            if attribute.name == "to" and attribute.i == TensorProto.FLOAT16:
                attribute.i = TensorProto.BFLOAT16
    return half


def _kind(tensor: Any) -> int | None:
    return None if tensor is None else int(tensor.data_type)


def _tensor(value: Any) -> TensorInfo:
    declared = value.type.tensor_type
    sizes = [d.dim_value if d.HasField("dim_value") else d.dim_param or None for d in declared.shape.dim]
    kind = onnx.helper.tensor_dtype_to_np_dtype(declared.elem_type)
    return TensorInfo(value.name, tuple(sizes), kind.name)
