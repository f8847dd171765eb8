"""What observers get to see: everything, and nothing that they could change."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import fields, replace
from typing import Any

import numpy as np

from anydet.columns import Columns, LazyColumn
from anydet.data.record.pixels import ImageArray
from anydet.data.record.record import Record


def read_only(value: Any) -> Any:
    """The same with arrays that cannot be written to, lists as tuples, and mappings of its own.

    Args:
        value: records or results, or what they hold; anything else comes back as it is.
    """
    if isinstance(value, np.ndarray):
        view = value.view()
        view.flags.writeable = False
        return view
    if isinstance(value, Columns | LazyColumn | ImageArray | Record):
        return replace(value, **{f.name: read_only(getattr(value, f.name)) for f in fields(value)})  # type: ignore[arg-type, type-var]
    if isinstance(value, Mapping):
        return {key: read_only(item) for key, item in value.items()}
    if isinstance(value, list | tuple):
        return tuple(map(read_only, value))
    return value
