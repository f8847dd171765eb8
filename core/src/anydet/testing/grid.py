"""The smallest detector with a torch model: what methods of test-time training are tried on."""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from typing import Any

import numpy as np
import torch

from anydet.data.record.record import Record
from anydet.plugins.adapter import Adapter, ClassLogits, Masking
from anydet.types import AdapterSettings, ClassTable, FloatArray, ImagePredictions

SIDE = 32
CELLS = 4


class Grid(torch.nn.Module):
    """Logits of two classes in each of 4x4 cells of a 32x32 input; with a norm that has statistics."""

    def __init__(self, seed: int) -> None:
        super().__init__()
        step = SIDE // CELLS
        self.backbone = torch.nn.Sequential(torch.nn.Conv2d(3, 4, step, stride=step), torch.nn.BatchNorm2d(4))
        self.head = torch.nn.Conv2d(4, 2, 1)
        generator = torch.Generator().manual_seed(seed)
        with torch.no_grad():
            for parameter in self.parameters():
                parameter.copy_(torch.randn(parameter.shape, generator=generator))
        self.eval()

    def forward(self, images: torch.Tensor) -> torch.Tensor:
        """(B, 16, 2) logits of (B, 3, 32, 32) images."""
        logits: torch.Tensor = self.head(self.backbone(images)).flatten(2).transpose(1, 2)
        return logits


class GridDetector(Adapter):
    """A box a cell, with all that adaptation asks of an adapter."""

    def __init__(self, settings: AdapterSettings) -> None:
        super().__init__(settings)
        self.model = Grid(settings.seed)

    @property
    def classes(self) -> ClassTable:
        """Two classes."""
        return ClassTable(("cat", "dog"))

    def predict(self, records: Sequence[Record]) -> Iterator[ImagePredictions]:
        """One result a record, in evaluation mode whatever the model's mode is."""
        for record in records:
            trained = [module for module in self.model.modules() if module.training]
            self.model.eval()
            with torch.no_grad():
                logits = self.class_logits(self.input(record)[None]).logits[0]
            for module in trained:
                module.training = True
            yield self.result(record, logits.sigmoid().double().numpy())

    def result(self, record: Record, scores: FloatArray) -> ImagePredictions:
        """The cells whose scores are above the floor."""
        cells, class_ids = np.nonzero(scores > self.settings.score_floor)
        corner = np.stack([cells % CELLS, cells // CELLS], axis=1) / CELLS
        boxes = np.concatenate([corner, corner + 1 / CELLS], axis=1) * [*record.size_wh, *record.size_wh]
        return ImagePredictions(
            record.key, record.size_wh, boxes, scores[cells, class_ids], class_ids.astype(np.int64)
        )

    def input(self, record: Record) -> torch.Tensor:
        """(3, 32, 32) of an image."""
        image = torch.from_numpy(record.image().copy()).permute(2, 0, 1)[None].float() / 255
        return torch.nn.functional.interpolate(image, (SIDE, SIDE))[0]

    def get_model(self) -> Grid:
        """The model that predicts."""
        return self.model

    def build_loader(self, records: Sequence[Record], *, batch_size: int) -> Iterator[torch.Tensor]:
        """Inputs of the model, batch by batch."""
        for i in range(0, len(records), batch_size):
            yield torch.stack([self.input(record) for record in records[i : i + batch_size]])

    def class_logits(self, batch: Any, like: ClassLogits | None = None) -> ClassLogits:
        """Logits of all cells, which are the same for all weights."""
        del like
        logits = self.model(batch)
        return ClassLogits(logits, torch.ones(logits.shape[:2], dtype=torch.bool), "sigmoid")

    def features(self, batch: Any) -> Mapping[str, torch.Tensor]:
        """The one level that there is."""
        return {"backbone.stride8": self.model.backbone(batch)}

    def module_names(self) -> Mapping[str, list[str]]:
        """Backbone and head; there is no neck."""
        return {"backbone": ["backbone"], "neck": [], "head": ["head"]}

    def self_supervised_loss(
        self, batch: Any, generator: Any, masking: Masking | None = None
    ) -> torch.Tensor:
        """How much noise on the images changes the logits; nothing is masked."""
        del masking
        noise = torch.randn(batch.shape, generator=generator)
        loss: torch.Tensor = (self.model(batch + noise) - self.model(batch)).square().mean()
        return loss
