"""The ``fasterrcnn_multitask`` adapter: predicts, trains, and shows its live model."""

from __future__ import annotations

from dataclasses import replace
from pathlib import Path

from torch import Tensor
from torchvision.models.detection.image_list import ImageList

from anydet.plugins.adapter import AdapterNotes, ClassLogits, TrainResult
from anydet.plugins.export import ExportSpec
from anydet.training.adapter import TorchAdapter
from anydet.training.devices.torchrun import is_main_process
from anydet.training.first_weights import Names
from anydet.training.run import Run
from anydet.types import AdapterSettings, ClassTable
from anydet_delftbikes.parts import PARTS, STATES
from anydet_fasterrcnn_multitask.architecture import USUAL_BACKBONE, Architecture
from anydet_fasterrcnn_multitask.build import build_task
from anydet_fasterrcnn_multitask.environment import read_variables
from anydet_fasterrcnn_multitask.export import export_spec
from anydet_fasterrcnn_multitask.model import MultiTaskFasterRCNN
from anydet_fasterrcnn_multitask.predictor import Predictor, preprocess
from anydet_fasterrcnn_multitask.saved import NAME, About, Saved, read_saved, save_state, usual_names
from anydet_fasterrcnn_multitask.task import MultiTaskTraining

BEST = "fasterrcnn_multitask_best.pth"
"""The plain state dictionary that a training run leaves."""


class FasterRCNNMultiTask(TorchAdapter[MultiTaskFasterRCNN, Saved]):
    """Faster R-CNN that also predicts the state of each object.

    Args:
        settings: ``checkpoint`` is a run's folder, a checkpoint of one, or a plain state dictionary; without
            one weights are random. Options are those of ``options.schema.json``.

    Raises:
        TrainingError: the checkpoint cannot be read, or is another model's.
        OptionError: a configuration is given, or too few class names.
    """

    registered_name = NAME
    weights_hint = "--checkpoint RUN (a run's folder, best.pt or a .pth file)"

    def __init__(self, settings: AdapterSettings) -> None:
        super().__init__(settings)
        self._about = self._described()

    @property
    def classes(self) -> ClassTable:
        """Names from the checkpoint or the option ``names``; DelftBikes' parts where there are 22."""
        return ClassTable(self._about.classes)

    @property
    def notes(self) -> AdapterNotes:
        """Preprocessing and NMS as they are used, for ``meta``, and whether the weights mean anything."""
        architecture = self._about.architecture
        return replace(
            super().notes,
            image_size=(architecture.min_size, architecture.max_size),
            nms_iou=architecture.nms_iou,
            preprocess=preprocess(architecture),
            details={"backbone": architecture.backbone, "norm": architecture.norm},
            states=self._about.state_names,
        )

    def read_saved(self, checkpoint: str) -> Saved:
        """A checkpoint of this adapter, or a plain state dictionary."""
        return read_saved(checkpoint)

    def build_model(self) -> MultiTaskFasterRCNN:
        """The architecture with random weights."""
        return MultiTaskFasterRCNN(self._about.architecture)

    def build_predictor(self, model: MultiTaskFasterRCNN) -> Predictor:
        """Detections, each with its state where states were learned."""
        return self._predictor(model, self._about)

    def class_logits(self, batch: Tensor, like: ClassLogits | None = None) -> ClassLogits:
        """Logits of the regions that the first stage proposes; softmax, the background is 0.

        ``boxes`` are the proposals in pixels of the input, padding included.
        """
        size = (batch.shape[-2], batch.shape[-1])
        boxes = None if like is None else list(like.boxes.detach())
        found = self.model.regions(ImageList(batch, [size] * len(batch)), boxes).class_logits()
        return found if like is None else replace(found, valid=like.valid)

    def export_spec(self) -> ExportSpec:
        """Boxes, scores, classes and states of one image; none below ``settings.score_floor``."""
        settings = self.settings
        return export_spec(
            self.model,
            self._about,
            score_floor=settings.score_floor,
            most=settings.max_detections,
            rows=settings.options.get("export_rows") or "found",
        )

    def build_task(self, run: Run) -> MultiTaskTraining:
        """The model of ``run.options`` for the classes of ``run.dataset``, with its first weights."""
        # Not of self, whose names are those of the data once a task was built.
        about = self._described()
        task = build_task(run, self.saved, self._predictor, Names(about.classes, about.state_names))
        self._about = task.about
        return task

    def train(self, run: Run) -> TrainResult:
        """Train by the engine's loop.

        Also writes ``fasterrcnn_multitask_best.pth``, a plain state dictionary, into ``output_dir``, the
        folder that the environment or ``.env`` calls OUTPUT_DIR, or the run's.
        """
        folder = run.options.get("output_dir") or read_variables().get("OUTPUT_DIR") or run.paths.root
        result = super().train(run)
        # All processes have the same weights; several writers of one file would race.
        if is_main_process():
            save_state(Path(folder) / BEST, read_saved(result.checkpoint).model, self._about)
        return result

    def _predictor(self, model: MultiTaskFasterRCNN, about: About) -> Predictor:
        return Predictor(model, self.settings, self.stage, states=bool(about.state_names))

    def _described(self) -> About:
        """What the checkpoint and the options say of the model."""
        options = self.settings.options
        names = tuple(options.get("names") or ())
        if self.saved is None:
            backbone = options.get("backbone") or USUAL_BACKBONE
            about = About(Architecture.of(len(names or PARTS), backbone), state_names=STATES)
        else:
            about = self.saved.about_or_inferred()
        architecture = about.architecture.with_options(options)
        classes = self.class_names(about.classes or _names(architecture))
        return replace(about, architecture=architecture, classes=classes)


def _names(architecture: Architecture) -> tuple[str, ...]:
    """Of classes that nobody names: the usual ones, else numbers."""
    count = architecture.class_count
    return usual_names(count) or tuple(f"class {i}" for i in range(count))
