"""``PoseTraining``: RT-DETR with pose heads, as the engine trains it."""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from typing import Any, ClassVar, NamedTuple

import torch
from torch import Tensor

from anydet.data.record.record import Record
from anydet.errors import TrainingError
from anydet.plugins.adapter import ClassLogits, RowValues
from anydet.training.batches.sample import Sample
from anydet.training.hooks import TrainingHook
from anydet.training.task import StepOutput, TrainingTask
from anydet.types import ClassTable, ImagePredictions
from anydet_rtdetr_pose.box_iou import corners
from anydet_rtdetr_pose.inputs import fit, model_input
from anydet_rtdetr_pose.losses.criterion import Criterion
from anydet_rtdetr_pose.mim_teacher import MimTeacherHook
from anydet_rtdetr_pose.model import PoseDetector
from anydet_rtdetr_pose.outputs import Outputs
from anydet_rtdetr_pose.predictor import Predictor
from anydet_rtdetr_pose.stages import Stages
from anydet_rtdetr_pose.targets import Targets, stack_targets, targets_of


class Batch(NamedTuple):
    """B images and what is on them.

    Attributes:
        images: (B, 3, H, W) uint8.
        targets: of the same images.
    """

    images: Tensor
    targets: Targets


class PoseTraining(TrainingTask):
    """Classes, boxes and poses at once.

    Args:
        model: trained module.
        classes: classes to learn.
        criterion: losses of a batch.
        predictor: makes the predictions of validations.
        stages: in which single heads learn alone; counts the steps.
    """

    evaluators = ("coco", "pose")
    label_kinds = frozenset({"poses", "keypoints"})

    def __init__(
        self,
        model: PoseDetector,
        classes: ClassTable,
        criterion: Criterion,
        predictor: Predictor,
        stages: Stages,
    ) -> None:
        self.model: PoseDetector = model
        self.classes = classes
        self.criterion = criterion
        self.predictor = predictor
        self.stages = stages
        self.distill_keys = ("logits", "bbox", *model.heads)

    def item(self, sample: Sample) -> Batch:
        """One image of the input's size and its objects."""
        architecture = self.model.architecture
        fitted = fit(sample, architecture.inputs)
        return Batch(fitted.image[None], targets_of(fitted, keypoints=architecture.heads.keypoints))

    @staticmethod
    def collate(items: list[Batch]) -> Batch:
        """A batch of single images."""
        return Batch(
            torch.cat([item.images for item in items]), stack_targets([item.targets for item in items])
        )

    def step(self, batch: Batch) -> StepOutput:
        """Losses of all decoder layers, of the proposals, of denoising queries and of hidden patches."""
        images, targets = model_input(batch.images), batch.targets
        outputs: Outputs = self.model(images, targets.labels() if self.model.training else None)
        size_wh = (images.shape[3], images.shape[2])
        self.criterion.symmetries.to(images.device)
        losses = self.criterion.losses(outputs, targets, size_wh, step=self.stages.steps_done)
        losses["class"] = losses["class"] + self._unused(outputs)
        if self.model.mim is not None and self.model.training:
            losses["mim"] = self.criterion.weighted("mim", self.model.mim_loss(images))
        _, others = outputs.split()
        return StepOutput(losses, logits=last_logits(others, size_wh))

    def logits(self, batch: Batch, like: ClassLogits | None = None) -> ClassLogits:
        """Logits of the last decoder layer, of the queries of ``like``, or of those with the highest scores.

        Queries of two models are the same where they are made of the same positions of the encoder.
        """
        if like is not None and like.queries is None:
            raise TrainingError(
                "the logits to compare with have no queries", fix="give those of a model of this family"
            )
        images, queries = model_input(batch.images), None if like is None else like.queries
        outputs: Outputs = self.model(images, queries=queries)
        return last_logits(outputs, (images.shape[3], images.shape[2]), queries)

    def hooks(self) -> Sequence[TrainingHook]:
        """The stages, and the teacher of masked image modeling."""
        return [self.stages, MimTeacherHook(self.model)]

    def predict(self, records: Sequence[Record]) -> Iterator[ImagePredictions]:
        """Predictions of the live model."""
        return self.predictor(records)

    def description(self) -> Mapping[str, Any]:
        """The architecture."""
        return self.model.architecture.description()

    def _unused(self, outputs: Outputs) -> Tensor:
        """A zero that depends on the class embedding of denoising queries."""
        # A batch without objects has no denoising queries, so that their embedding would get no gradient,
        # which DistributedDataParallel refuses unless it looks for unused parameters in each step.
        embedding = getattr(self.model.detector.model, "denoising_class_embed", None)
        if embedding is None or outputs.denoising is not None:
            return outputs.logits.new_zeros(())
        unused: Tensor = 0.0 * embedding.weight.sum()
        return unused


class StagedTraining(PoseTraining):
    """The same where at first single heads learn, so that most parameters have no gradient."""

    find_unused_parameters: ClassVar[bool] = True


def last_logits(outputs: Outputs, size_wh: tuple[int, int], queries: Tensor | None = None) -> ClassLogits:
    """Class logits of the last decoder layer, with boxes in pixels of the input.

    Beside them are ``bbox``, normalized center and size, and what the heads give of each query.

    Args:
        outputs: without denoising queries.
        size_wh: of the input, in pixels.
        queries: (B, Q) positions that the model was given; ``None`` where it chose them.
    """
    logits, boxes = outputs.logits[:, -1], outputs.boxes[:, -1]
    size = torch.tensor([*size_wh, *size_wh], dtype=boxes.dtype, device=boxes.device)
    valid = torch.ones(logits.shape[:2], dtype=torch.bool, device=logits.device)
    if queries is None and outputs.scores is not None:
        # As the model has chosen them, of the same numbers: transformers does not return them.
        queries = outputs.scores.detach().amax(-1).topk(logits.shape[1]).indices
    sizes = torch.tensor(size_wh, device=boxes.device).expand(len(logits), 2)
    heads = {name: RowValues(values[:, -1]) for name, values in outputs.heads.items()}
    return ClassLogits(
        logits,
        valid,
        "sigmoid",
        boxes=corners(boxes) * size,
        sizes_wh=sizes,
        queries=queries,
        beside={"bbox": RowValues(boxes), **heads},
    )
