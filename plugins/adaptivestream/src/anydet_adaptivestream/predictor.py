"""``Predictor``: class, semantic mask and objects of images."""

from __future__ import annotations

from dataclasses import dataclass, field
from typing import NamedTuple

import numpy as np
import torch
from torch import Tensor

from anydet.data.record.class_mask import background_of, masks_of_classes
from anydet.data.record.record import Record
from anydet.geometry import masks
from anydet.plugins.preprocess import Preprocess
from anydet.training.batches.sample import Sample
from anydet.training.batches.samples import unlabeled_sample
from anydet.training.batches.transforms import resize
from anydet.training.predictor import BatchPredictor
from anydet.types import ByteImage, Classification, ClassTable, ImagePredictions
from anydet_adaptivestream.model import AdaptiveStream, fit
from anydet_adaptivestream.objects import find_objects

MEAN, STD = (0.485, 0.456, 0.406), (0.229, 0.224, 0.225)
"""Of ImageNet's RGB values in 0..1, which the backbones of timm expect."""
_FEWEST = 100


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
        pixels = input_of(unlabeled_sample(record.key, image), self.image_size)
        return Prepared(record.key, (image.shape[0], image.shape[1]), pixels.to(self.device))

    def stack(self, batch: list[Prepared]) -> Tensor:
        """(B, 3, S, S) on the model's device."""
        return torch.stack([image.pixels for image in batch])

    def forward(self, batch: list[Prepared], images: Tensor) -> list[tuple[Tensor, Tensor]]:
        """Probabilities of each image's pixels (C, H, W) and of its classes (C,)."""
        pixels, logits = self.model(images)
        return [
            (fit(pixels[i : i + 1], image.size_hw).softmax(dim=1)[0], logits[i].double().softmax(dim=0))
            for i, image in enumerate(batch)
        ]

    def results(self, batch: list[Prepared], outputs: list[tuple[Tensor, Tensor]]) -> list[ImagePredictions]:
        """The likeliest class of every pixel, and the regions that it makes."""
        return [
            self._result(image.key, probabilities, scores.tolist())
            for image, (probabilities, scores) in zip(batch, outputs, strict=True)
        ]

    def _result(self, key: str, probabilities: Tensor, scores: list[float]) -> ImagePredictions:
        """Of (C, H, W) probabilities of the pixels and C of the image."""
        best, classes = probabilities.max(dim=0)
        class_map = classes.cpu().numpy().astype(np.int64)
        height, width = class_map.shape
        objects = find_objects(
            class_map,
            best.double().cpu().numpy(),
            background_of(self.classes),
            min_area_px=self.min_area_px,
            score_floor=self.settings.score_floor,
            # COCO evaluates up to 100 detections an image: a cut below that would cost recall.
            limit=max(_FEWEST, self.settings.max_detections),
        )
        top = int(np.argmax(scores))
        return ImagePredictions(
            key,
            (width, height),
            objects.boxes_xyxy_px,
            objects.scores,
            objects.class_ids,
            masks=tuple(masks.encode(objects.regions.index_map == row) for row in objects.rows.tolist()),
            classification=Classification(top, scores[top], tuple(scores)),
            semantic_mask=masks_of_classes(class_map),
        )
