"""``Letterbox``: as large as fits into a size with its shape kept, with margins around it."""

from __future__ import annotations

from dataclasses import dataclass, replace
from typing import ClassVar

import numpy as np

from anydet.data.record.transforms import Resize, map_points_and_masks
from anydet.geometry import cameras
from anydet.types import ByteImage, ImagePredictions, Intrinsics, Size

PAD_VALUE = 114
"""Gray of the margins."""


@dataclass(frozen=True, slots=True)
class Letterbox:
    """The same placement as ``training.transforms.letterbox``.

    Attributes:
        size_wh: (width, height) of the derived image.
        centered: margins on both sides, or to the right and below alone.
        value: brightness of the margins.
    """

    keeps_geometry: ClassVar[bool] = False
    size_wh: Size
    centered: bool = True
    value: int = PAD_VALUE

    def image(self, image: ByteImage) -> ByteImage:
        """Scaled bilinearly, on a canvas of ``value``."""
        (width, height), left, top = self.place((image.shape[1], image.shape[0]))
        canvas = np.full((self.size_wh[1], self.size_wh[0], 3), self.value, np.uint8)
        canvas[top : top + height, left : left + width] = Resize((width, height)).image(image)
        return canvas

    def size(self, source_wh: Size) -> Size:
        """The target size."""
        return self.size_wh

    def intrinsics(self, camera: Intrinsics, source_wh: Size) -> Intrinsics:
        """Focal lengths and principal point scaled, the latter moved."""
        content_wh, left, top = self.place(source_wh)
        return cameras.cropped(cameras.scaled(camera, source_wh, content_wh), -left, -top)

    def undo(self, predictions: ImagePredictions, source_wh: Size) -> ImagePredictions:
        """Without the margins, and scaled back; results in the margins end up outside the image."""
        (width, height), left, top = self.place(source_wh)
        shift = np.array([left, top], np.float64)
        inner = map_points_and_masks(
            predictions,
            (width, height),
            points=lambda xy: xy - shift,
            mask=lambda m: m[top : top + height, left : left + width],
        )
        # Nothing is clipped, so that the pipeline cuts all results at the image in the same way.
        inner = replace(inner, boxes_xyxy_px=predictions.boxes_xyxy_px - np.concatenate([shift, shift]))
        return Resize((width, height)).undo(inner, source_wh)

    def place(self, source_wh: Size) -> tuple[Size, int, int]:
        """Size of the scaled image, and the margins at its left and top."""
        scale = min(self.size_wh[0] / source_wh[0], self.size_wh[1] / source_wh[1])
        width, height = (max(1, round(side * scale)) for side in source_wh)
        across, down = self.size_wh[0] - width, self.size_wh[1] - height
        return (width, height), across // 2 * self.centered, down // 2 * self.centered
