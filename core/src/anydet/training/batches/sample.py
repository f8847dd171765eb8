"""``Sample``: one training image and its labels as tensors, the grain at which augmentation works."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Any

from torch import Tensor


@dataclass(frozen=True, slots=True, eq=False)
class Sample:
    """One image and what is known about it, changed together.

    Attributes:
        key: of the record.
        image: (3, H, W) uint8 RGB.
        boxes: (N, 4) float32, ``xyxy`` in pixels of ``image``.
        class_ids: (N,) int64.
        iscrowd: (N,) bool.
        masks: (N, H, W) bool, or ``None`` where the data set has none.
        keypoints: (N, K, 3) float32 x, y, visibility 0, 1, 2, or ``None``.
        states: (N,) int64, -1 where unknown, or ``None``.
        rotations: (N, 3, 3) float64 object to camera, NaN where unknown, or ``None``.
        translations_m: (N, 3) float64 in the camera frame, NaN where unknown, or ``None``.
        intrinsics: (4,) float64 fx, fy, cx, cy in pixels of ``image``, or ``None``.
        semantic: (H, W) int64 class of each pixel, 255 where it is not labeled, or ``None``.
        label: class of the image as a whole, -1 where unknown.
        extra: free data of the record.
    """

    key: str
    image: Tensor
    boxes: Tensor
    class_ids: Tensor
    iscrowd: Tensor
    masks: Tensor | None = None
    keypoints: Tensor | None = None
    states: Tensor | None = None
    rotations: Tensor | None = None
    translations_m: Tensor | None = None
    intrinsics: Tensor | None = None
    semantic: Tensor | None = None
    label: int = -1
    extra: Mapping[str, Any] = field(default_factory=dict)

    def __len__(self) -> int:
        return len(self.class_ids)

    @property
    def size_wh(self) -> tuple[int, int]:
        """(width, height) of the image in pixels."""
        return int(self.image.shape[2]), int(self.image.shape[1])
