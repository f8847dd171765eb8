"""The package that the corruptions are compared with, and its random numbers."""

from __future__ import annotations

import sys
from types import ModuleType
from typing import Any

import numpy as np
import pytest


class LegacyRandom:
    """Calls of ``numpy.random.Generator`` with the numbers that ``numpy.random`` gives after ``seed``."""

    def __init__(self, seed: int) -> None:
        self._state = np.random.RandomState(seed)

    def standard_normal(self, size: Any) -> Any:
        return self._state.standard_normal(size)

    def poisson(self, lam: Any) -> Any:
        return self._state.poisson(lam)

    def random(self, size: Any) -> Any:
        return self._state.random_sample(size)

    def uniform(self, low: float, high: float) -> float:
        return self._state.uniform(low, high)

    def integers(self, low: int, high: int) -> int:
        return int(self._state.randint(low, high))


@pytest.fixture(scope="session")
def legacy():
    """Gives the random numbers of a seed."""
    return LegacyRandom


@pytest.fixture(scope="session")
def peer():
    """The package ``imagecorruptions-imaug``, with what it imports numba for left as it is."""
    pytest.importorskip("skimage", reason="needs imagecorruptions-imaug and what it imports")
    there = "numba" in sys.modules
    if not there:
        stub = ModuleType("numba")
        stub.njit = lambda: lambda function: function
        sys.modules["numba"] = stub
    try:
        yield pytest.importorskip("imagecorruptions")
    finally:
        if not there:
            del sys.modules["numba"]
