"""The ``rtdetr_pose`` adapter: predicts, trains, and shows its live model."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import replace
from typing import Any

import msgspec
import torch
from torch import Tensor

from anydet.plugins.adapter import AdapterNotes, ClassLogits, Masking
from anydet.plugins.export import ExportSpec
from anydet.plugins.options import check_options, load_schema
from anydet.training.adapter import TorchAdapter
from anydet.training.config.config_file import open_config
from anydet.training.config.keys import join_schema
from anydet.training.run import Run
from anydet.types import AdapterSettings, ClassTable
from anydet_rtdetr_pose.architecture import Architecture, Heads, Inputs, read_size
from anydet_rtdetr_pose.build import build_task, chosen_architecture
from anydet_rtdetr_pose.export import export_spec
from anydet_rtdetr_pose.inputs import preprocess
from anydet_rtdetr_pose.model import PoseDetector
from anydet_rtdetr_pose.predictor import Predictor
from anydet_rtdetr_pose.published import Published, read_published
from anydet_rtdetr_pose.saved import NAME, Saved, read_saved
from anydet_rtdetr_pose.task import PoseTraining, last_logits

_UNNAMED = 80
"""Classes of a model that is given no names: as many as COCO has."""
TRAINING_SCHEMA = "anydet_rtdetr_pose:training.schema.json"


class RTDETRPose(TorchAdapter[PoseDetector, Saved]):
    """RT-DETR that also predicts depth, rotation and translation of each object.

    Args:
        settings: ``checkpoint`` is a run's folder or a checkpoint of one; it describes the model. Without
            one there are the option ``weights``, or random weights of the model that ``config`` (a packaged
            name or a path) describes. Options are those of ``options.schema.json``.

    Raises:
        TrainingError: weights cannot be read, or are another model's.
        OptionError: the config or an option is wrong.
    """

    registered_name = NAME
    has_configs = True
    weights_hint = f"{TorchAdapter.weights_hint}, or --option weights=ID of a published model"

    def __init__(self, settings: AdapterSettings) -> None:
        super().__init__(settings)
        self._config = read_config(settings.config) if settings.config else {}
        weights = None if self.saved else settings.options.get("weights")
        self._published: Published | None = read_published(weights) if weights else None
        self._architecture = self._described()
        self.trained = bool(self.saved or self._published)

    @property
    def classes(self) -> ClassTable:
        """Names from the checkpoint, the published weights or the option ``names``."""
        return ClassTable(self._architecture.classes)

    @property
    def notes(self) -> AdapterNotes:
        """Preprocessing as it is used, for ``meta``, and whether the weights mean anything."""
        inputs = self._architecture.inputs
        return replace(
            super().notes,
            image_size=inputs.size_wh,
            preprocess=preprocess(inputs),
        )

    def read_saved(self, checkpoint: str) -> Saved:
        """A checkpoint of this adapter."""
        return read_saved(checkpoint)

    def build_model(self) -> PoseDetector:
        """The architecture with published weights, or random ones."""
        if self._published is not None:
            return self._published.start(self._architecture)[0]
        if self.saved is not None:
            self.saved.require_named_backbone(self._config.get("model"))
        return PoseDetector(self._architecture)

    def build_predictor(self, model: PoseDetector) -> Predictor:
        """Detections, each with its pose where poses were learned."""
        return Predictor(model, self.settings, self.stage)

    def build_task(self, run: Run) -> PoseTraining:
        """The model of ``run.options`` for the classes of ``run.dataset``, with its first weights."""
        names = self.class_names(self.saved.architecture.classes) if self.saved else ()
        task = build_task(run, self.saved, self.build_predictor, names)
        self._architecture = task.model.architecture
        return task

    def class_logits(self, batch: Tensor, like: ClassLogits | None = None) -> ClassLogits:
        """Logits of the last decoder layer's queries; sigmoid, no background."""
        queries = None if like is None else like.queries
        return last_logits(self.model(batch, queries=queries), (batch.shape[3], batch.shape[2]), queries)

    def self_supervised_loss(
        self, batch: Tensor, generator: torch.Generator, masking: Masking | None = None
    ) -> Tensor:
        """Masked image modeling by the branch that ``--enable-mim`` trains.

        A model without the branch has the loss of any torch model, ``masked_feature_loss``.
        """
        if self.model.mim is None:
            return super().self_supervised_loss(batch, generator, masking)
        return self.model.mim_loss(batch, generator=generator, masking=masking or Masking())

    def export_spec(self) -> ExportSpec:
        """Class logits, boxes and all heads of the last decoder layer's queries."""
        return export_spec(self.model)

    def _described(self) -> Architecture:
        """What the checkpoint, the published weights or the config, and the options say of the model."""
        options = self.settings.options
        if self.saved is not None:
            architecture = self.saved.architecture
        else:
            names = tuple(options.get("names") or ())
            classes = self._published.classes if self._published else names or _numbered(_UNNAMED)
            heads = Heads(pose=self._published is None)
            keys = {**self._config, **options}
            architecture = chosen_architecture(keys, classes, heads, source=self.settings.config or "model")
            if self._published is not None:
                architecture = self._published.architecture(architecture)
        return msgspec.structs.replace(
            architecture,
            inputs=_with_options(architecture.inputs, options),
            classes=self.class_names(architecture.classes),
        )


def read_config(config: str) -> dict[str, Any]:
    """Training keys of a config file, which may be a packaged one's name.

    Raises ``OptionError`` where it is not there or a key in it is none.
    """
    schema = load_schema(TRAINING_SCHEMA)
    file = open_config(config, schema)
    return check_options(file.values, join_schema(schema), owner=f"{NAME}: {file.name}")


def _with_options(inputs: Inputs, options: Mapping[str, Any]) -> Inputs:
    """Other inputs than those that the weights were learned with."""
    if "image_size" in options:
        inputs = msgspec.structs.replace(inputs, size_wh=read_size(options["image_size"]))
    if "resize" in options:
        inputs = msgspec.structs.replace(inputs, resize=options["resize"])
    return inputs


def _numbered(count: int) -> tuple[str, ...]:
    return tuple(f"class {number}" for number in range(count))
