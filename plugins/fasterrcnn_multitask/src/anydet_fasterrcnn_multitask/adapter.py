"""The ``fasterrcnn_multitask`` adapter: predicts, trains, and shows its live model."""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from dataclasses import replace
from functools import cached_property
from pathlib import Path
from typing import Any

import torch
from torch import Tensor
from torch.nn.utils.rnn import pad_sequence

from anydet.data.dataset.protocols import Dataset
from anydet.data.record.record import Record
from anydet.errors import OptionError
from anydet.plugins.adapter import ClassLogits, TrainResult
from anydet.training.adapter import TorchAdapter
from anydet.training.checkpoints.checkpoint import load_weights
from anydet.training.launch.launch import is_main_process
from anydet.training.run import Run
from anydet.types import AdapterSettings, ClassTable, ImagePredictions
from anydet_delftbikes.parts import PARTS, STATES
from anydet_fasterrcnn_multitask.architecture import USUAL_BACKBONE, Architecture
from anydet_fasterrcnn_multitask.build import build_task
from anydet_fasterrcnn_multitask.environment import read_variables
from anydet_fasterrcnn_multitask.model import MultiTaskFasterRCNN
from anydet_fasterrcnn_multitask.predictor import Predictor, stacked
from anydet_fasterrcnn_multitask.saved import NAME, About, read_saved, save_state
from anydet_fasterrcnn_multitask.task import MultiTaskTraining

BEST = "fasterrcnn_multitask_best.pth"
"""The plain state dictionary that a training run leaves."""
_RANDOM = (
    "fasterrcnn_multitask has RANDOM WEIGHTS: no checkpoint was given, and what it finds means nothing; "
    "add --checkpoint RUN (a run's folder, best.pt or a .pth file)"
)


class FasterRCNNMultiTask(TorchAdapter):
    """Faster R-CNN that tells the state of what it finds.

    Args:
        settings: ``checkpoint`` is a run's folder, a checkpoint of one, or a plain state dictionary; without
            one weights are random. Options are those of ``options.schema.json``.

    Raises:
        TrainingError: the checkpoint cannot be read, or is another model's.
        OptionError: there are configurations asked for, or too few class names.
    """

    def __init__(self, settings: AdapterSettings) -> None:
        super().__init__(settings)
        if settings.config is not None:
            raise OptionError(
                f"the {NAME} adapter has no configurations (got {settings.config!r})",
                fix="leave --config out; a checkpoint says what model it is",
            )
        self._saved = read_saved(settings.checkpoint) if settings.checkpoint else None
        self._about = self._described()
        self._trained = self._saved is not None

    @property
    def classes(self) -> ClassTable:
        """Names from the checkpoint or the option ``names``; DelftBikes' parts where there are 22."""
        return ClassTable(self._about.classes)

    @property
    def notes(self) -> Mapping[str, Any]:
        """Preprocessing and NMS as they are used, for ``meta``, and whether the weights mean anything."""
        architecture = self._about.architecture
        return {
            "image_size": [architecture.min_size, architecture.max_size],
            "nms_iou": architecture.nms_iou,
            "preprocess": {
                "resize": "shortest",
                "min_size": architecture.min_size,
                "max_size": architecture.max_size,
                "backbone": architecture.backbone,
                "norm": architecture.norm,
            },
            "states": list(self._about.state_names),
            "warnings": [] if self._trained else [_RANDOM],
        }

    def predict(self, records: Sequence[Record]) -> Iterator[ImagePredictions]:
        """One result a record, in their order; each detection with its state where states were learned."""
        return self._predictor(self._model, self._about)(records)

    def get_model(self) -> MultiTaskFasterRCNN:
        """The live module that ``predict`` uses."""
        model: MultiTaskFasterRCNN = self._model
        return model

    def build_loader(self, records: Sequence[Record], *, batch_size: int) -> Iterator[Tensor]:
        """(B, 3, H, W) inputs as ``predict`` prepares them, on the model's device.

        Neighbors of one padded size share a batch, so B may be smaller than ``batch_size``.
        """
        predictor = replace(self._predictor(self._model, self._about), batch_size=batch_size)
        return map(stacked, predictor.batches(records))

    def class_logits(self, batch: Tensor) -> ClassLogits:
        """Logits of the regions that the first stage proposes; softmax, the background is 0.

        ``boxes`` are the proposals in pixels of the input, padding included.
        """
        boxes, logits = self._model.region_logits(batch)
        counts = torch.tensor([len(rows) for rows in boxes], device=batch.device)
        columns = torch.arange(int(counts.max()), device=batch.device)
        return ClassLogits(
            pad_sequence(logits, batch_first=True),
            columns < counts[:, None],
            "softmax",
            background=0,
            boxes=pad_sequence(boxes, batch_first=True),
        )

    def training_task(self, run: Run) -> MultiTaskTraining:
        """The model of ``run.options`` for the classes of ``run.dataset``, with its first weights."""
        task = build_task(run, self._saved, self._predictor)
        self._model, self._about, self._trained = task.model, task.about, True
        return task

    def train(self, dataset: Dataset, run: Run) -> TrainResult:
        """Train by the engine's loop.

        Also writes ``fasterrcnn_multitask_best.pth``, a plain state dictionary, into ``output_dir``, the
        folder that the environment or ``.env`` calls OUTPUT_DIR, or the run's.
        """
        folder = run.options.get("output_dir") or read_variables().get("OUTPUT_DIR") or run.paths.root
        result = super().train(dataset, run)
        self._model.eval()
        if is_main_process():
            save_state(Path(folder) / BEST, read_saved(result.checkpoint).state, self._about)
        return result

    @cached_property
    def _model(self) -> MultiTaskFasterRCNN:
        """With the checkpoint's weights, or random ones of the settings' seed."""
        with torch.random.fork_rng([]):
            torch.manual_seed(self.settings.seed)
            model = MultiTaskFasterRCNN(self._about.architecture)
        if self._saved:
            load_weights(model, self._saved.state, source=self._saved.source)
        model.to(self.settings.device).eval()
        return model

    def _predictor(self, model: MultiTaskFasterRCNN, about: About) -> Predictor:
        settings = self.settings
        return Predictor(
            model,
            settings.batch_size,
            settings.score_floor,
            settings.max_detections,
            states=bool(about.state_names),
            stage=self.stage,
        )

    def _described(self) -> About:
        """What the checkpoint and the options say of the model."""
        options = self.settings.options
        names = tuple(options.get("names") or ())
        if self._saved is None:
            backbone = options.get("backbone") or USUAL_BACKBONE
            about = About(Architecture.of(len(names or PARTS), backbone), state_names=STATES)
        else:
            about = self._saved.about_or_inferred()
        architecture = about.architecture.with_options(options)
        names = names or about.classes or _names(architecture)
        if len(names) != architecture.class_count:
            raise OptionError(
                f"option names: {len(names)} names for {architecture.class_count} classes",
                fix="give one name a class, or leave names out",
            )
        return replace(about, architecture=architecture, classes=names)


def _names(architecture: Architecture) -> tuple[str, ...]:
    """Of classes that nobody names: DelftBikes' parts where there are as many, else numbers."""
    count = architecture.class_count
    return PARTS if count == len(PARTS) else tuple(f"class {i}" for i in range(count))
