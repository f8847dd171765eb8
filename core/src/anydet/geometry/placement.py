"""``Placement``: where an image stands in a model's input."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np

from anydet.types import FloatArray, Size


@dataclass(frozen=True, slots=True)
class Placement:
    """Where an image stands in the model's input.

    Attributes:
        image_wh: size of the image, pixels.
        content_wh: size it is resized to.
        offset_xy: its top left corner in the input.
        input_wh: size of the input.
    """

    image_wh: Size
    content_wh: Size
    offset_xy: tuple[int, int]
    input_wh: Size

    def to_input(self, boxes_xyxy_px: FloatArray) -> FloatArray:
        """(N, 4) corners in the image to the input's pixels."""
        shift, scale = self._map()
        return boxes_xyxy_px / scale + shift

    def to_image(self, boxes_xyxy_px: FloatArray) -> FloatArray:
        """(N, 4) corners in the input to the image's pixels."""
        shift, scale = self._map()
        return (boxes_xyxy_px - shift) * scale

    def points_to_image(self, points_px: FloatArray) -> FloatArray:
        """(..., 2) points in the input to the image's pixels."""
        shift, scale = self._map()
        return (points_px - shift[:2]) * scale[:2]

    def _map(self) -> tuple[FloatArray, FloatArray]:
        """Shift and scale by the size the image really got, which rounding makes differ between x and y."""
        scale = np.array(self.image_wh, np.float64) / np.array(self.content_wh, np.float64)
        return np.array(self.offset_xy * 2, np.float64), np.concatenate([scale, scale])
