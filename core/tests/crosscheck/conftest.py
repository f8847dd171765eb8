"""Predictions with everything that a detection can have, and files of them."""

from __future__ import annotations

from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from anydet.contract.encode import encode_entry
from anydet.contract.write import write_predictions
from anydet.geometry import masks
from anydet.geometry.rotations import random_rotation
from anydet.types import Classification, ImagePredictions, Intrinsics, Poses

SIZE = (100, 80)


@pytest.fixture
def file_of(tmp_path):
    """Writes results into a file with meta."""

    def write(name: str, results: list[ImagePredictions], **meta: Any) -> Path:
        path: Path = tmp_path / name
        write_predictions(map(encode_entry, results), path, meta=meta, wrap=True)
        return path

    return write


@pytest.fixture
def results() -> list[ImagePredictions]:
    """Three images of five detections each."""
    return [full(f"{seed}.jpg", seed) for seed in range(3)]


def full(key: str, seed: int, count: int = 5) -> ImagePredictions:
    rng = np.random.default_rng(seed)
    corner = np.stack([rng.uniform(0, 60, count), rng.uniform(0, 40, count)], axis=1)
    boxes = np.concatenate([corner, corner + rng.uniform(10, 30, (count, 2))], axis=1)
    painted = []
    for x1, y1, x2, y2 in boxes.round().astype(int).tolist():
        mask = np.zeros(SIZE[::-1], np.bool_)
        mask[y1:y2, x1:x2] = True
        painted.append(masks.encode(mask))
    return ImagePredictions(
        key,
        SIZE,
        boxes,
        rng.uniform(0.1, 0.9, count),
        rng.integers(0, 3, count),
        states=rng.integers(0, 3, count),
        state_scores=rng.dirichlet(np.ones(3), count),
        masks=tuple(painted),
        keypoints=np.concatenate(
            [rng.uniform(0, 80, (count, 2, 2)), rng.uniform(0, 1, (count, 2, 1))], axis=2
        ),
        poses=Poses(
            log_z=rng.uniform(-1, 1, count),
            rotations=np.stack([random_rotation(rng) for _ in range(count)]),
            translations_m=rng.uniform(0.5, 2, (count, 3)),
        ),
        classification=Classification(seed % 3, 0.7),
        semantic_mask={0: painted[0], 1: painted[1]},
        intrinsics=Intrinsics(50.0, 50.0, 50.0, 40.0),
    )


def with_row(result: ImagePredictions, row: int, **changes: Any) -> ImagePredictions:
    """The result with other values in one row."""
    columns = {name: np.array(getattr(result, name)) for name in changes}
    for name, value in changes.items():
        columns[name][row] = value
    return replace(result, **columns)
