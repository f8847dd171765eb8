"""Scanners of every kind of setting, and what it means that two readings are the same."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import fields, is_dataclass
from typing import Any

import numpy as np
import pytest

from anydet.columns import LazyColumn
from anydet_fasteval.scanner import CompiledScanner

SCANNERS = (
    CompiledScanner(threads=1),
    CompiledScanner(threads=1, block=7),
    CompiledScanner(threads=3, block=64, smallest_share=40),
)


@pytest.fixture(scope="session")
def scanners() -> tuple[CompiledScanner, ...]:
    """One pass, a window of seven bytes, and three threads on the smallest of files."""
    return SCANNERS


@pytest.fixture(params=SCANNERS, ids=["one pass", "seven bytes", "three threads"])
def scanner(request: pytest.FixtureRequest) -> CompiledScanner:
    """Each of ``scanners`` in turn."""
    found: CompiledScanner = request.param
    return found


@pytest.fixture(scope="session")
def same() -> Callable[[Any, Any], bool]:
    """Whether two readings agree in every bit and every type."""
    return _same


def _same(a: Any, b: Any) -> bool:
    if isinstance(a, np.ndarray) and isinstance(b, np.ndarray):
        return a.dtype == b.dtype and a.shape == b.shape and a.tobytes() == b.tobytes()
    if isinstance(a, LazyColumn) or isinstance(b, LazyColumn):
        return a is not None and b is not None and a == b
    if is_dataclass(a) and type(a) is type(b):
        return all(_same(getattr(a, f.name), getattr(b, f.name)) for f in fields(a))
    return type(a) is type(b) and bool(a == b)
