"""Which types a model file is quantized to, read from the file itself."""

from __future__ import annotations

import mmap
from collections.abc import Iterator
from pathlib import Path

from anydet.runtime.wire import fields, integers

_GRAPH = 7
"""Field of ``ModelProto``."""
_NODE, _INITIALIZER = 1, 5
"""Fields of ``GraphProto``."""
_INPUT, _OP_TYPE = 1, 4
"""Fields of ``NodeProto``."""
_DATA_TYPE, _TENSOR_NAME = 2, 8
"""Fields of ``TensorProto``."""
_ZERO_POINT = {"QuantizeLinear": 2, "DequantizeLinear": 2, "QLinearConv": 2, "QLinearMatMul": 2}
"""Operator -> which input has the type of its numbers; without that input they are uint8."""
_TYPES = {2: "uint8", 3: "int8", 4: "uint16", 5: "int16", 21: "uint4", 22: "int4"}
_TYPES |= {17: "float8_e4m3fn", 18: "float8_e4m3fnuz", 19: "float8_e5m2", 20: "float8_e5m2fnuz"}
"""Of ``TensorProto.DataType``, those that numbers are quantized to."""


def quantized_types(path: Path) -> tuple[str, ...]:
    """Types that an ONNX file is quantized to, ``int8``; none of a model in float, or of another file."""
    if not path.is_file() or not path.stat().st_size:
        return ()
    with path.open("rb") as file, mmap.mmap(file.fileno(), 0, access=mmap.ACCESS_READ) as data:
        try:
            return tuple(sorted(set(_types(data))))
        except (ValueError, IndexError):
            return ()


def _types(data: mmap.mmap) -> Iterator[str]:
    for number, start, end in fields(data, 0, len(data)):
        if number != _GRAPH:
            continue
        stored = {}
        points: list[str] = []
        for field, first, last in fields(data, start, end):
            if field == _INITIALIZER:
                stored[_text(data, first, last, _TENSOR_NAME)] = integers(data, first, last).get(
                    _DATA_TYPE, 0
                )
            elif field == _NODE:
                points += _zero_points(data, first, last)
        for name in points:
            kind = _TYPES.get(stored.get(name, 0) if name else 2)
            if kind is not None:
                yield kind


def _zero_points(data: mmap.mmap, start: int, end: int) -> list[str]:
    """Name of the zero point of a node that quantizes; "" where it has none."""
    place = _ZERO_POINT.get(_text(data, start, end, _OP_TYPE))
    if place is None:
        return []
    inputs = [data[a:b].decode() for number, a, b in fields(data, start, end) if number == _INPUT]
    return [inputs[place] if place < len(inputs) else ""]


def _text(data: mmap.mmap, start: int, end: int, field: int) -> str:
    return next((data[a:b].decode() for number, a, b in fields(data, start, end) if number == field), "")
