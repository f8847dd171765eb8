"""``MultiTaskTraining``: batches and losses of the model, for anydet's training engine."""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from dataclasses import replace
from typing import Any

from torch import Tensor

from anydet.data.record.record import Record
from anydet.plugins.adapter import ClassLogits
from anydet.training.batches.sample import Sample
from anydet.training.detectors.regions import boxes_like
from anydet.training.detectors.targets import Batch, Item, boxes_and_labels, collate, scaled
from anydet.training.first_weights import Names
from anydet.training.task import StepOutput, TrainingTask
from anydet.types import ClassTable, ImagePredictions
from anydet_fasterrcnn_multitask.model import MultiTaskFasterRCNN, Training
from anydet_fasterrcnn_multitask.predictor import Predictor
from anydet_fasterrcnn_multitask.saved import About


class MultiTaskTraining(TrainingTask):
    """Detection and states at once: total = detection + ``state_loss_weight`` x state.

    Args:
        model: trained module.
        about: description for its checkpoints.
        classes: classes to learn.
        predictor: makes the predictions of validations.
        state_loss_weight: weight of the state loss.
    """

    evaluators = ("coco", "states", "delftbikes", "presence")
    label_kinds = frozenset({"states"})
    distill_keys = ("logits", "bbox", "states")

    def __init__(
        self,
        model: MultiTaskFasterRCNN,
        about: About,
        *,
        classes: ClassTable,
        predictor: Predictor,
        state_loss_weight: float = 0.5,
    ) -> None:
        self.model: MultiTaskFasterRCNN = model
        self.classes = classes
        self.about = about
        self.predictor = predictor
        self.state_loss_weight = state_loss_weight

    @property
    def names(self) -> Names:
        """Classes and states."""
        return Names(self.classes.names, self.about.state_names)

    @staticmethod
    def item(sample: Sample) -> Item:
        """(3, H, W) uint8 image and its target; crowds are left out, they are no single thing."""
        single = ~sample.iscrowd
        states = sample.class_ids.new_full((len(sample),), -1) if sample.states is None else sample.states
        return sample.image, {**boxes_and_labels(sample), "states": states[single]}

    @staticmethod
    def collate(items: list[Item]) -> Batch:
        """Tuples of images and of targets; sizes differ, the model makes them one tensor."""
        return collate(items)

    def step(self, batch: Batch) -> StepOutput:
        """The five losses and their weighted sum; logits are those of the sampled regions."""
        images, targets = batch
        self.model.roi_heads.all_states = "states" in self.wanted
        found: Training = self.model(scaled(images), list(targets))
        return self._output(found.losses, found.regions.class_logits())

    def validation_step(self, batch: Batch) -> StepOutput:
        """The same losses in evaluation mode; see ``MultiTaskFasterRCNN.evaluated_losses``."""
        images, targets = batch
        return self._output(self.model.evaluated_losses(scaled(images), list(targets)))

    def logits(self, batch: Batch, like: ClassLogits | None = None) -> ClassLogits:
        """Logits of what the first stage proposes, or of the regions of ``like``."""
        inputs = self.model.prepare(scaled(batch[0]))
        self.model.roi_heads.all_states = "states" in self.wanted
        if like is None:
            return self.model.regions(inputs).class_logits()
        boxes = boxes_like(like, inputs.image_sizes)
        found = self.model.regions(inputs, boxes).class_logits()
        return replace(found, valid=like.valid)

    def predict(self, records: Sequence[Record]) -> Iterator[ImagePredictions]:
        """Predictions of the live model."""
        return self.predictor(records)

    def description(self) -> Mapping[str, Any]:
        """Architecture, and names of classes and states."""
        return self.about.description()

    def _output(self, losses: Mapping[str, Tensor], logits: ClassLogits | None = None) -> StepOutput:
        named = {name.removeprefix("loss_"): loss for name, loss in losses.items()}
        return StepOutput(named, total_loss(losses, self.state_loss_weight), logits)


def total_loss(losses: Mapping[str, Tensor], state_loss_weight: float) -> Tensor:
    """Detection + weight x state, of the losses that the model gives in training mode."""
    detection = [loss for name, loss in losses.items() if name != "loss_state"]
    return sum(detection[1:], detection[0]) + state_loss_weight * losses["loss_state"]
