"""Inputs that no neighbor in a batch can change, and how they are made."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass
from itertools import groupby
from typing import Protocol

import numpy as np
import torch
from torch import Tensor
from torchvision.models.detection.image_list import ImageList
from torchvision.models.detection.transform import GeneralizedRCNNTransform

from anydet.data.record.record import Record
from anydet.plugins.preprocess import Preprocess, Triple
from anydet.training.predictor import BatchPredictor
from anydet.types import ByteImage, Size


@dataclass(frozen=True, slots=True, eq=False)
class Prepared:
    """One image as the model takes it.

    Attributes:
        key: of the record.
        size_wh: of the image, in pixels.
        tensor: (3, H, W), normalized, resized, and padded at its right and lower edges.
        input_hw: size without the padding.
    """

    key: str
    size_wh: Size
    tensor: Tensor
    input_hw: tuple[int, int]


class Preparing(Protocol):
    """A model that makes inputs by torchvision's transform."""

    def prepare(self, images: list[Tensor]) -> ImageList:
        """(3, H, W) images in 0..1 as an input: normalized, resized, padded."""


@dataclass(frozen=True, eq=False)
class BySize(BatchPredictor[Prepared]):
    """Neighbors of one padded size form a batch, so a batch may be smaller than ``batch_size``.

    torchvision pads smaller images to the largest of the batch, and the padding changes what is found in
    them: a result would depend on its neighbors.
    """

    def prepare(self, record: Record, image: ByteImage) -> Prepared:
        """The image normalized, resized and padded."""
        model: Preparing = self.model  # type: ignore[assignment]
        inputs = model.prepare([image_tensor(image, self.device)])
        height, width = image.shape[:2]
        return Prepared(record.key, (width, height), inputs.tensors[0], inputs.image_sizes[0])

    def split(self, images: list[Prepared]) -> Iterator[list[Prepared]]:
        """Neighbors whose inputs have one size."""
        for _, batch in groupby(images, key=lambda image: image.tensor.shape):
            yield list(batch)

    def stack(self, batch: list[Prepared]) -> Tensor:
        """(B, 3, H, W) of images that have one size."""
        return torch.stack([image.tensor for image in batch])


def image_tensor(image: ByteImage, device: torch.device) -> Tensor:
    """(3, H, W) float32 in 0..1 of (H, W, 3) uint8."""
    planes = torch.from_numpy(np.array(image.transpose(2, 0, 1), order="C"))
    return planes.to(device).float() / 255


def preprocess_of(transform: GeneralizedRCNNTransform) -> Preprocess:
    """What torchvision's transform does to an image in evaluation mode, described."""
    mean, std = _triple(transform.image_mean), _triple(transform.image_std)
    fixed: Size | None = transform.fixed_size
    return Preprocess(
        "shortest" if fixed is None else "stretch",
        (transform.max_size, transform.min_size[-1]) if fixed is None else fixed,
        rounded=False,
        size_rounding="down",
        # torchvision pads after normalization, with zeros
        pad_value=_triple([255 * one for one in mean]),
        pad_to_multiple=transform.size_divisible,
        divisor=255.0,
        mean=mean,
        std=std,
    )


def _triple(values: list[float]) -> Triple:
    first, second, third = map(float, values)
    return first, second, third
