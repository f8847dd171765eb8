"""Where ids stand among known ones."""

from __future__ import annotations

from typing import Any

import numpy as np

from anydet.types import IntArray

_TWIN = " (image "
_TABLE = 1 << 22
"""Span of ids up to which a table is made of them."""


def positions(ids: IntArray, known: IntArray) -> IntArray:
    """(N,) position in ``known`` (K,), whose ids are unique, of each id; -1 where it is not there."""
    if not len(known) or not len(ids):
        return np.full(len(ids), -1, np.int64)
    low, high = int(known.min()), int(known.max())
    if high - low < _TABLE:
        # One more cell than ids: the last one, -1, is what ids outside look up.
        table = np.full(high - low + 2, -1, np.int64)
        table[known - low] = np.arange(len(known))
        inside = (ids >= low) & (ids <= high)
        found: IntArray = table[ids - low] if inside.all() else table[np.where(inside, ids - low, -1)]
        return found
    # Ids far apart would make a table that is mostly empty and may not fit into memory.
    order = np.argsort(known)
    # An id above all known ones would be looked up behind the last.
    at = np.minimum(np.searchsorted(known[order], ids), len(known) - 1)
    return np.where(known[order[at]] == ids, order[at], -1)


def integer(one: Any) -> Any:
    """The integer that a text is, else what it was."""
    try:
        return int(one) if isinstance(one, str) else one
    except ValueError:
        return one


def twin_key(name: str, image_id: object) -> str:
    """The key of an image whose ``file_name`` another one has before it."""
    return f"{name}{_TWIN}{image_id})"


def is_twin(key: str) -> bool:
    """Whether a key is one of ``twin_key``: its name means the other image."""
    return key.endswith(")") and _TWIN in key


def all_differ(ids: IntArray) -> bool:
    """Whether no id occurs twice."""
    ordered = np.sort(ids)
    return not (ordered[1:] == ordered[:-1]).any()
