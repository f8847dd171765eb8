"""Runs of the grid detector, and what is compared of them."""

from __future__ import annotations

import json
from collections.abc import Callable, Mapping
from pathlib import Path
from typing import Any

import pytest

TIMES = {"images_per_s", "data_s", "step_s", "memory_mb"}


@pytest.fixture(scope="session")
def train_tiny() -> Callable[..., Any]:
    """Trains an adapter in a run of ``tiny_run``, and gives it."""
    from core.tests.training.grid import GridAdapter, tiny_run

    from anydet.types import AdapterSettings

    def train(folder: Path, **keys: Any) -> GridAdapter:
        adapter = GridAdapter(AdapterSettings())
        run = tiny_run(folder, **keys)
        adapter.train(run)
        return adapter

    return train


@pytest.fixture(scope="session")
def same_weights() -> Callable[[Mapping[str, Any], Mapping[str, Any]], bool]:
    """Whether two state dictionaries hold the same bits."""
    import torch

    def same(first: Mapping[str, Any], second: Mapping[str, Any]) -> bool:
        return first.keys() == second.keys() and all(torch.equal(first[key], second[key]) for key in first)

    return same


@pytest.fixture(scope="session")
def metric_lines() -> Callable[[Path], list[dict[str, Any]]]:
    """The lines of a metrics file, less what depends on the machine."""

    def read(path: Path) -> list[dict[str, Any]]:
        rows = [json.loads(line) for line in path.read_text().splitlines()]
        return [{key: value for key, value in row.items() if key not in TIMES} for row in rows]

    return read
