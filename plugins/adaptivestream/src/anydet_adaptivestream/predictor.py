"""``Predictor``: class, semantic mask and objects of images."""

from __future__ import annotations

from dataclasses import dataclass, field
from typing import NamedTuple

import torch
from torch import Tensor

from anydet.data.record.record import Record
from anydet.geometry.placement import Placement
from anydet.plugins import stages
from anydet.plugins.preprocess import Preprocess
from anydet.plugins.stages import Decoded
from anydet.prediction.pixel_classes import predictions_of_pixels
from anydet.training.batches.described import resized
from anydet.training.batches.sample import Sample
from anydet.training.batches.samples import unlabeled_sample
from anydet.training.batches.transforms import resize
from anydet.training.predictor import BatchPredictor
from anydet.training.stages import Named
from anydet.types import ByteImage, ClassTable, ImagePredictions
from anydet_adaptivestream.model import AdaptiveStream, fit

MEAN, STD = (0.485, 0.456, 0.406), (0.229, 0.224, 0.225)
"""Of ImageNet's RGB values in 0..1, which the backbones of timm expect."""


def preprocess(size: int) -> Preprocess:
    """What ``input_of`` does, described."""
    return Preprocess(
        "stretch", (size, size), interpolation="bilinear-antialias", divisor=255.0, mean=MEAN, std=STD
    )


def input_of(sample: Sample, size: int) -> Tensor:
    """(3, S, S) float32 input of a sample: stretched to a square of ``size`` pixels, normalized."""
    image = resize(sample, (size, size)).image.float() / 255.0
    mean, std = (torch.tensor(values)[:, None, None] for values in (MEAN, STD))
    return (image - mean) / std


class Prepared(NamedTuple):
    """One image as the model gets it.

    Attributes:
        key: of the record.
        size_hw: of the image, in pixels.
        pixels: (3, S, S) on the model's device.
    """

    key: str
    size_hw: tuple[int, int]
    pixels: Tensor


@dataclass(frozen=True, eq=False)
class Predictor(BatchPredictor[Prepared]):
    """Class, semantic mask and objects of each image; objects are cut at 100 or more.

    Attributes:
        classes: of pixels and of images.
        image_size: side of the square input in pixels.
        min_area_px: smaller regions are no objects; the semantic mask keeps them.
    """

    model: AdaptiveStream
    classes: ClassTable = field(kw_only=True)
    image_size: int = field(kw_only=True)
    min_area_px: int = field(default=16, kw_only=True)

    @property
    def batch_size(self) -> int:
        """One image at a time, so that no result depends on the neighbors in a batch."""
        return 1

    def prepare(self, record: Record, image: ByteImage) -> Prepared:
        """The image stretched to the model's input."""
        side = self.image_size
        pixels = input_of(unlabeled_sample(record.key, resized(image, (side, side))), side)
        return Prepared(record.key, (image.shape[0], image.shape[1]), pixels.to(self.device))

    def stack(self, batch: list[Prepared]) -> Tensor:
        """(B, 3, S, S) on the model's device."""
        return torch.stack([image.pixels for image in batch])

    def forward(self, batch: list[Prepared], images: Tensor) -> list[tuple[Tensor, Tensor]]:
        """Probabilities of each image's pixels (C, H, W) and of its classes (C,)."""
        pixels, logits = self.model(images)
        return [_probabilities(pixels[i], logits[i], image.size_hw) for i, image in enumerate(batch)]

    def results(self, batch: list[Prepared], outputs: list[tuple[Tensor, Tensor]]) -> list[ImagePredictions]:
        """The likeliest class of every pixel, and the regions that it makes."""
        return [
            predictions_of_pixels(
                image.key,
                probabilities.cpu().numpy(),
                scores.tolist(),
                self.classes,
                self.settings,
                min_area_px=self.min_area_px,
            )
            for image, (probabilities, scores) in zip(batch, outputs, strict=True)
        ]

    @property
    def most(self) -> int:
        """Objects of an image."""
        return max(100, self.settings.max_detections)

    def placed(self, image: Prepared) -> stages.Prepared:
        """The stretched image."""
        (height, width), side = image.size_hw, self.image_size
        placement = Placement((width, height), (side, side), (0, 0), (side, side))
        return stages.Prepared(image.pixels.cpu().numpy(), placement)

    def decode(self, outputs: Named, placement: Placement) -> None:
        """Nothing: outputs are classes of pixels."""

    def select(self, record: Record, decoded: Decoded, placement: Placement) -> ImagePredictions:
        """Nothing: objects are made of pixels."""
        return ImagePredictions.empty(record.key, placement.image_wh)

    def complete(self, record: Record, outputs: Named, placement: Placement) -> ImagePredictions:
        """Class, semantic mask and objects."""
        size_hw = placement.image_wh[1], placement.image_wh[0]
        image = Prepared(record.key, size_hw, torch.empty(0))
        found = _probabilities(outputs["pixel_logits"], outputs["image_logits"], size_hw)
        (result,) = self.results([image], [found])
        return result


def _probabilities(pixels: Tensor, image: Tensor, size_hw: tuple[int, int]) -> tuple[Tensor, Tensor]:
    """(C, H, W) of the original image's pixels of (C, h, w) logits, and (C,) of the image's classes."""
    return fit(pixels[None], size_hw).softmax(dim=1)[0], image.double().softmax(dim=0)
