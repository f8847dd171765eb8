"""Images to model inputs, and boxes back: bilinear without antialiasing, as OpenCV's ``INTER_LINEAR``."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

import cv2
import numpy as np
from numpy.typing import DTypeLike, NDArray

from anydet.runtime.presets import Recipe
from anydet.types import ByteImage, FloatArray, Size

Input = NDArray[Any]
RESIZES = ("letterbox", "letterbox-center", "stretch", "shortest")


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


def place(image_wh: Size, size_wh: Size, resize: str) -> Placement:
    """Where ``resize`` (one of ``RESIZES``) puts an image of ``image_wh`` for a model of ``size_wh``."""
    if resize == "stretch":
        return Placement(image_wh, size_wh, (0, 0), size_wh)
    (width, height), (image_width, image_height) = size_wh, image_wh
    if resize == "shortest":
        ratio = min(min(size_wh) / min(image_wh), max(size_wh) / max(image_wh))
    else:
        ratio = min(width / image_width, height / image_height)
    content = (max(1, round(image_width * ratio)), max(1, round(image_height * ratio)))
    if resize == "shortest":
        return Placement(image_wh, content, (0, 0), content)
    centered = resize == "letterbox-center"
    offset = ((width - content[0]) // 2, (height - content[1]) // 2) if centered else (0, 0)
    return Placement(image_wh, content, offset, size_wh)


class Preprocessor:
    """Fills model inputs as a recipe says.

    A pixel has 256 values, so normalization is a look-up; the tables are computed once.

    Args:
        recipe: resize, channels, mean, std and pad.
        dtype: what the model's input takes.
    """

    def __init__(self, recipe: Recipe, dtype: DTypeLike) -> None:
        self._resize = recipe.resize
        self._source = (2, 1, 0) if recipe.channels == "bgr" else (0, 1, 2)
        values = np.arange(256, dtype=np.float32)
        mean, std = np.array(recipe.mean, np.float32), np.array(recipe.std, np.float32)
        self._tables = ((values[None] - mean[:, None]) / std[:, None]).astype(dtype)
        self._border = ((np.float32(recipe.pad) - mean) / std).astype(dtype)

    def batch(self, images: Sequence[ByteImage], size_wh: Size) -> tuple[Input, list[Placement]]:
        """(B, 3, H, W) inputs of (H, W, 3) uint8 RGB images, and where each image stands in its own.

        With ``shortest`` a batch is one image, whose size the input follows.
        """
        placements = [place((i.shape[1], i.shape[0]), size_wh, self._resize) for i in images]
        width, height = placements[0].input_wh
        inputs = np.empty((len(images), 3, height, width), self._border.dtype)
        for target, image, placement in zip(inputs, images, placements, strict=True):
            if placement.content_wh != placement.input_wh:
                target[:] = self._border[:, None, None]
            self._fill(target, image, placement)
        return inputs, placements

    def _fill(self, target: Input, image: ByteImage, placement: Placement) -> None:
        width, height = placement.content_wh
        resized: Input = image
        if (width, height) != placement.image_wh:
            resized = cv2.resize(image, (width, height), interpolation=cv2.INTER_LINEAR)
        x, y = placement.offset_xy
        for channel, source in enumerate(self._source):
            target[channel, y : y + height, x : x + width] = self._tables[channel][resized[:, :, source]]
