"""``DetectionTraining``: batches and losses of a detector, for anydet's training engine."""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from dataclasses import replace
from typing import Any

from torch import Tensor

from anydet.data.record.record import Record
from anydet.errors import DatasetError
from anydet.plugins.adapter import ClassLogits
from anydet.training.batches.sample import Sample
from anydet.training.detectors.regions import boxes_like
from anydet.training.detectors.targets import Batch, Item, boxes_and_labels, collate, scaled
from anydet.training.task import StepOutput, TrainingTask
from anydet.types import ClassTable, ImagePredictions
from anydet_torchvision.model import Detector
from anydet_torchvision.predictor import Predictor
from anydet_torchvision.two_stages import TwoStages


class DetectionTraining(TrainingTask):
    """What torchvision's model costs in training mode: the sum of its losses.

    Args:
        model: trained module.
        classes: classes to learn.
        predictor: makes the predictions of validations.
        label_kinds: labels beside boxes that the model learns from: ``masks``, ``keypoints``.
    """

    def __init__(
        self, model: Detector, classes: ClassTable, predictor: Predictor, label_kinds: frozenset[str]
    ) -> None:
        self.model: Detector = model
        self.classes = classes
        self.predictor = predictor
        self.label_kinds = label_kinds  # type: ignore[misc] # a matter of the architecture
        self.distill_keys = ("logits", "bbox") if isinstance(model, TwoStages) else ("logits",)

    def item(self, sample: Sample) -> Item:
        """(3, H, W) uint8 image and its target; crowds are left out.

        Raises ``DatasetError`` that names the image where it lacks labels that the model learns from.
        """
        single = ~sample.iscrowd
        target = boxes_and_labels(sample)
        for kind in self.label_kinds:
            found: Tensor | None = getattr(sample, kind)
            if found is None and len(target["labels"]):
                raise DatasetError(
                    f"image {sample.key}: its objects have no {kind}, which {self.model.about.model} learns",
                    fix=f"give {kind} of all objects, or train a model without them",
                )
            target[kind] = self._none(kind, sample) if found is None else found[single]
        return sample.image, target

    @staticmethod
    def collate(items: list[Item]) -> Batch:
        """Tuples of images and of targets; sizes differ, the model makes them one tensor."""
        return collate(items)

    def step(self, batch: Batch) -> StepOutput:
        """The losses that torchvision gives; their sum is minimized."""
        images, targets = batch
        losses, logits = self.model.losses(scaled(images), list(targets))
        return StepOutput(losses, logits=logits)

    def validation_step(self, batch: Batch) -> StepOutput:
        """The same losses in evaluation mode."""
        images, targets = batch
        return StepOutput(self.model.evaluated_losses(scaled(images), list(targets)))

    def logits(self, batch: Batch, like: ClassLogits | None = None) -> ClassLogits:
        """Logits of all anchors, or of regions: those of ``like``, else what the first stage proposes."""
        inputs = self.model.prepare(scaled(batch[0]))
        if like is None or not isinstance(self.model, TwoStages):
            return self.model.class_logits(inputs)
        found = self.model.class_logits(inputs, boxes_like(like, inputs.image_sizes))
        return replace(found, valid=like.valid)

    def predict(self, records: Sequence[Record]) -> Iterator[ImagePredictions]:
        """Predictions of the live model."""
        return self.predictor(records)

    def description(self) -> Mapping[str, Any]:
        """What the model is, with the names of its classes."""
        return self.model.about.description()

    def _none(self, kind: str, sample: Sample) -> Tensor:
        """Labels of no object."""
        if kind == "masks":
            return sample.boxes.new_zeros(0, *sample.image.shape[1:]).bool()
        return sample.boxes.new_zeros(0, len(self.model.about.keypoint_names), 3)
