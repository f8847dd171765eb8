"""Small data sets written to a temporary folder."""

from __future__ import annotations

import json
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from PIL import Image


@pytest.fixture
def paint(tmp_path: Path) -> Callable[..., Path]:
    """Writes an image of a size below the temporary folder: ``paint("images/val/a.jpg", (40, 20))``."""

    def write(name: str, size_wh: tuple[int, int] = (40, 20)) -> Path:
        path = tmp_path / name
        path.parent.mkdir(parents=True, exist_ok=True)
        Image.fromarray(np.full((size_wh[1], size_wh[0], 3), 90, np.uint8)).save(path)
        return path

    return write


@pytest.fixture
def put(tmp_path: Path) -> Callable[..., Path]:
    """Writes text, or JSON of anything else, below the temporary folder."""

    def write(name: str, content: Any = "") -> Path:
        path = tmp_path / name
        path.parent.mkdir(parents=True, exist_ok=True)
        path.write_text(content if isinstance(content, str) else json.dumps(content), "utf-8")
        return path

    return write


@pytest.fixture
def instances() -> dict[str, Any]:
    """A valid COCO document: two images, three annotations, category ids with a gap and out of order."""
    return {
        "images": [
            {"id": 9, "file_name": "b.jpg", "width": 40, "height": 20},
            {"id": 4, "file_name": "a.jpg", "width": 30, "height": 30},
        ],
        "categories": [{"id": 7, "name": "dog"}, {"id": 2, "name": "cat"}],
        "annotations": [
            {"id": 0, "image_id": 4, "category_id": 7, "bbox": [1, 2, 3, 4], "area": 5.5, "iscrowd": 0},
            {"id": 12, "image_id": 9, "category_id": 2, "bbox": [0, 0, 10.5, 2]},
            {"id": 11, "image_id": 4, "category_id": 2, "bbox": [5, 6, 7, 0], "iscrowd": 1, "state": 3},
        ],
    }
