"""What a page holds beside its code and its pictures: plain data and columns in one compressed block.

Layout of the block, once it is inflated: length of the JSON (uint32, little-endian), the JSON, and the
bytes of all columns, each beginning at a multiple of 8. The JSON says name, type, length and place of each.
"""

from __future__ import annotations

import json
import struct
import zlib
from collections.abc import Mapping
from typing import Any

import numpy as np

from anydet.report.page.outcomes import Column

_TYPES = {"uint8": "u1", "uint16": "u2", "int16": "i2", "uint32": "u4", "float32": "f4"}


def pack(header: Mapping[str, Any], columns: Mapping[str, Column], *, level: int = 6) -> bytes:
    """The compressed block.

    Args:
        header: plain data.
        columns: name -> numbers of one of five types.
        level: of the compression, 1 (fast) to 9 (small).
    """
    parts: list[bytes] = []
    listed, place = [], 0
    for name, column in columns.items():
        content = np.ascontiguousarray(column).astype(column.dtype.newbyteorder("<"), copy=False).tobytes()
        listed.append([name, _TYPES[column.dtype.name], len(column), place])
        parts += [content, bytes(-len(content) % 8)]
        place += len(content) + -len(content) % 8
    text = json.dumps({**header, "columns": listed}, separators=(",", ":"), allow_nan=False).encode()
    start = struct.pack("<I", len(text)) + text
    return zlib.compress(b"".join([start, bytes(-len(start) % 8), *parts]), level)
