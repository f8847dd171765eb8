"""``Preprocess`` done: images to model inputs."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

import cv2
import numpy as np
from numpy.typing import DTypeLike, NDArray
from PIL import Image

from anydet.geometry.placement import Placement
from anydet.plugins.preprocess import Preprocess
from anydet.types import ByteImage

Input = NDArray[Any]


class Preprocessor:
    """Fills model inputs as ``preprocess`` says.

    A pixel has 256 values, so normalization is a look-up; the tables are computed once.

    Args:
        preprocess: resize, channels, mean, std and padding.
        dtype: what the model's input takes.
    """

    def __init__(self, preprocess: Preprocess, dtype: DTypeLike) -> None:
        self._preprocess = preprocess
        self._source = (2, 1, 0) if preprocess.channels == "bgr" else (0, 1, 2)
        values = np.arange(256, dtype=np.float32)
        self._tables = self._normalized(np.tile(values, (3, 1))).astype(dtype)
        self._border = self._normalized(np.array(preprocess.pad_value, np.float32)[:, None]).astype(dtype)

    def batch(self, images: Sequence[ByteImage]) -> tuple[Input, list[Placement]]:
        """(B, 3, H, W) inputs of (H, W, 3) uint8 RGB images, and where each image stands in its own.

        Where the input's size follows the image, all of them have to get one size.
        """
        placements = [self._preprocess.placement((i.shape[1], i.shape[0])) for i in images]
        width, height = placements[0].input_wh
        inputs = np.empty((len(images), 3, height, width), self._border.dtype)
        for target, image, placement in zip(inputs, images, placements, strict=True):
            self._frame(target, placement)
            self._fill(target, image, placement)
        return inputs, placements

    def _frame(self, target: Input, placement: Placement) -> None:
        """Padding around the image, and nothing where the image will be."""
        rows, columns = placement.window
        border = self._border[:, :, None]
        target[:, : rows.start], target[:, rows.stop :] = border, border
        target[:, rows, : columns.start], target[:, rows, columns.stop :] = border, border

    def _fill(self, target: Input, image: ByteImage, placement: Placement) -> None:
        resized = self._resized(image, placement)[placement.shown]
        rows, columns = placement.window
        window = target[:, rows, columns]
        if resized.dtype == np.uint8:
            planes = np.empty((3, *resized.shape[:2]), np.uint8)
            cv2.split(resized, list(planes))  # into memory of ours: that of its own costs more than splitting
            for channel, source in enumerate(self._source):
                self._look_up(planes[source], channel, window[channel])
        else:
            planes = resized.transpose(2, 0, 1)[list(self._source)]
            window[:] = self._normalized(planes.reshape(3, -1)).reshape(planes.shape)

    def _look_up(self, plane: Input, channel: int, target: Input) -> None:
        table = self._tables[channel]
        if table.dtype == np.float32:
            # The very numbers of the table, at half the time that indexing takes.
            cv2.LUT(plane, table[None], dst=target)
        else:
            target[:] = table[plane]

    def _resized(self, image: ByteImage, placement: Placement) -> Input:
        if placement.content_wh == placement.image_wh:
            return image
        pixels: Input = image if self._preprocess.rounded else image.astype(np.float32)
        if self._preprocess.interpolation == "bilinear":
            resized: Input = cv2.resize(pixels, placement.content_wh, interpolation=cv2.INTER_LINEAR)
            return resized
        # OpenCV antialiases with INTER_AREA alone, which is another filter.
        planes = (Image.fromarray(np.ascontiguousarray(plane)) for plane in pixels.transpose(2, 0, 1))
        smaller = (plane.resize(placement.content_wh, Image.Resampling.BILINEAR) for plane in planes)
        return np.stack([np.asarray(plane) for plane in smaller], axis=2)

    def _normalized(self, rows: Input) -> Input:
        """(3, N) pixel values in the order of the channels, normalized."""
        mean, std = (np.array(v, np.float32)[:, None] for v in (self._preprocess.mean, self._preprocess.std))
        normalized: Input = (rows / np.float32(self._preprocess.divisor) - mean) / std
        return normalized
