"""A crowd of boxes where every kind of error happens."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import numpy as np
import pytest

Problem = tuple[dict[str, Any], list[dict[str, Any]]]


def make_crowd(images: int = 8, seed: int = 0) -> Problem:
    """COCO dictionaries: boxes near annotations and elsewhere, equal scores, crowds, an empty image."""
    rng = np.random.default_rng(seed)
    annotations, results = [], []
    for image in range(1, images + 1):
        for _ in range(6):
            x, y, w, h = (int(n) for n in rng.integers((0, 0, 10, 10), (70, 70, 30, 30)))
            annotations.append(
                {
                    "id": len(annotations) + 1,
                    "image_id": image,
                    "category_id": int(rng.integers(1, 4)),
                    "bbox": [x, y, w, h],
                    "area": w * h,
                    "iscrowd": int(rng.random() < 0.1),
                    "segmentation": [[x, y, x + w, y, x + w, y + h, x, y + h]],
                }
            )
            for near in rng.random(rng.choice([0, 4])) < 0.6:
                shift = rng.integers(-6, 7, 2) if near else rng.integers(-40, 40, 2)
                same = rng.random() < 0.7
                results.append(
                    {
                        "image_id": image,
                        "category_id": annotations[-1]["category_id"] if same else int(rng.integers(1, 4)),
                        "bbox": [x + int(shift[0]), y + int(shift[1]), w, h],
                        "score": round(float(rng.beta(4, 2) if near and same else rng.beta(2, 4)), 2),
                    }
                )
    empty = {row["image_id"] for row in results} - {1}
    annotations = [row for row in annotations if row["image_id"] != max(empty)]
    truth = {
        "images": [
            {"id": i, "file_name": f"{i}.jpg", "width": 100, "height": 100} for i in range(1, images + 1)
        ],
        "categories": [{"id": i, "name": f"class{i}"} for i in range(1, 4)],
        "annotations": annotations,
    }
    return truth, results


@pytest.fixture(scope="session")
def crowd() -> Callable[..., Problem]:
    """``make_crowd``."""
    return make_crowd
