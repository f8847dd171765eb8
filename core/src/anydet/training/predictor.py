"""``BatchPredictor``: how a torch model's predictions are made of records, batch by batch."""

from __future__ import annotations

from abc import ABC, abstractmethod
from collections.abc import Callable, Iterator, Sequence
from contextlib import AbstractContextManager, nullcontext
from dataclasses import dataclass, field
from typing import Any, Generic, TypeAlias, TypeVar

import torch
from torch import Tensor, nn

from anydet.data.record.record import Record
from anydet.plugins.adapter import Stage
from anydet.types import AdapterSettings, ByteImage, ImagePredictions

MarkStage: TypeAlias = Callable[[Stage], AbstractContextManager[None]]
"""Marks the run of a stage, as ``Adapter.stage``."""
InputT = TypeVar("InputT")
"""One image as the model gets it."""


def unmarked(_stage: Stage) -> AbstractContextManager[None]:
    """No mark: a predictor that nobody profiles."""
    return nullcontext()


@dataclass(frozen=True, eq=False)
class BatchPredictor(ABC, Generic[InputT]):
    """Predictions of a live model.

    A model family implements ``prepare``, ``stack``, ``forward`` and ``results``. Nothing here changes the
    model's mode: an adapter's is in evaluation mode, and a validation puts the trained one there.

    Attributes:
        model: used on its own device, in the mode in which it is.
        settings: batch size, lowest score and most detections.
        stage: marks the stages of a batch.
        kept: inputs that are used again for the same record, by its identity; ``None`` keeps none.
    """

    model: nn.Module
    settings: AdapterSettings
    stage: MarkStage = unmarked
    kept: dict[int, tuple[Record, InputT]] | None = field(default=None, kw_only=True)

    def __call__(self, records: Sequence[Record]) -> Iterator[ImagePredictions]:
        """One result a record, in their order."""
        for batch in self.batches(records, self.batch_size):
            yield from self.predict_batch(batch)

    def predict_batch(self, batch: list[InputT]) -> list[ImagePredictions]:
        """One result an image of a batch of ``batches``."""
        with self.stage("model"), torch.no_grad():
            outputs = self.forward(batch, self.stack(batch))
        with self.stage("postprocess"):
            return self.results(batch, outputs)

    def batches(self, records: Sequence[Record], batch_size: int) -> Iterator[list[InputT]]:
        """All records in their order, ``batch_size`` at once."""
        for start in range(0, len(records), batch_size):
            batch = [records[i] for i in range(start, min(start + batch_size, len(records)))]
            yield from self.split(self._inputs(batch))

    def _inputs(self, batch: list[Record]) -> list[InputT]:
        kept = {} if self.kept is None else self.kept
        new = [record for record in batch if id(record) not in kept]
        with self.stage("decode"):
            images = [record.image() for record in new]
        with self.stage("preprocess"):
            prepared = [self.prepare(*pair) for pair in zip(new, images, strict=True)]
        if self.kept is None:
            return prepared
        # With the record, whose identity another one could have when it is gone.
        kept.update({id(record): (record, made) for record, made in zip(new, prepared, strict=True)})
        return [kept[id(record)][1] for record in batch]

    @property
    def batch_size(self) -> int:
        """Images in one forward pass, at most."""
        return self.settings.batch_size

    @property
    def device(self) -> torch.device:
        """Device of the model."""
        return next(self.model.parameters()).device

    def split(self, images: list[InputT]) -> Iterator[list[InputT]]:
        """Batches of prepared images; one by default, more where their sizes cannot be stacked."""
        yield images

    @abstractmethod
    def prepare(self, record: Record, image: ByteImage) -> InputT:
        """A record and its pixels, (H, W, 3) uint8, as the model gets them."""

    @abstractmethod
    def stack(self, batch: list[InputT]) -> Tensor:
        """(B, 3, H, W) on the model's device."""

    @abstractmethod
    def forward(self, batch: list[InputT], images: Tensor) -> Any:
        """The model's outputs for ``images``, which ``stack`` made of ``batch``."""

    @abstractmethod
    def results(self, batch: list[InputT], outputs: Any) -> list[ImagePredictions]:
        """Outputs as predictions, in pixels of each image."""
