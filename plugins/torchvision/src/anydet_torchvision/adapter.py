"""The ``torchvision`` adapter: predicts, trains, and shows its live model."""

from __future__ import annotations

from dataclasses import replace

from torch import Tensor
from torchvision.models.detection.image_list import ImageList

from anydet.errors import OptionError
from anydet.plugins.adapter import AdapterNotes, ClassLogits
from anydet.plugins.export import ExportSpec
from anydet.training.adapter import TorchAdapter
from anydet.training.detectors.inputs import preprocess_of
from anydet.training.run import Run
from anydet.types import AdapterSettings, ClassTable
from anydet_torchvision.about import NAME, About
from anydet_torchvision.build import build_task
from anydet_torchvision.detectors import build_detector
from anydet_torchvision.export import export_spec
from anydet_torchvision.model import Detector
from anydet_torchvision.predictor import Predictor
from anydet_torchvision.task import DetectionTraining
from anydet_torchvision.weights import NO_WEIGHTS, Saved, read_option, read_saved, usual
from anydet_torchvision.zoo import USUAL_MODEL


class Torchvision(TorchAdapter[Detector, Saved]):
    """A detection model of torchvision.

    Args:
        settings: ``checkpoint`` is a run's folder, a checkpoint of one, or a plain state dictionary; without
            one the option ``weights`` says where they are from, and weights are random where it does not.
            Options are those of ``options.schema.json``.

    Raises:
        TrainingError: weights cannot be had, or are of another model.
        OptionError: a configuration is given, an option names no model or no weights, or names do not fit.
    """

    registered_name = NAME
    weights_hint = "--option weights=DEFAULT (torchvision's), or --checkpoint RUN (a run's folder or a file)"

    def __init__(self, settings: AdapterSettings) -> None:
        super().__init__(settings)
        weights = settings.options.get("weights") or NO_WEIGHTS
        if self.saved is None:
            self.saved = read_option(weights, settings.options.get("model"))
            self.trained = self.saved is not None
        elif weights != NO_WEIGHTS:
            raise OptionError(
                f"both a checkpoint and weights {weights}", fix="leave out --checkpoint, or --option weights"
            )
        self._about = self._described()

    @property
    def classes(self) -> ClassTable:
        """Of the checkpoint, or of the published weights; their own ids are the model's labels."""
        return self._about.classes

    @property
    def notes(self) -> AdapterNotes:
        """Preprocessing as it is used, for ``meta``, and whether the weights mean anything."""
        preprocess = preprocess_of(self.model.transform)
        return replace(
            super().notes,
            image_size=preprocess.size_wh[::-1] if preprocess.resize == "shortest" else preprocess.size_wh,
            nms_iou=self.model.nms_iou,
            preprocess=preprocess,
            details={"model": self._about.model},
            keypoint_names=self._about.keypoint_names,
        )

    def read_saved(self, checkpoint: str) -> Saved:
        """A checkpoint of this adapter, or a plain state dictionary."""
        return read_saved(checkpoint, self.settings.options.get("model"))

    def build_model(self) -> Detector:
        """The architecture with random weights."""
        return build_detector(self._about)

    def build_predictor(self, model: Detector) -> Predictor:
        """Detections, with masks or keypoints where the model gives them."""
        return Predictor(
            model, self.settings, self.stage, detections=self.settings.options.get("detections_per_img")
        )

    def class_logits(self, batch: Tensor, like: ClassLogits | None = None) -> ClassLogits:
        """Logits of the regions that the first stage proposes, or of all anchors of a model of one stage."""
        size = (batch.shape[-2], batch.shape[-1])
        boxes = None if like is None or like.boxes is None else list(like.boxes.detach())
        found = self.model.class_logits(ImageList(batch, [size] * len(batch)), boxes)
        return found if like is None else replace(found, valid=like.valid)

    def export_spec(self) -> ExportSpec:
        """Boxes, scores, classes and keypoints of one image; none below ``settings.score_floor``."""
        most = self.build_predictor(self.model).most
        return export_spec(self.model, score_floor=self.settings.score_floor, most=most)

    def build_task(self, run: Run) -> DetectionTraining:
        """The model of ``run.options`` for the classes of ``run.dataset``, with its first weights."""
        # Not of self, whose classes are those of the data once a task was built.
        saved = None if self.saved is None else replace(self.saved, about=self._described())
        task: DetectionTraining = build_task(run, saved, self.build_predictor)
        self._about = task.model.about
        return task

    def _described(self) -> About:
        """What the weights and the options say of the model."""
        options = self.settings.options
        if self.saved is None:
            about = usual(options.get("model") or USUAL_MODEL)
            if options.get("names"):
                about = replace(about, rows=tuple(options["names"]), gaps=False)
        else:
            about = self.saved.about
            about = about.named(self.class_names(about.classes.names))
        return about.with_options(options)
