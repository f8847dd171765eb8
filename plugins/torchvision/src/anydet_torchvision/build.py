"""``build_task``: the keys of a training run and its data become a model with first weights."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import replace
from typing import Any

from anydet.data.dataset.protocols import Dataset
from anydet.errors import DatasetError, OptionError
from anydet.training.first_weights import Names, start_from
from anydet.training.run import Run
from anydet_torchvision.about import About
from anydet_torchvision.detectors import build_detector
from anydet_torchvision.model import Detector
from anydet_torchvision.net import is_keypoint_model
from anydet_torchvision.predictor import Predictor
from anydet_torchvision.task import DetectionTraining
from anydet_torchvision.two_stages import TwoStages
from anydet_torchvision.weights import Saved, read_option, read_saved, usual, with_keypoints
from anydet_torchvision.zoo import USUAL_MODEL

_KEYPOINTS = ("net.roi_heads.keypoint_predictor.",)
"""What depends on the number of keypoints."""


def build_task(run: Run, checkpoint: Saved | None, predictor: Callable[[Detector], Predictor]) -> Any:
    """The model to train, its weights those of the checkpoint, of the key ``weights``, or random.

    Args:
        run: its options are the adapter's training keys. A resumed run has the model that it began with, and
            its weights come from the engine.
        checkpoint: first weights that go before the key ``weights``, or ``None``.
        predictor: makes the predictor of validations.

    Raises:
        DatasetError: the data set does not name its classes, or lacks masks or keypoints to learn.
        OptionError: a key names no model or no weights.
        TrainingError: weights cannot be had or do not fit.
    """
    classes, options = run.classes, run.options
    model, layers = options.get("model"), options.get("trainable_backbone_layers")
    _check_keys(checkpoint, model, layers)
    first = None
    if run.settings.resume:
        about = read_saved(str(run.paths.last)).about
    else:
        first = checkpoint or read_option(options["weights"], model, layers)
        about = (usual(model or USUAL_MODEL) if first is None else first.about).with_options(options)
        about = replace(about, rows=classes.names, gaps=False)
        if about.keypoint_names:
            about = with_keypoints(about, _keypoint_count(run.dataset, about))
    detector = build_detector(about)
    if isinstance(detector, TwoStages):
        detector.net.roi_heads.fg_bg_sampler.batch_size_per_image = options.get("rois_per_image", 512)
    kinds = _label_kinds(detector)
    _require_masks(run.dataset, about, kinds)
    task = DetectionTraining(detector, classes, predictor(detector), kinds)
    if first is not None:
        task.first_weights = start_from(
            detector,
            first.model,
            source=first.source,
            theirs=first.names,
            ours=Names(classes.names),
            optional=_KEYPOINTS,
        )
        for name, parameter in detector.named_parameters():
            parameter.requires_grad_(name not in first.fixed)
    return task


def _check_keys(checkpoint: Saved | None, model: str | None, layers: int | None) -> None:
    """Raise ``OptionError`` where keys contradict the checkpoint."""
    if checkpoint is None:
        return
    if model not in {None, checkpoint.about.model}:
        raise OptionError(
            f"model {model}: the checkpoint {checkpoint.source} is of {checkpoint.about.model}",
            fix="leave the model out, or the checkpoint",
        )
    if layers is not None:
        raise OptionError(
            "trainable_backbone_layers is for weights that torchvision publishes", fix="leave it out"
        )


def _label_kinds(detector: Detector) -> frozenset[str]:
    if not isinstance(detector, TwoStages):
        return frozenset()
    kinds = {"masks": detector.net.roi_heads.has_mask(), "keypoints": is_keypoint_model(detector.net)}
    return frozenset(kind for kind, there in kinds.items() if there)


def _keypoint_count(dataset: Dataset, about: About) -> int:
    points = dataset.ground_truth().labels.keypoints
    if points is None:
        raise _lacking(dataset, about, "no keypoints")
    return int(points.shape[1])


def _require_masks(dataset: Dataset, about: About, kinds: frozenset[str]) -> None:
    """Raise ``DatasetError`` where objects have no masks: the model would learn that they are empty."""
    if "masks" not in kinds:
        return
    labels = dataset.ground_truth().labels
    if labels.segmentations is None:
        raise _lacking(dataset, about, "no masks")
    bare = sum(
        one is None and not crowd for one, crowd in zip(labels.segmentations, labels.iscrowd, strict=True)
    )
    if bare:
        raise _lacking(dataset, about, f"{bare} of {len(labels)} objects without a mask")


def _lacking(dataset: Dataset, about: About, what: str) -> DatasetError:
    return DatasetError(
        f"{dataset.root}: {what}, which {about.model} learns",
        fix="give them for all objects, or train a model of boxes alone, such as fasterrcnn_resnet50_fpn",
    )
