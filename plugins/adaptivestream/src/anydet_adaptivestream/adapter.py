"""The ``adaptivestream`` adapter: predicts, trains, and shows its live model."""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from dataclasses import replace
from functools import cached_property
from itertools import islice
from typing import Any

import torch
from torch import Tensor

from anydet.data.dataset.image_columns import image_class
from anydet.data.dataset.protocols import Dataset
from anydet.data.record.record import Record
from anydet.data.scenes.mask_scenes import CLASSES
from anydet.errors import DatasetError, OptionError, TrainingError
from anydet.plugins.adapter import ClassLogits, ExportSpec, TrainResult
from anydet.plugins.options import check_options, load_schema
from anydet.training.adapter import TorchAdapter
from anydet.training.checkpoints.checkpoint import Checkpoint, load_checkpoint, load_weights
from anydet.training.run import Run
from anydet.types import AdapterSettings, ClassTable, ImagePredictions
from anydet_adaptivestream.loss import StableLoss
from anydet_adaptivestream.model import AdaptiveStream, Architecture
from anydet_adaptivestream.predictor import MEAN, STD, Predictor
from anydet_adaptivestream.task import AdaptiveStreamTraining

NAME = "adaptivestream"
IMAGE_SIZE = 224
_LOOKED_AT = 100
_RANDOM = (
    "adaptivestream has RANDOM WEIGHTS: no checkpoint was given, and what it says means nothing; "
    "add --checkpoint RUN (a run's folder or best.pt), or train one: anydet train --adapter adaptivestream"
)


class AdaptiveStreamAdapter(TorchAdapter):
    """Joint segmentation and classification.

    Args:
        settings: ``checkpoint`` is a run's folder or a checkpoint of one; without one weights are random.
            Options are those of ``options.schema.json``.

    Raises:
        TrainingError: the checkpoint cannot be read, or is another adapter's.
        OptionError: options contradict the checkpoint, or there are configurations asked for.
    """

    def __init__(self, settings: AdapterSettings) -> None:
        super().__init__(settings)
        if settings.config is not None:
            raise OptionError(
                f"the {NAME} adapter has no configurations (got {settings.config!r})",
                fix="leave --config out; a checkpoint says what model it is",
            )
        schema = load_schema("anydet_adaptivestream:options.schema.json")
        self.options = check_options(settings.options, schema, owner=NAME)
        self._saved = _read(settings.checkpoint) if settings.checkpoint else None
        self._classes = self._named()
        self._image_size = self.options["image_size"] or self._described("image_size") or IMAGE_SIZE
        self._trained = self._saved is not None

    @property
    def classes(self) -> ClassTable:
        """Of pixels and of images: the checkpoint's, the option ``names``, or those of synthetic scenes."""
        return self._classes

    @property
    def notes(self) -> Mapping[str, Any]:
        """Preprocessing as it is used, for ``meta``, and whether the weights mean anything."""
        architecture = self._model.architecture
        return {
            "image_size": [self._image_size, self._image_size],
            "preprocess": {
                **_preprocess(self._image_size),
                "encoder": architecture.encoder,
                "decoder": architecture.decoder,
                "min_area_px": self.options["min_area_px"],
            },
            "warnings": [] if self._trained else [_RANDOM],
        }

    def predict(self, records: Sequence[Record]) -> Iterator[ImagePredictions]:
        """Class, semantic mask and objects of each record, in their order."""
        return self._predictor(self._model)(records)

    def get_model(self) -> AdaptiveStream:
        """The live module that ``predict`` uses."""
        model: AdaptiveStream = self._model
        return model

    def build_loader(self, records: Sequence[Record], *, batch_size: int) -> Iterator[Tensor]:
        """(B, 3, S, S) inputs as ``predict`` prepares them, on the model's device."""
        return self._predictor(self._model).batches(records, batch_size)

    def class_logits(self, batch: Tensor) -> ClassLogits:
        """Logits of the image (row 0), then of its pixels, row by row; softmax, no background column.

        The class called background, where there is one, is a class like the others.
        """
        pixels, image = self._model(batch)
        logits = torch.cat([image[:, None], pixels.flatten(2).transpose(1, 2)], dim=1)
        valid = torch.ones(logits.shape[:2], dtype=torch.bool, device=logits.device)
        return ClassLogits(logits, valid, "softmax")

    def export_spec(self) -> ExportSpec:
        """One square input; pixel logits (B, C, S, S) and image logits (B, C)."""
        side = self._image_size
        device = next(self._model.parameters()).device
        names = ("images", "pixel_logits", "image_logits")
        return ExportSpec(
            example_inputs=(torch.zeros(1, 3, side, side, device=device),),
            input_names=names[:1],
            output_names=names[1:],
            layout="semantic",
            preprocess=_preprocess(side),
            dynamic_axes={name: {0: "batch"} for name in names},
        )

    def training_task(self, run: Run) -> AdaptiveStreamTraining:
        """The model of ``run.options`` for the classes of ``run.dataset``, with its first weights.

        Raises:
            DatasetError: the data set names no classes, or nothing in it is labeled as this model learns.
            OptionError: a checkpoint has other classes.
        """
        classes, options = _trainable(run.dataset), run.options
        if self._saved is not None and self._saved.classes != classes.names:
            raise OptionError(
                f"the checkpoint's classes are {', '.join(self._saved.classes)}, those of "
                f"{run.dataset.root} {', '.join(classes.names)}",
                fix="leave --checkpoint out, or give the data set the same classes in the same order",
            )
        architecture = self._architecture(options, len(classes))
        model = AdaptiveStream(replace(architecture, pretrained=bool(options.get("pretrained"))))
        if self._saved is not None:
            load_weights(model, self._saved.model, source=str(self.settings.checkpoint))
        self._classes, self._trained, self._model = classes, True, model
        self._image_size = options.get("image_size") or self._image_size
        loss = StableLoss(
            options["segmentation_weight"], options["classification_weight"], options["dice_weight"]
        )
        return AdaptiveStreamTraining(model, self._predictor(model), loss)

    def train(self, dataset: Dataset, run: Run) -> TrainResult:
        """Train by the engine's loop; the live model is then ready to predict."""
        result = super().train(dataset, run)
        self._model.eval()
        return result

    @cached_property
    def _model(self) -> AdaptiveStream:
        """With the checkpoint's weights, or random ones of the settings' seed."""
        with torch.random.fork_rng([]):
            torch.manual_seed(self.settings.seed)
            model = AdaptiveStream(self._architecture(self.options, len(self._classes)))
        if self._saved is not None:
            load_weights(model, self._saved.model, source=str(self.settings.checkpoint))
        return model.to(self.settings.device).eval()

    def _architecture(self, options: Mapping[str, Any], num_classes: int) -> Architecture:
        """What options ask for, else the checkpoint's, else the usual one."""
        wanted = {key: options[key] for key in ("encoder", "decoder") if options.get(key)}
        known = self._described("architecture")
        if known is None:
            return Architecture(num_classes, **wanted)
        for key, value in wanted.items():
            if value != known[key]:
                raise OptionError(
                    f"{key} {value!r} was asked for, the checkpoint {self.settings.checkpoint} has "
                    f"{known[key]!r}",
                    fix=f"leave {key} out, or the checkpoint",
                )
        return Architecture(**known)

    def _described(self, key: str) -> Any:
        """What the checkpoint says of its model; ``None`` without one."""
        return self._saved.description[key] if self._saved is not None else None

    def _named(self) -> ClassTable:
        names = tuple(self.options["names"] or ())
        if self._saved is None:
            return ClassTable(names) if names else CLASSES
        if names and len(names) != len(self._saved.classes):
            raise OptionError(
                f"option names: {len(names)} names for {len(self._saved.classes)} classes",
                fix="give one name a class, or leave names out",
            )
        return ClassTable(names or self._saved.classes)

    def _predictor(self, model: AdaptiveStream) -> Predictor:
        return Predictor(
            model,
            self._classes,
            self._image_size,
            self.settings.score_floor,
            self.settings.max_detections,
            self.options["min_area_px"],
            self.stage,
        )


def _read(checkpoint: str) -> Checkpoint:
    saved = load_checkpoint(checkpoint)
    if saved.adapter != NAME:
        raise TrainingError(
            f"{checkpoint}: a checkpoint of {saved.adapter}", fix=f"use --adapter {saved.adapter}"
        )
    return saved


def _trainable(dataset: Dataset) -> ClassTable:
    """The classes of a data set that says classes of pixels or of images."""
    if dataset.classes is None:
        raise DatasetError(
            f"{dataset.root}: names no classes", fix="write classes.txt, one name a line, class 0 first"
        )
    first = list(islice(dataset, _LOOKED_AT))
    if all(record.class_mask is None and image_class(record) < 0 for record in first):
        raise DatasetError(
            f"{dataset.root}: {dataset.note}: none of the first {len(first)} images has a class mask or a "
            "class of its own, so there is nothing to learn",
            fix="give images/ with masks/ (see 'anydet synth --scene segmentation'), or COCO panoptic JSON",
        )
    return dataset.classes


def _preprocess(side: int) -> dict[str, Any]:
    """What is done to an image, for people and for other runtimes."""
    return {"resize": "stretch", "size": [side, side], "color": "RGB", "mean": list(MEAN), "std": list(STD)}
