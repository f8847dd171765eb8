"""The ``rtdetr_pose`` adapter: predicts, trains, and shows its live model."""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from dataclasses import replace
from functools import cached_property
from typing import Any

import msgspec
import torch
from torch import Tensor

from anydet.data.dataset.protocols import Dataset
from anydet.data.record.record import Record
from anydet.errors import OptionError
from anydet.plugins.adapter import ClassLogits, TrainResult
from anydet.plugins.options import check_options, load_schema
from anydet.training.adapter import TorchAdapter
from anydet.training.checkpoints.checkpoint import load_weights
from anydet.training.config.config_file import open_config
from anydet.training.config.keys import join_schema
from anydet.training.engine import train
from anydet.training.run import Run
from anydet.types import AdapterSettings, ClassTable, ImagePredictions
from anydet_rtdetr_pose.architecture import Architecture, Heads, read_size
from anydet_rtdetr_pose.build import build_task, chosen_architecture, chosen_stages
from anydet_rtdetr_pose.mim_teacher import Teaching
from anydet_rtdetr_pose.model import PoseDetector
from anydet_rtdetr_pose.predictor import Predictor
from anydet_rtdetr_pose.published import Published, read_published
from anydet_rtdetr_pose.saved import NAME, Saved, read_saved
from anydet_rtdetr_pose.task import PoseTraining, last_logits

_UNNAMED = 80
"""Classes of a model that nobody has told any: as many as COCO has."""
TRAINING_SCHEMA = "anydet_rtdetr_pose:training.schema.json"
_RANDOM = (
    "rtdetr_pose has RANDOM WEIGHTS: no checkpoint was given, and what it finds means nothing; "
    "add --checkpoint RUN (a run's folder or best.pt), or --option weights=ID of a published model"
)


class RTDETRPose(TorchAdapter):
    """RT-DETR that tells depth, rotation and translation of what it finds.

    Args:
        settings: ``checkpoint`` is a run's folder or a checkpoint of one; it says what the model is. Without
            one there are the option ``weights``, or random weights of the model that ``config`` (a packaged
            name or a path) describes. Options are those of ``options.schema.json``.

    Raises:
        TrainingError: weights cannot be read, or are another model's.
        OptionError: the config or an option is wrong.
    """

    def __init__(self, settings: AdapterSettings) -> None:
        super().__init__(settings)
        self._config = read_config(settings.config) if settings.config else {}
        self._saved: Saved | None = read_saved(settings.checkpoint) if settings.checkpoint else None
        weights = None if self._saved else settings.options.get("weights")
        self._published: Published | None = read_published(weights) if weights else None
        self._architecture = self._described()
        self._trained = bool(self._saved or self._published)

    @property
    def classes(self) -> ClassTable:
        """Names from the checkpoint, the published weights or the option ``names``."""
        return ClassTable(self._architecture.classes)

    @property
    def notes(self) -> Mapping[str, Any]:
        """Preprocessing as it is used, for ``meta``, and whether the weights mean anything."""
        inputs = self._architecture.inputs
        return {
            "image_size": list(inputs.size_wh),
            "preprocess": {"resize": inputs.resize, "size_wh": list(inputs.size_wh), "scale": "1/255"},
            "warnings": [] if self._trained else [_RANDOM],
        }

    def predict(self, records: Sequence[Record]) -> Iterator[ImagePredictions]:
        """One result a record, in their order; each detection with its pose where poses were learned."""
        return self._predictor(self._model)(records)

    def get_model(self) -> PoseDetector:
        """The live module that ``predict`` uses."""
        model: PoseDetector = self._model
        return model

    def build_loader(self, records: Sequence[Record], *, batch_size: int) -> Iterator[Tensor]:
        """(B, 3, H, W) inputs as ``predict`` prepares them, on the model's device."""
        predictor = replace(self._predictor(self._model), batch_size=batch_size)
        return map(predictor.stack, predictor.batches(records))

    def class_logits(self, batch: Tensor) -> ClassLogits:
        """Logits of the last decoder layer's queries; sigmoid, no background."""
        return last_logits(self._model(batch), (batch.shape[3], batch.shape[2]))

    def training_task(self, run: Run) -> PoseTraining:
        """The model of ``run.options`` for the classes of ``run.dataset``, with its first weights."""
        task = build_task(run, self._saved, self._predictor)
        self._model, self._architecture, self._trained = task.model, task.model.architecture, True
        return task

    def train(self, dataset: Dataset, run: Run) -> TrainResult:
        """Train by the engine's loop; in the stages that are asked for single heads learn alone."""
        del dataset
        result = train(self.training_task, run, [chosen_stages(run.options), Teaching()])
        self._model.eval()
        return result

    @cached_property
    def _model(self) -> PoseDetector:
        """With the checkpoint's or published weights, or random ones of the settings' seed."""
        with torch.random.fork_rng([]):
            torch.manual_seed(self.settings.seed)
            if self._published is not None:
                model = self._published.start(self._architecture)
            else:
                model = PoseDetector(self._architecture)
        if self._saved is not None:
            load_weights(model, self._saved.state, source=self._saved.source)
        model.to(self.settings.device).eval()
        return model

    def _predictor(self, model: PoseDetector) -> Predictor:
        settings = self.settings
        return Predictor(
            model, settings.batch_size, settings.score_floor, settings.max_detections, stage=self.stage
        )

    def _described(self) -> Architecture:
        """What the checkpoint, the published weights or the config, and the options say of the model."""
        options = self.settings.options
        if self._saved is not None:
            architecture = self._saved.architecture
        else:
            names = tuple(options.get("names") or ())
            classes = self._published.classes if self._published else names or _numbered(_UNNAMED)
            heads = Heads(pose=self._published is None)
            keys = {**self._config, **options}
            architecture = chosen_architecture(keys, classes, heads, source=self.settings.config or "model")
            if self._published is not None:
                architecture = self._published.architecture(architecture)
        return _with_options(architecture, options)


def read_config(config: str) -> dict[str, Any]:
    """Training keys of a config file, which may be a packaged one's name.

    Raises ``OptionError`` where it is not there or a key in it is none.
    """
    schema = load_schema(TRAINING_SCHEMA)
    file = open_config(config, schema)
    return check_options(file.values, join_schema(schema), owner=f"{NAME}: {file.name}")


def _with_options(architecture: Architecture, options: Mapping[str, Any]) -> Architecture:
    """Other names and inputs than those that the weights were learned with."""
    inputs = architecture.inputs
    if "image_size" in options:
        inputs = msgspec.structs.replace(inputs, size_wh=read_size(options["image_size"]))
    if "resize" in options:
        inputs = msgspec.structs.replace(inputs, resize=options["resize"])
    names = tuple(options.get("names") or architecture.classes)
    if len(names) != len(architecture.classes):
        raise OptionError(
            f"option names: {len(names)} names for {len(architecture.classes)} classes",
            fix="give one name a class, or leave names out",
        )
    return msgspec.structs.replace(architecture, inputs=inputs, classes=names)


def _numbered(count: int) -> tuple[str, ...]:
    return tuple(f"class {number}" for number in range(count))
