"""The wire format of protocol buffers, as far as model files are looked into before they are opened.

https://protobuf.dev/programming-guides/encoding: a message is a row of fields, each behind a tag of its
number and the way it is stored. What has no length is passed over by ``fields``; nothing is copied.
"""

from __future__ import annotations

import mmap
from collections.abc import Iterator, Mapping

_VARINT, _EIGHT_BYTES, _LENGTH, _FOUR_BYTES = 0, 1, 2, 5
"""How a field is stored, by the three lowest bits of its tag."""


def fields(data: mmap.mmap, start: int, end: int) -> Iterator[tuple[int, int, int]]:
    """Number, start and end of each field of a message that has a length: messages, texts, bytes.

    Raises ``ValueError`` or ``IndexError`` where this is no message.
    """
    for number, kind, first, last in _all_fields(data, start, end):
        if kind == _LENGTH:
            yield number, first, last


def integers(data: mmap.mmap, start: int, end: int) -> Mapping[int, int]:
    """Number -> value of the fields of a message that are integers; raises as ``fields``."""
    return {
        number: _varint(data, first)[0]
        for number, kind, first, _ in _all_fields(data, start, end)
        if kind == _VARINT
    }


def _all_fields(data: mmap.mmap, start: int, end: int) -> Iterator[tuple[int, int, int, int]]:
    """Number, kind, start and end of the content of each field."""
    while start < end:
        tag, start = _varint(data, start)
        kind = tag & 7
        if kind == _VARINT:
            last = _varint(data, start)[1]
        elif kind == _LENGTH:
            length, start = _varint(data, start)
            if start + length > end:
                raise ValueError("a field ends after its message")
            last = start + length
        elif kind in {_EIGHT_BYTES, _FOUR_BYTES}:
            last = start + (8 if kind == _EIGHT_BYTES else 4)
        else:
            raise ValueError("a kind of field that protocol buffers do not have")
        yield tag >> 3, kind, start, last
        start = last
    if start != end:
        raise ValueError("a field ends after its message")


def _varint(data: mmap.mmap, start: int) -> tuple[int, int]:
    """A number in groups of seven bits, lowest first, and where it ends."""
    value = 0
    for place in range(10):
        byte = data[start + place]
        value |= (byte & 0x7F) << (7 * place)
        if byte < 0x80:
            return value, start + place + 1
    raise ValueError("a number without end")
