"""Results with every field, and files of them."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from pathlib import Path

import numpy as np
import pytest

from anydet.contract.encode import encode_entry
from anydet.contract.write import write_predictions
from anydet.geometry import masks
from anydet.types import RLE, Classification, ImagePredictions, Intrinsics, Poses

nan = np.nan
META = {"adapter": "toy", "classes": ["disc", "box"], "images": 3}


def rectangle(size_wh: tuple[int, int], x: int, y: int, width: int, height: int) -> RLE:
    mask = np.zeros(size_wh[::-1], np.bool_)
    mask[y : y + height, x : x + width] = True
    return masks.encode(mask)


@pytest.fixture
def full() -> ImagePredictions:
    """Two detections: the first has every optional field, the second none."""
    size = (40, 20)
    return ImagePredictions(
        image="folder/bike 1.jpg",
        size_wh=size,
        boxes_xyxy_px=np.array([[0.0, 0.0, 40.0, 20.0], [1.25, 2.5, 13.75, 7.0]]),
        scores=np.array([0.1 + 0.2, 0.25]),
        class_ids=np.array([1, 0]),
        states=np.array([2, -1]),
        state_scores=np.array([[0.1, 0.2, 0.7], [nan, nan, nan]]),
        masks=(rectangle(size, 3, 4, 5, 6), None),
        keypoints=np.array([[[10.0, 5.0, 0.9], [nan, nan, nan], [20.0, 10.0, nan]], [[nan] * 3] * 3]),
        keypoint_visibility=np.array([[2, 0, -1], [-1, -1, -1]]),
        poses=Poses(
            log_z=np.array([0.5, nan]),
            rot6d=np.array([[0.0, 1, 0, -1, 0, 0], [nan] * 6]),
            rotations=np.array([[[0.0, -1, 0], [1, 0, 0], [0, 0, 1]], [[nan] * 3] * 3]),
            translations_m=np.array([[0.1, 0.2, 1.5], [nan] * 3]),
            offsets_px=np.array([[1.5, -2.0], [nan] * 2]),
            k_delta=np.array([[0.0, 0.0, 0.5, -0.5], [nan] * 4]),
            log_sigma_z=np.array([-1.0, nan]),
            log_sigma_rot=np.array([-2.0, nan]),
        ),
        detection_extra=({"track": 7}, None),
        classification=Classification(1, 0.9, (0.1, 0.9)),
        semantic_mask={0: rectangle(size, 0, 0, 40, 10)},
        intrinsics=Intrinsics(600.0, 601.0, 20.0, 10.0),
        preprocess={"resize": "letterbox"},
        extra={"frame": 3},
    )


@pytest.fixture
def images(full: ImagePredictions) -> list[ImagePredictions]:
    """The full one, an empty one, and a plain one."""
    plain = ImagePredictions("b.jpg", (10, 10), np.array([[1.0, 2, 3, 4]]), np.array([0.5]), np.array([0]))
    return [full, ImagePredictions.empty("empty.jpg", (8, 6)), plain]


@pytest.fixture
def written(tmp_path: Path) -> Callable[..., Path]:
    """Writes images to a file of a name, with meta wherever it has a place."""

    def write(name: str, images: Sequence[ImagePredictions], *, wrap: bool = True) -> Path:
        path = tmp_path / name
        write_predictions(map(encode_entry, images), path, meta=META, wrap=wrap)
        return path

    return write
