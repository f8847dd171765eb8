"""Operators that a model file uses although its opset does not have them yet.

Quantizers write scales for each channel into graphs of any opset, and what a runtime says of such a file does
not tell what is wrong with it.
"""

from __future__ import annotations

import mmap
from collections.abc import Iterator
from pathlib import Path

from anydet.runtime.errors import ModelError
from anydet.runtime.wire import fields, integers

_OPSETS, _GRAPH = 8, 7
"""Fields of ``ModelProto``; those of ``OperatorSetIdProto`` are 1, its domain, and 2, its version."""
_NODE = 1
"""Field of ``GraphProto``."""
_OP_TYPE, _ATTRIBUTE, _NODE_DOMAIN, _NODE_NAME = 4, 5, 7, 3
"""Fields of ``NodeProto``; 1 of an attribute is its name."""
_STANDARD = {"", "ai.onnx"}
_QUANTIZERS = {"QuantizeLinear", "DequantizeLinear"}
_SINCE_OPSET = 10
_ATTRIBUTES_SINCE = {"axis": 13, "saturate": 19, "block_size": 21, "output_dtype": 21}
"""Attribute of the two operators -> the first opset in which one of them has it (ONNX's Operators.md)."""


def check_opset(path: Path) -> None:
    """Raise ``ModelError`` where a graph is quantized in a way that is newer than its opset.

    Nothing is said of a file that is no ONNX model, which runtimes find out.
    """
    with path.open("rb") as file, mmap.mmap(file.fileno(), 0, access=mmap.ACCESS_READ) as data:
        try:
            found = next(_newer_than_opset(data), None)
        except (ValueError, IndexError):
            return
    if found is None:
        return
    opset, node, what, since = found
    raise ModelError(
        f"{path}: it states opset {opset}, and node {node!r:.200} has {what}, which is of opset {since} and "
        "later: the file was quantized without raising its opset",
        fix="quantize the model in float again with 'anydet quantize' (pip install anydet-onnxruntime), "
        f"which raises the opset, or export it with opset {since} before it is quantized",
    )


def _newer_than_opset(data: mmap.mmap) -> Iterator[tuple[int, str, str, int]]:
    """Opset, node, what it has, and the opset which that is of."""
    parts = list(fields(data, 0, len(data)))
    opset = max((_version(data, a, b) for number, a, b in parts if number == _OPSETS), default=0)
    if not opset:
        return
    for start, end in ((a, b) for number, a, b in parts if number == _GRAPH):
        for number, first, last in fields(data, start, end):
            if number == _NODE:
                yield from _faults(data, first, last, opset)


def _version(data: mmap.mmap, start: int, end: int) -> int:
    """Of ONNX's own operators; 0 of another domain."""
    domain = next((data[a:b].decode() for number, a, b in fields(data, start, end) if number == 1), "")
    return integers(data, start, end).get(2, 0) if domain in _STANDARD else 0


def _faults(data: mmap.mmap, start: int, end: int, opset: int) -> Iterator[tuple[int, str, str, int]]:
    texts = {n: (a, b) for n, a, b in fields(data, start, end) if n != _ATTRIBUTE}

    def text(number: int) -> str:
        first, last = texts.get(number, (0, 0))
        return data[first:last].decode()

    operator = text(_OP_TYPE)
    if operator not in _QUANTIZERS or text(_NODE_DOMAIN) not in _STANDARD:
        return
    name = text(_NODE_NAME) or operator
    if opset < _SINCE_OPSET:
        yield opset, name, f"the operator {operator}", _SINCE_OPSET
    for number, first, last in fields(data, start, end):
        if number == _ATTRIBUTE:
            attribute = next((data[a:b].decode() for n, a, b in fields(data, first, last) if n == 1), "")
            since = _ATTRIBUTES_SINCE.get(attribute, 0)
            if opset < since:
                yield opset, name, f"the attribute {attribute!r} of {operator}", since
