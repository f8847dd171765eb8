"""Samples whose pixels show their labels: object i is painted in channel i alone."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import fields

import numpy as np
import pytest

torch = pytest.importorskip("torch")

from anydet.training.batches.sample import Sample

CAMERA = torch.tensor([55.0, 50.0, 14.0, 11.0], dtype=torch.float64)


def labeled_sample(
    seed: int, size_wh: tuple[int, int] = (30, 24), count: int = 3, *, slopes: bool = True
) -> Sample:
    """Up to three rectangles and triangles with everything that a sample can hold.

    ``class_ids``, ``states`` and the 3-D translation's depth tell which object a row is. Keypoint 0 is the
    projection of the object's 3-D center; 1 and 2 are the box's upper left and lower right corners. Without
    ``slopes`` there are no triangles.
    """
    rng = np.random.default_rng(seed)
    width, height = size_wh
    masks = np.zeros((count, height, width), np.bool_)
    boxes, points = np.zeros((count, 4)), np.zeros((count, 3, 3))
    for row in range(count):
        x1, x2 = np.sort(rng.choice(width - 3, 2, replace=False)) + np.array((0, 3))
        y1, y2 = np.sort(rng.choice(height - 3, 2, replace=False)) + np.array((0, 3))
        boxes[row] = x1, y1, x2, y2
        whole = np.ones((y2 - y1, x2 - x1), np.bool_)
        slope = np.arange(y2 - y1)[:, None] / (y2 - y1) >= np.arange(x2 - x1) / (x2 - x1)
        slope[-1], slope[:, 0] = True, True
        masks[row, y1:y2, x1:x2] = whole if rng.random() < 0.5 or not slopes else slope
        points[row, :, 2] = 2
        points[row, 0, :2] = rng.uniform([0, 0], size_wh)
        points[row, 1:, :2] = boxes[row].reshape(2, 2)
    depth = 1.0 + np.arange(count)
    rays = (points[:, 0, :2] - CAMERA[2:].numpy()) / CAMERA[:2].numpy()
    semantic = np.full((height, width), 255)
    for row in range(count):
        semantic[masks[row]] = row
    image = np.zeros((3, height, width), np.uint8)
    image[:count] = 255 * masks
    return Sample(
        key=f"{seed}.png",
        image=torch.from_numpy(image),
        boxes=torch.from_numpy(boxes).float(),
        class_ids=torch.arange(count),
        iscrowd=torch.arange(count) == 1,
        masks=torch.from_numpy(masks),
        keypoints=torch.from_numpy(points).float(),
        states=torch.arange(count) + 10,
        rotations=torch.linalg.qr(torch.from_numpy(rng.normal(size=(count, 3, 3)))).Q,
        translations_m=torch.from_numpy(np.concatenate([rays * depth[:, None], depth[:, None]], axis=1)),
        intrinsics=CAMERA.clone(),
        semantic=torch.from_numpy(semantic),
        label=4,
    )


def project_to_px(points_m: torch.Tensor, intrinsics: torch.Tensor) -> torch.Tensor:
    """(N, 3) camera frame to (N, 2) pixels."""
    return points_m[:, :2] / points_m[:, 2:] * intrinsics[:2] + intrinsics[2:]


def assert_same_sample(left: Sample, right: Sample, but: tuple[str, ...] = (), atol: float = 1e-4) -> None:
    """Every field but those named."""
    for name in {field.name for field in fields(Sample)} - set(but):
        one, other = getattr(left, name), getattr(right, name)
        if isinstance(one, torch.Tensor):
            torch.testing.assert_close(one, other, rtol=0, atol=atol, msg=lambda text, name=name: name + text)
        else:
            assert one == other, name


@pytest.fixture(scope="session")
def labeled() -> Callable[..., Sample]:
    """``labeled_sample``."""
    return labeled_sample


@pytest.fixture(scope="session")
def project() -> Callable[[torch.Tensor, torch.Tensor], torch.Tensor]:
    """``project_to_px``."""
    return project_to_px


@pytest.fixture(scope="session")
def assert_equal() -> Callable[..., None]:
    """``assert_same_sample``."""
    return assert_same_sample
