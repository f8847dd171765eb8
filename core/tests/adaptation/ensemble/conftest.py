"""Predictions files of small models."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import pytest

from anydet.contract.encode import encode_entry
from anydet.contract.write import write_predictions
from anydet.types import ImagePredictions


@pytest.fixture
def file_of(tmp_path):
    """Writes results into a file with meta."""

    def write(name: str, *results: ImagePredictions, **meta: Any) -> Path:
        path: Path = tmp_path / name
        write_predictions(map(encode_entry, results), path, meta=meta, wrap=True)
        return path

    return write
