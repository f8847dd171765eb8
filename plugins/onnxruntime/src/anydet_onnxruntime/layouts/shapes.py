"""Shapes of a model's outputs for one image."""

from __future__ import annotations

from collections.abc import Iterable

Shapes = tuple[tuple[int, ...], ...]
"""One tuple an output, without batch axis, in the model's order."""


def describe(shape: Iterable[int | str | None]) -> str:
    """``(1, 3, ?, ?)``: sizes that the file leaves open are question marks, or their names."""
    return f"({', '.join('?' if size is None else str(size) for size in shape)})"
