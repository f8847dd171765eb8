"""``AdaptiveStreamTraining``: batches and losses of the model, for anydet's training engine."""

from __future__ import annotations

import math
from collections.abc import Iterator, Mapping, Sequence
from typing import Any, TypeAlias

import torch
from torch import Tensor

from anydet.data.record.class_mask import UNLABELED
from anydet.data.record.record import Record
from anydet.errors import DatasetError
from anydet.plugins.adapter import ClassLogits
from anydet.training.batches.sample import Sample
from anydet.training.batches.transforms import resize
from anydet.training.task import StepOutput, TrainingTask
from anydet.types import ClassTable, ImagePredictions
from anydet_adaptivestream.loss import StableLoss
from anydet_adaptivestream.model import AdaptiveStream
from anydet_adaptivestream.predictor import Predictor, input_of

Item: TypeAlias = dict[str, Tensor]


class AdaptiveStreamTraining(TrainingTask):
    """Segmentation and classification at once.

    Args:
        model: trained module.
        predictor: makes the predictions of validations; has the classes and the size of inputs.
        loss: minimized.
    """

    evaluators = ("semantic", "image-class", "coco")
    label_kinds = frozenset({"semantic"})
    distill_keys = ("logits",)

    def __init__(self, model: AdaptiveStream, predictor: Predictor, loss: StableLoss) -> None:
        self.model: AdaptiveStream = model
        self.predictor = predictor
        self.classes = predictor.classes
        self.loss = loss

    def item(self, sample: Sample) -> Item:
        """Image, class mask and label of a sample, stretched to the model's input.

        Raises ``DatasetError`` that names the image where a label is no class.
        """
        # Before the loss, which would count such labels as unlabeled and could not name the image.
        check_labels(sample, self.classes)
        size = self.predictor.image_size
        mask = resize(sample, (size, size)).semantic
        return {
            "images": input_of(sample, size),
            "masks": torch.full((size, size), UNLABELED) if mask is None else mask,
            "labels": torch.tensor(sample.label),
        }

    @staticmethod
    def collate(items: list[Item]) -> Item:
        """(B, 3, S, S) images, (B, S, S) masks and (B,) labels."""
        return {name: torch.stack([item[name] for item in items]) for name in items[0]}

    def step(self, batch: Item) -> StepOutput:
        """Losses of segmentation and classification, their weighted sum, and what had to be changed."""
        pixels, images = self.model(batch["images"])
        losses = self.loss(pixels, images, batch["masks"], batch["labels"])
        named = {"segmentation": losses.segmentation, "classification": losses.classification}
        if self.loss.dice_weight:
            named["dice"] = losses.dice
        counts = {
            "nonfinite_logits": losses.nonfinite,
            "clamped_logits": losses.clamped,
            "unknown_labels": losses.unknown,
        }
        return StepOutput(named, losses.total, class_logits(pixels, images), sanitized=counts)

    def logits(self, batch: Item, like: ClassLogits | None = None) -> ClassLogits:
        """Logits of the images and of their pixels, which are the same for all models."""
        del like
        return class_logits(*self.model(batch["images"]))

    def chance_losses(self) -> Mapping[str, float]:
        """Cross-entropy of an even guess."""
        return dict.fromkeys(("segmentation", "classification"), math.log(len(self.classes)))

    def predict(self, records: Sequence[Record]) -> Iterator[ImagePredictions]:
        """Predictions of the live model."""
        return self.predictor(records)

    def description(self) -> Mapping[str, Any]:
        """Architecture and size of inputs."""
        return {"architecture": self.model.architecture.as_dict(), "image_size": self.predictor.image_size}


def class_logits(pixels: Tensor, images: Tensor) -> ClassLogits:
    """Logits of the image (row 0), then of its pixels, row by row; softmax, no background column.

    The class called background, where there is one, is a class like the others.

    Args:
        pixels: (B, C, H, W) logits.
        images: (B, C) logits.
    """
    logits = torch.cat([images[:, None], pixels.flatten(2).transpose(1, 2)], dim=1)
    valid = torch.ones(logits.shape[:2], dtype=torch.bool, device=logits.device)
    return ClassLogits(logits, valid, "softmax")


def check_labels(sample: Sample, classes: ClassTable) -> None:
    """Raise ``DatasetError`` that names the image and the label that is no class."""
    mask = torch.zeros(0) if sample.semantic is None else sample.semantic
    wrong = mask[(mask != UNLABELED) & (mask >= len(classes))].tolist()
    if wrong or sample.label >= len(classes):
        what = f"its class mask has {wrong[0]}" if wrong else f"its class is {sample.label}"
        raise DatasetError(
            f"image {sample.key}: {what}, the {len(classes)} classes are 0 to {len(classes) - 1} "
            f"({', '.join(classes.names[:10])})",
            fix=f"correct the label ({UNLABELED} is for pixels without one), or name the missing classes",
        )
