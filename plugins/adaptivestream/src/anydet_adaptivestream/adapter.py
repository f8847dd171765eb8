"""The ``adaptivestream`` adapter: predicts, trains, and shows its live model."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import replace
from itertools import islice
from typing import Any

import torch
from torch import Tensor

from anydet.data.dataset.image_columns import image_class
from anydet.data.dataset.protocols import Dataset
from anydet.data.scenes.mask_scenes import CLASSES
from anydet.errors import DatasetError, OptionError
from anydet.plugins.adapter import AdapterNotes, ClassLogits
from anydet.plugins.export import ExportSpec, ModelDescription, ModelOutput
from anydet.plugins.options import check_options, load_schema
from anydet.training.adapter import TorchAdapter
from anydet.training.checkpoints.checkpoint import Checkpoint, load_checkpoint
from anydet.training.checkpoints.description import broken_description, read_description
from anydet.training.first_weights import FirstWeights, Names, start_from
from anydet.training.run import Run
from anydet.types import AdapterSettings, ClassTable
from anydet_adaptivestream.export import AnySizeStream
from anydet_adaptivestream.loss import StableLoss
from anydet_adaptivestream.model import AdaptiveStream, Architecture, Description
from anydet_adaptivestream.predictor import Predictor, preprocess
from anydet_adaptivestream.task import AdaptiveStreamTraining, class_logits

NAME = "adaptivestream"
IMAGE_SIZE = 224
_LOOKED_AT = 100


class AdaptiveStreamAdapter(TorchAdapter[AdaptiveStream, Checkpoint]):
    """Joint segmentation and classification.

    Args:
        settings: ``checkpoint`` is a run's folder or a checkpoint of one; without one weights are random.
            Options are those of ``options.schema.json``.

    Raises:
        TrainingError: the checkpoint cannot be read, or is another adapter's.
        OptionError: options contradict the checkpoint, or a configuration is given.
    """

    registered_name = NAME
    _description: Description | None = None
    """Of ``saved``."""
    weights_hint = f"{TorchAdapter.weights_hint}, or train one: anydet train --adapter {NAME}"

    def __init__(self, settings: AdapterSettings) -> None:
        super().__init__(settings)
        schema = load_schema("anydet_adaptivestream:options.schema.json")
        self.options = check_options(settings.options, schema, owner=NAME)
        known = self.saved.classes if self.saved else self.options["names"] or CLASSES.names
        self._classes = ClassTable(self.class_names(known))
        known_size = self._description.image_size if self._description else IMAGE_SIZE
        self._image_size = self.options["image_size"] or known_size

    @property
    def classes(self) -> ClassTable:
        """Of pixels and of images: the checkpoint's, the option ``names``, or those of synthetic scenes."""
        return self._classes

    @property
    def notes(self) -> AdapterNotes:
        """Preprocessing as it is used, for ``meta``, and whether the weights mean anything."""
        architecture = self.model.architecture
        return replace(
            super().notes,
            image_size=(self._image_size, self._image_size),
            preprocess=preprocess(self._image_size),
            details={
                "encoder": architecture.encoder,
                "decoder": architecture.decoder,
                "min_area_px": self.options["min_area_px"],
            },
        )

    def read_saved(self, checkpoint: str) -> Checkpoint:
        """A checkpoint of this adapter."""
        saved = load_checkpoint(checkpoint, adapter=NAME)
        self._description = read_description(
            saved.description, Description, source=saved.source, adapter=NAME
        )
        count, named = self._description.architecture.num_classes, len(saved.classes)
        if count != named:
            raise broken_description(
                f"{count} classes, and names of {named}", source=saved.source, adapter=NAME
            )
        return saved

    def build_model(self) -> AdaptiveStream:
        """The architecture of the options, else the checkpoint's, with random weights."""
        return AdaptiveStream(self._architecture(self.options, len(self._classes)))

    def build_predictor(self, model: AdaptiveStream) -> Predictor:
        """Class, semantic mask and objects."""
        return Predictor(
            model,
            self.settings,
            self.stage,
            classes=self._classes,
            image_size=self._image_size,
            min_area_px=self.options["min_area_px"],
        )

    def class_logits(self, batch: Tensor, like: ClassLogits | None = None) -> ClassLogits:
        """Logits of the image (row 0), then of its pixels, row by row; softmax, no background column."""
        del like
        return class_logits(*self.model(batch))

    def export_spec(self) -> ExportSpec:
        """Inputs (B, 3, H, W); pixel logits (B, C, H, W) and image logits (B, C)."""
        side = self._image_size
        outputs = ModelOutput("pixel_logits", "pixel_logits"), ModelOutput("image_logits", "image_logits")
        sizes = {2: "height", 3: "width"}
        return ExportSpec(
            self.model,
            {"images": torch.zeros(1, 3, side, side, device=next(self.model.parameters()).device)},
            ModelDescription(
                layout="pixels",
                outputs=outputs,
                preprocess=preprocess(side),
                classes=self._classes.names,
                min_area_px=self.options["min_area_px"],
            ),
            {
                "images": {0: "batch", **sizes},
                "pixel_logits": {0: "batch", **sizes},
                "image_logits": {0: "batch"},
            },
            any_size_module=AnySizeStream(self.model).eval(),
        )

    def build_task(self, run: Run) -> AdaptiveStreamTraining:
        """The model of ``run.options`` for the classes of ``run.dataset``, with its first weights.

        Raises:
            DatasetError: the data set names no classes, or nothing in it is labeled as this model learns.
            OptionError: options contradict the checkpoint.
        """
        classes, options = run.classes, run.options
        _check_labels(run.dataset)
        architecture = self._architecture(options, len(classes))
        # pretrained is a matter of this run alone, so no description of a checkpoint keeps it.
        model = AdaptiveStream(replace(architecture, pretrained=bool(options.get("pretrained"))))
        first = None
        if self.saved is not None:
            theirs, ours = Names(self.class_names(self.saved.classes)), Names(classes.names)
            first = start_from(model, self.saved.model, source=self.saved.source, theirs=theirs, ours=ours)
        elif options.get("pretrained"):
            first = _timm_weights(model, classes.names)
        self._classes = classes
        self._image_size = options.get("image_size") or self._image_size
        loss = StableLoss(
            options["segmentation_weight"], options["classification_weight"], options["dice_weight"]
        )
        task = AdaptiveStreamTraining(model, self.build_predictor(model), loss)
        task.first_weights = first
        return task

    def _architecture(self, options: Mapping[str, Any], num_classes: int) -> Architecture:
        """The architecture of the options, else the checkpoint's, else the default, for so many classes."""
        wanted = {key: options[key] for key in ("encoder", "decoder") if options.get(key)}
        if self._description is None:
            return Architecture(num_classes, **wanted)
        known = self._description.architecture
        for key, value in wanted.items():
            if value != getattr(known, key):
                raise OptionError(
                    f"{key} {value!r} conflicts with the checkpoint {self.settings.checkpoint}, which has "
                    f"{getattr(known, key)!r}",
                    fix=f"leave {key} out, or the checkpoint",
                )
        # Its weights replace timm's, which must not be fetched for them.
        return replace(known, num_classes=num_classes, pretrained=False)


def _timm_weights(model: AdaptiveStream, classes: Sequence[str]) -> FirstWeights:
    """What a model began with whose encoder is timm's: it knows no classes."""
    fresh = frozenset(name for name in model.state_dict() if not name.startswith("encoder."))
    return FirstWeights(f"timm's {model.architecture.encoder}", ours=Names(classes), fresh=fresh)


def _check_labels(dataset: Dataset) -> None:
    """Raise ``DatasetError`` where neither pixels nor images have classes."""
    first = list(islice(dataset, _LOOKED_AT))
    # The first images only: reading all labels of a large data set would delay every run.
    if all(record.class_mask is None and image_class(record) < 0 for record in first):
        raise DatasetError(
            f"{dataset.root}: {dataset.note}: none of the first {len(first)} images has a class mask or a "
            "class of its own, so there is nothing to learn",
            fix="give images/ with masks/ (see 'anydet synth --scene segmentation'), or COCO panoptic JSON",
        )
