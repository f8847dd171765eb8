"""``Placement``: where an image stands in a model's input."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np

from anydet.geometry.cameras import cropped, scaled
from anydet.types import FloatArray, Intrinsics, Size


@dataclass(frozen=True, slots=True)
class Placement:
    """Where an image stands in the model's input.

    Attributes:
        image_wh: size of the image, pixels.
        content_wh: size it is resized to.
        offset_xy: its top left corner in the input.
        input_wh: size of the input.
        ratio: pixels of the image to one of the input, by which boxes and points go back; ``None`` for the
            size that the image really got, which rounding makes differ between x and y.
    """

    image_wh: Size
    content_wh: Size
    offset_xy: tuple[int, int]
    input_wh: Size
    ratio: float | None = None

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

    @property
    def shown(self) -> tuple[slice, slice]:
        """Rows and columns of the resized image that are in the input: all, but of one that is cropped."""
        (x, y), (width, height) = self.offset_xy, self.content_wh
        return (
            slice(max(0, -y), min(height, self.input_wh[1] - y)),
            slice(max(0, -x), min(width, self.input_wh[0] - x)),
        )

    @property
    def window(self) -> tuple[slice, slice]:
        """Rows and columns of the input where these are."""
        (x, y), (rows, columns) = self.offset_xy, self.shown
        return slice(rows.start + y, rows.stop + y), slice(columns.start + x, columns.stop + x)

    @property
    def scale_xy(self) -> FloatArray:
        """(2,) pixels of the image a pixel of the input, across and down."""
        return np.array(self.image_wh, np.float64) / np.array(self.content_wh, np.float64)

    def camera_to_input(self, camera: Intrinsics) -> Intrinsics:
        """The image's camera in pixels of the input."""
        x, y = self.offset_xy
        return cropped(scaled(camera, self.image_wh, self.content_wh), -x, -y)

    def camera_to_image(self, camera: Intrinsics) -> Intrinsics:
        """The input's camera in pixels of the image."""
        x, y = self.offset_xy
        return scaled(cropped(camera, x, y), self.content_wh, self.image_wh)

    def _map(self) -> tuple[FloatArray, FloatArray]:
        """Shift and scale of boxes that go back."""
        scale = self.scale_xy if self.ratio is None else np.full(2, self.ratio)
        return np.array(self.offset_xy * 2, np.float64), np.tile(scale, 2)
