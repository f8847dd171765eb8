"""Images as a model takes them, in training and in prediction."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
import torch
from torch import Tensor

from anydet.data.record.record import Record
from anydet.geometry.placement import Placement
from anydet.plugins.preprocess import Preprocess
from anydet.training.batches.described import resized
from anydet.training.batches.sample import Sample
from anydet.training.batches.transforms import PAD_VALUE, letterbox, resize
from anydet.types import ByteImage, Intrinsics
from anydet_rtdetr_pose.architecture import Inputs


@dataclass(frozen=True, slots=True, eq=False)
class Prepared:
    """One image as an input, and its place in it.

    Attributes:
        key: of the record.
        pixels: (3, H, W) uint8 of the input.
        placement: where the image stands in the input.
        camera: of the image, or ``None``.
    """

    key: str
    pixels: Tensor
    placement: Placement
    camera: Intrinsics | None


def preprocess(inputs: Inputs) -> Preprocess:
    """What ``prepare`` and ``model_input`` do, described."""
    return Preprocess(
        "letterbox-center" if inputs.resize == "letterbox" else "stretch",
        inputs.size_wh,
        interpolation="bilinear-antialias",
        pad_value=(PAD_VALUE,) * 3,
        divisor=255.0,
    )


def fit(sample: Sample, inputs: Inputs) -> Sample:
    """A sample of the input's size; labels and intrinsics follow."""
    return (letterbox if inputs.resize == "letterbox" else resize)(sample, inputs.size_wh)


def prepare(record: Record, inputs: Inputs) -> Prepared:
    """A record as a model's input."""
    return prepare_image(record.key, record.image(), record.intrinsics, inputs)


def prepare_image(key: str, image: ByteImage, camera: Intrinsics | None, inputs: Inputs) -> Prepared:
    """The same of (H, W, 3) uint8; placed as ``fit`` places it, and resized as runtimes do."""
    placement = preprocess(inputs).placement((image.shape[1], image.shape[0]))
    (left, top), (width, height) = placement.offset_xy, placement.content_wh
    pixels = np.full((inputs.size_wh[1], inputs.size_wh[0], 3), PAD_VALUE, np.uint8)
    pixels[top : top + height, left : left + width] = resized(image, placement.content_wh)
    return Prepared(key, torch.from_numpy(pixels).permute(2, 0, 1).contiguous(), placement, camera)


def model_input(pixels: Tensor) -> Tensor:
    """(B, 3, H, W) in 0..1 of uint8; published weights expect no further normalization."""
    return pixels.float() / 255
