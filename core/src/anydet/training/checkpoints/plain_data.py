"""Plain data with tensors: what checkpoints hold, and a digest of it."""

from __future__ import annotations

import hashlib
import struct
from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from typing import Any

import torch
from torch import Tensor

from anydet.errors import TrainingError

_SCALARS = {type(None), bool, int, float, complex, str, bytes, torch.dtype, torch.device}
_MOST = 500_000
"""Values in a checkpoint; a large model's optimizer has some ten thousand."""
_DEEPEST = 100
_FIX = "keep tensors, numbers, text, lists, dictionaries and sets alone, as in the state_dict() of a hook"


@dataclass(frozen=True, slots=True)
class _Place:
    """Where a value is: under a key of what is above."""

    above: _Place | None
    key: Any
    depth: int

    def __str__(self) -> str:
        above = f"{self.above}." if self.above is not None else ""
        return f"{above}{str(self.key)[:40]}"[:200]


def require_plain(content: Any, *, source: str, fix: str = _FIX) -> None:
    """Raise ``TrainingError`` that says where, for what is no plain data or takes unbounded memory.

    Refused are objects of other classes, tensors that are not dense or have more elements than memory, data
    that contains itself, and data that is shared so often that walking through it takes forever.

    Args:
        content: nested data.
        source: what the message begins with.
        fix: what the message ends with.
    """
    seen = 0
    pending: list[tuple[Any, _Place | None]] = [(content, None)]
    while pending:
        value, where = pending.pop()
        seen += 1
        depth = 0 if where is None else where.depth
        if seen > _MOST or depth > _DEEPEST:
            what = f"more than {_MOST} values" if seen > _MOST else f"nested deeper than {_DEEPEST} levels"
            raise TrainingError(f"{source}: {what}", fix=fix)
        # By type, not by class: a number of NumPy is a float, and is pickled as an object.
        if type(value) in _SCALARS:
            continue
        if (flaw := _flaw(value)) is not None:
            raise TrainingError(f"{source}: {where or 'it'} {flaw}", fix=fix)
        pending += [(item, _Place(where, key, depth + 1)) for key, item in _items(value)]


def _items(value: Any) -> Iterator[tuple[Any, Any]]:
    if isinstance(value, dict):
        for key, item in value.items():
            yield key, item
            if type(key) is not str:
                yield key, key
    elif not isinstance(value, Tensor):
        yield from enumerate(value)


def _flaw(value: Any) -> str | None:
    if isinstance(value, dict | list | tuple | set | frozenset):
        return None
    if not isinstance(value, Tensor):
        return f"is a {f'{type(value).__module__}.{type(value).__qualname__}':.80}, no plain data"
    if value.layout != torch.strided or value.is_meta or value.is_quantized:
        return "is no dense tensor"
    # A view can state any number of elements, which are made when it is copied.
    if value.numel() * value.element_size() > value.untyped_storage().nbytes():
        return f"states {value.numel()} elements and has fewer"
    return None


def digest(content: Any) -> str:
    """SHA-256 of plain data in hexadecimal: types, keys, values, and tensors with type, shape and bytes.

    The order of a set, another one in each process, changes nothing.
    """
    found = hashlib.sha256()
    _feed(found, content)
    return found.hexdigest()


def _feed(found: Any, value: Any) -> None:
    if isinstance(value, Tensor):
        found.update(f"tensor {value.dtype} {tuple(value.shape)}".encode())
        flat = value.detach().cpu().contiguous().reshape(-1)
        # A tensor of one element or none counts as contiguous with any stride, and then cannot be viewed.
        flat = flat if flat.stride() == (1,) else flat.clone(memory_format=torch.contiguous_format)
        found.update(flat.view(torch.uint8).numpy() if len(flat) else b"")
    elif isinstance(value, Mapping):
        found.update(f"mapping {len(value)}".encode())
        for key, item in value.items():
            _feed(found, key)
            _feed(found, item)
    elif isinstance(value, set | frozenset):
        found.update(f"set {len(value)}".encode())
        for item in sorted(map(digest, value)):
            found.update(item.encode())
    elif isinstance(value, list | tuple):
        found.update(f"{'list' if isinstance(value, list) else 'tuple'} {len(value)}".encode())
        for item in value:
            _feed(found, item)
    else:
        # Its length goes first, so that no two lists of values are the same bytes.
        text = repr(value).encode()
        found.update(struct.pack("<Q", len(text)) + text)
