"""``TrainingTask``: what a model family brings to training. The loop is the same for all of them."""

from __future__ import annotations

import copy
from abc import ABC, abstractmethod
from collections.abc import Collection, Iterator, Mapping, Sequence
from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Any, ClassVar

import torch
from torch import Tensor

from anydet.data.dataset.protocols import Dataset
from anydet.data.record.record import Record
from anydet.errors import TrainingError
from anydet.plugins.adapter import ClassLogits
from anydet.training.batches.sample import Sample
from anydet.training.batches.samples import LABEL_KINDS
from anydet.training.first_weights import FirstWeights, Names
from anydet.training.hooks import TrainingHook
from anydet.training.model import TorchModel
from anydet.training.weights import ModelWeights
from anydet.types import ClassTable, ImagePredictions

if TYPE_CHECKING:
    from typing_extensions import Self


@dataclass(frozen=True, slots=True, eq=False)
class StepOutput:
    """What one batch costs.

    Attributes:
        losses: name -> scalar tensor; logged as ``train_loss_<name>``.
        total: the scalar that is minimized; the sum of ``losses`` where it is ``None``.
        logits: class logits of the batch, with gradient, for distillation and replay; ``None`` where the
            model has none.
        sanitized: name -> scalar count of numbers that were changed so that the loss is finite; logged as
            ``train_sanitized_<name>``.
    """

    losses: Mapping[str, Tensor]
    total: Tensor | None = None
    logits: ClassLogits | None = None
    sanitized: Mapping[str, Tensor] = field(default_factory=dict)

    @property
    def loss(self) -> Tensor:
        """The scalar that is minimized."""
        return torch.stack(list(self.losses.values())).sum() if self.total is None else self.total


class TrainingTask(ABC):
    """A model, its batches and its losses.

    ``item`` and ``collate`` run in worker processes, so the task is pickled where workers are spawned; keep
    what they need light.

    Attributes:
        model: the live module, the one that ``predict`` of the adapter uses.
        classes: classes to learn.
        evaluators: registered names of those that validate it, where they apply.
        label_kinds: labels beside boxes and classes that it learns from; see ``samples.LABEL_KINDS``.
        keypoint_pairs: (left, right) positions of keypoints that swap names where an image is mirrored.
        find_unused_parameters: whether a step may leave parameters without a gradient; several processes
            need to know.
        weights: which tensors of ``model`` are saved, and how they are loaded.
        first_weights: what ``model`` began with; ``None`` where all its weights were random.
        no_lora: why LoRA cannot be put into ``model``, as the rest of a sentence; empty where it can.
        distill_keys: what ``logits`` and ``StepOutput.logits`` have for distillation and replay: ``logits``,
            and the names of ``ClassLogits.beside``; () for a model without class logits.
        wanted: those of them that a run uses; what is costly and not wanted may be left out.
    """

    model: TorchModel
    classes: ClassTable
    weights: ModelWeights = ModelWeights()
    first_weights: FirstWeights | None = None
    no_lora: str = ""
    distill_keys: Collection[str] = ()
    wanted: Collection[str] = ()
    evaluators: ClassVar[tuple[str, ...]] = ("coco",)
    label_kinds: ClassVar[Collection[str]] = LABEL_KINDS
    keypoint_pairs: ClassVar[Sequence[tuple[int, int]]] = ()
    find_unused_parameters: ClassVar[bool] = False

    @property
    def names(self) -> Names:
        """Names of the rows of ``model``."""
        return Names(self.classes.names)

    def with_model(self, model: Any) -> Self:
        """This task with another model of the family, such as a teacher, that gets the same batches."""
        other = copy.copy(self)
        other.model = model
        return other

    def item(self, sample: Sample) -> Any:
        """One augmented sample, made ready for ``collate`` (resized, normalized); itself by default."""
        return sample

    @abstractmethod
    def collate(self, items: list[Any]) -> Any:
        """A batch of what ``item`` gave: tensors in dictionaries, lists and tuples, still on the CPU."""

    @abstractmethod
    def step(self, batch: Any) -> StepOutput:
        """Losses of a batch on the model's device; ``model`` is in training mode."""

    def validation_step(self, batch: Any) -> StepOutput:
        """Losses of a validation batch. Changes no parameter and no buffer; the same value each time.

        Called without gradients, with ``model`` in evaluation mode and random numbers that start at the same
        seed each time. Models that give losses in training mode only override it.
        """
        return self.step(batch)

    def logits(self, batch: Any, like: ClassLogits | None = None) -> ClassLogits:
        """Class logits of a batch on the model's device, with gradient, in the mode that ``model`` is in.

        A teacher is a task of another model of the same family, and gets the batch of the task that is
        trained.

        Args:
            batch: of ``collate``.
            like: logits that another model gave for it, such as ``StepOutput.logits``. Rows are then of the
                same regions or queries in the same order; ``None`` lets the model choose them.

        Raises ``TrainingError`` where the task gives none, or ``like`` does not fit its model.
        """
        del batch, like
        raise TrainingError(
            f"{type(self).__name__} gives no class logits", fix="train without what compares logits"
        )

    def hooks(self) -> Sequence[TrainingHook]:
        """What happens around the steps of a run; an ``ExtraLoss`` among them adds losses.

        Called once, when ``model`` is on its device.
        """
        return ()

    def chance_losses(self) -> Mapping[str, float]:
        """Losses of a model that guesses evenly, where that is known: ``{"class": ln C}``.

        ``anydet diagnose`` compares the first losses with it.
        """
        return {}

    @abstractmethod
    def predict(self, records: Sequence[Record]) -> Iterator[ImagePredictions]:
        """Predictions of the live model, as ``Adapter.predict``; for validation."""

    @abstractmethod
    def description(self) -> Mapping[str, Any]:
        """What rebuilds the model when its checkpoint is loaded; plain data (text, numbers, lists, dicts)."""


def mirrored_keypoints(task: TrainingTask, dataset: Dataset) -> Sequence[tuple[int, int]]:
    """(left, right) positions of keypoints that swap in the mirror: the data set's, else the task's."""
    own: tuple[tuple[int, int], ...] = getattr(dataset, "keypoint_pairs", ())
    return own or task.keypoint_pairs
