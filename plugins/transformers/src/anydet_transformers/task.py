"""``LibraryTraining``: the library's own losses, for anydet's training engine."""

from __future__ import annotations

import re
from collections.abc import Iterator, Mapping, Sequence
from typing import Any, TypeAlias

import torch
from torch import Tensor
from torch.nn.functional import pad

from anydet.data.record.record import Record
from anydet.plugins.adapter import ClassLogits
from anydet.training.batches.sample import Sample
from anydet.training.task import StepOutput, TrainingTask
from anydet.types import ClassTable, ImagePredictions
from anydet_transformers.inputs import Labeled, label
from anydet_transformers.model import LibraryModel
from anydet_transformers.predictor import Predictor

Batch: TypeAlias = dict[str, Any]
_LAST_LAYER = re.compile(r"loss_[a-z]+")
"""Losses of the last layer; those of other layers and of denoising queries have more in their names."""


class LibraryTraining(TrainingTask):
    """A model of the library, trained by the loss that it gives itself.

    Args:
        model: trained module.
        classes: classes to learn.
        predictor: makes the predictions of validations.
    """

    label_kinds = frozenset({"masks"})
    distill_keys = ("logits",)
    # A batch without objects has no denoising queries, whose embedding then has no gradient.
    find_unused_parameters = True

    def __init__(self, model: LibraryModel, classes: ClassTable, predictor: Predictor) -> None:
        self.model: LibraryModel = model
        self.classes = classes
        self.predictor = predictor

    def item(self, sample: Sample) -> Labeled:
        """The image as the library's image processor makes it, and what is on it."""
        return label(sample, self.predictor.processor, masks=self.model.kind == "segment")

    def collate(self, items: list[Labeled]) -> Batch:
        """Images padded to the largest, below and to the right."""
        height, width = (max(item.pixels.shape[axis] for item in items) for axis in (1, 2))
        pixel_mask = torch.zeros(len(items), height, width, dtype=torch.int64)
        for mask, item in zip(pixel_mask, items, strict=True):
            mask[: item.content_hw[0], : item.content_hw[1]] = 1
        return {
            "pixel_values": torch.stack([_padded(item.pixels, height, width) for item in items]),
            "pixel_mask": pixel_mask,
            "labels": [self._target(item, height, width) for item in items],
        }

    def step(self, batch: Batch) -> StepOutput:
        """The library's losses of the last layer by name, and their weighted sum over all layers."""
        with self.model.choosing(None) as queries:
            outputs = self.model(**self._inputs(batch))
        named = {
            name.removeprefix("loss_"): loss
            for name, loss in (outputs.get("loss_dict") or {}).items()
            if _LAST_LAYER.fullmatch(name)
        }
        total = outputs["loss"].reshape(())
        logits = None
        if self.wanted:
            logits = self.model.logits_of(outputs, batch["pixel_values"], queries[0] if queries else None)
        return StepOutput(named or {"mask": total}, total, logits)

    def logits(self, batch: Batch, like: ClassLogits | None = None) -> ClassLogits:
        """Logits of all queries, or of those of ``like``."""
        return self.model.class_logits(batch["pixel_values"], like, pixel_mask=batch["pixel_mask"])

    def predict(self, records: Sequence[Record]) -> Iterator[ImagePredictions]:
        """Predictions of the live model."""
        return self.predictor(records)

    def description(self) -> Mapping[str, Any]:
        """Configuration and image processor."""
        return self.model.about.description()

    def _target(self, item: Labeled, height: int, width: int) -> dict[str, Tensor]:
        """Labels of one image in an input of a batch."""
        boxes = item.boxes
        if not self.model.takes_pixel_mask:
            # Without a mask the whole input is the image, and padding makes what is on it smaller.
            (down, across) = item.content_hw
            boxes = boxes * torch.tensor([across / width, down / height]).repeat(2)
        target = {"class_labels": item.class_ids, "boxes": boxes}
        return target if item.masks is None else target | {"masks": _padded(item.masks, height, width)}

    def _inputs(self, batch: Batch) -> Batch:
        """A batch as the model's ``forward`` takes it."""
        if not self.model.takes_mask_labels:
            return batch
        labels = batch["labels"]
        return {
            **{name: batch[name] for name in ("pixel_values", "pixel_mask")},
            "mask_labels": [one["masks"].float() for one in labels],
            "class_labels": [one["class_labels"] for one in labels],
        }


def _padded(values: Tensor, height: int, width: int) -> Tensor:
    """(N, H, W) with zeros below and to the right."""
    return pad(values, [0, width - values.shape[2], 0, height - values.shape[1]])
