"""A detector of a few hundred weights that trains in milliseconds, for tests of the engine.

A module, not fixtures: tests derive tasks from its task, and processes that tests start import it.
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from pathlib import Path
from typing import Any

import numpy as np
import torch
from torch import Tensor, nn
from torch.nn import functional

from anydet.data.record.record import Record
from anydet.data.scenes.shape_scenes import SyntheticDataset
from anydet.plugins.adapter import ClassLogits, RowValues
from anydet.plugins.manager import Plugins
from anydet.training.adapter import TorchAdapter
from anydet.training.batches.sample import Sample
from anydet.training.checkpoints.checkpoint import Checkpoint, load_checkpoint
from anydet.training.config.settings import TrainSettings
from anydet.training.model import TorchModel
from anydet.training.predictor import BatchPredictor
from anydet.training.run import Run, RunPaths
from anydet.training.task import StepOutput, TrainingTask
from anydet.types import AdapterSettings, ByteImage, ClassTable, ImagePredictions

CELLS = 4
SIDE_PX = 32


class Grid(TorchModel):
    """Logits of each class, and a box, in each of 4x4 cells of a 32x32 input."""

    def __init__(self, classes: int, *, norm: bool = False, dropout: float = 0.0) -> None:
        super().__init__()
        middle = nn.BatchNorm2d(8) if norm else nn.Identity()
        self.backbone = nn.Sequential(nn.Conv2d(3, 8, 8, stride=8), middle, nn.ReLU(), nn.Dropout(dropout))
        self.head = nn.Conv2d(8, classes + 4, 1)
        self.classes = classes

    def forward(self, images: Tensor) -> tuple[Tensor, Tensor]:
        """(B, 16, C) logits and (B, 16, 4) boxes in shares of the image."""
        found = self.head(self.backbone(images)).flatten(2).transpose(1, 2)
        return found[..., : self.classes], found[..., self.classes :].sigmoid()

    def features(self, images: Tensor) -> dict[str, Tensor]:
        return {"backbone.stride8": self.backbone(images)}

    def module_names(self) -> dict[str, list[str]]:
        return {"backbone": ["backbone"], "neck": [], "head": ["head"]}


class GridTask(TrainingTask):
    """The whole border in a few lines."""

    distill_keys = ("logits", "bbox")

    def __init__(self, classes: ClassTable, options: Mapping[str, Any]) -> None:
        self.classes = classes
        self.options = dict(options)
        self.model = Grid(len(classes), **self.options)

    def item(self, sample: Sample) -> dict[str, Tensor]:
        image = functional.interpolate(sample.image[None].float() / 255, (SIDE_PX, SIDE_PX))[0]
        target = torch.zeros(CELLS * CELLS, len(self.classes))
        boxes = torch.full((CELLS * CELLS, 4), 0.5)
        size = torch.tensor([*sample.size_wh, *sample.size_wh])
        for box, class_id in zip(sample.boxes / size, sample.class_ids, strict=True):
            column, row = ((box[:2] + box[2:]) / 2 * CELLS).long().clamp(0, CELLS - 1).tolist()
            target[row * CELLS + column, class_id] = 1.0
            boxes[row * CELLS + column] = box.clamp(0, 1)
        return {"image": image, "target": target, "boxes": boxes}

    def collate(self, items: list[dict[str, Tensor]]) -> dict[str, Tensor]:
        return {name: torch.stack([item[name] for item in items]) for name in items[0]}

    def step(self, batch: dict[str, Tensor]) -> StepOutput:
        logits, boxes = self.model(batch["image"])
        return StepOutput(
            {
                "class": functional.binary_cross_entropy_with_logits(logits, batch["target"]),
                "box": functional.l1_loss(boxes, batch["boxes"]),
            },
            logits=cell_logits(logits, boxes),
        )

    def logits(self, batch: dict[str, Tensor], like: ClassLogits | None = None) -> ClassLogits:
        return cell_logits(*self.model(batch["image"]))  # cells are the same in all models

    def predict(self, records: Sequence[Record]) -> Iterator[ImagePredictions]:
        self.model.eval()
        return GridPredictor(self.model, AdapterSettings())(records)

    def description(self) -> dict[str, Any]:
        return {"options": self.options, "classes": len(self.classes)}


def cell_logits(logits: Tensor, boxes: Tensor) -> ClassLogits:
    """What ``Grid`` gives, as the contract has it."""
    sizes = torch.full((len(logits), 2), SIDE_PX, device=logits.device)
    valid = torch.ones(logits.shape[:2], dtype=torch.bool, device=logits.device)
    beside = {"bbox": RowValues(boxes)}
    return ClassLogits(logits, valid, "sigmoid", boxes=boxes * SIDE_PX, sizes_wh=sizes, beside=beside)


class GridPredictor(BatchPredictor[tuple[Record, Tensor]]):
    """The likeliest class of each cell."""

    model: Grid

    def prepare(self, record: Record, image: ByteImage) -> tuple[Record, Tensor]:
        pixels = torch.from_numpy(image.copy()).permute(2, 0, 1)[None].float() / 255
        return record, functional.interpolate(pixels, (SIDE_PX, SIDE_PX))[0]

    def stack(self, batch: list[tuple[Record, Tensor]]) -> Tensor:
        return torch.stack([pixels for _, pixels in batch]).to(self.device)

    def forward(self, batch: list[tuple[Record, Tensor]], images: Tensor) -> tuple[Tensor, Tensor]:
        return self.model(images)

    def results(
        self, batch: list[tuple[Record, Tensor]], outputs: tuple[Tensor, Tensor]
    ) -> list[ImagePredictions]:
        found = []
        for (record, _), logits, boxes in zip(batch, *outputs, strict=True):
            scores, class_ids = logits.sigmoid().max(dim=1)
            size = np.array([*record.size_wh, *record.size_wh])
            found.append(
                ImagePredictions(
                    record.key,
                    record.size_wh,
                    boxes.double().cpu().numpy() * size,
                    scores.double().cpu().numpy(),
                    class_ids.cpu().numpy(),
                )
            )
        return found


class GridAdapter(TorchAdapter[Grid, Checkpoint]):
    """Predicts with the model that it trained, with a checkpoint's, or with random weights."""

    registered_name = "grid"
    task: GridTask

    def read_saved(self, checkpoint: str) -> Checkpoint:
        return load_checkpoint(checkpoint, adapter=self.registered_name)

    def build_model(self) -> Grid:
        options = self.saved.description["options"] if self.saved else {}
        return Grid(len(self.classes), **options)

    def build_predictor(self, model: Grid) -> GridPredictor:
        return GridPredictor(model, self.settings, self.stage)

    def build_task(self, run: Run) -> GridTask:
        self.task = GridTask(run.classes, run.options)
        return self.task

    @property
    def classes(self) -> ClassTable:
        return ClassTable(self.class_names(self.saved.classes if self.saved else ("a", "b", "c")))


def tiny_run(folder: Path, *, images: int = 12, options: Mapping[str, Any] | None = None, **keys: Any) -> Run:
    """A run of the grid on scenes that need no disk; ``keys`` are those of the engine."""
    defaults = {"batch_size": 4, "num_workers": 0, "lr": 1e-2, "epochs": 2, "device": "cpu"}
    return Run(
        adapter="grid",
        dataset=SyntheticDataset(images, 0, (64, 64), "train"),
        validation=SyntheticDataset(5, 1, (64, 64), "val"),
        settings=TrainSettings(**(defaults | keys)),
        paths=RunPaths.of_folder(folder),
        options=options or {},
        plugins=Plugins([]),
    )
