"""The class of an image as a whole, which COCO's formats do not ask for."""

from __future__ import annotations

from collections.abc import Mapping
from pathlib import Path
from typing import Any

from anydet.errors import DatasetError


def class_of_image(file: Path, name: str, category_id: int | str | None, class_of: Mapping[Any, int]) -> int:
    """The class that an image's ``category_id`` means, -1 for ``None``; raises ``DatasetError``."""
    if category_id is None:
        return -1
    if category_id not in class_of:
        raise DatasetError(
            f"{file}: image {name}: category_id {category_id} is not in categories",
            fix="correct the id, or add the category",
        )
    return class_of[category_id]
