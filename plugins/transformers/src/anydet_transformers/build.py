"""``build_task``: the keys of a training run and its data become a model with first weights."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

from anydet.errors import DatasetError, OptionError, TrainingError
from anydet.training.first_weights import Names, start_from
from anydet.training.run import Run
from anydet.training.weights import Bounded
from anydet_transformers.about import About
from anydet_transformers.catalog import UNTRAINED
from anydet_transformers.model import LibraryModel
from anydet_transformers.predictor import Predictor
from anydet_transformers.saved import Saved, read_saved
from anydet_transformers.task import LibraryTraining
from anydet_transformers.untrained import describe

_OPTIONAL = ("detector.criterion.", "detector.model.denoising_class_embed.")
"""What is no part of the model, or not every model has."""


def build_task(
    run: Run,
    checkpoint: Saved | None,
    predictor: Callable[[LibraryModel], Predictor],
    names: tuple[str, ...] = (),
) -> LibraryTraining:
    """The model to train, its weights those of the checkpoint, or random.

    Args:
        run: its options are the adapter's training keys. A resumed run has the model that it began with, and
            its weights come from the engine.
        checkpoint: first weights, or ``None``.
        predictor: makes the predictor of validations.
        names: of the checkpoint's classes; () for those that it states.

    Raises:
        DatasetError: the data set does not name its classes, or has no masks to learn.
        OptionError: there is no model to train.
        TrainingError: the model cannot be trained, or weights do not fit.
    """
    classes = run.classes
    if run.settings.resume:
        began = read_saved(str(run.paths.last))
        with Bounded(began.model, source=began.source):
            model = LibraryModel(began.about)
    else:
        model = LibraryModel(_chosen(run.options, checkpoint).with_classes(classes.names))
    _require_trainable(model, run)
    task = LibraryTraining(model, classes, predictor(model))
    if checkpoint is not None and not run.settings.resume:
        theirs = Names(names or checkpoint.about.classes)
        task.first_weights = start_from(
            model,
            checkpoint.model,
            source=checkpoint.source,
            theirs=theirs,
            ours=Names(classes.names),
            optional=_OPTIONAL,
        )
    return task


def _chosen(options: Any, checkpoint: Saved | None) -> About:
    """The checkpoint's model, else that of the key ``model``."""
    if checkpoint is not None:
        about = checkpoint.about
    elif options.get("model"):
        about = describe(options["model"])
    else:
        raise OptionError(
            "no model to train",
            fix="give weights to start from (--checkpoint FOLDER, or OWNER/MODEL of the hub), or a type of "
            "model to train from scratch (--model rt_detr)",
        )
    return about.with_image_size(options.get("image_size"))


def _require_trainable(model: LibraryModel, run: Run) -> None:
    why = UNTRAINED.get(model.about.config["model_type"])
    if why is not None:
        raise TrainingError(
            f"a {type(model.detector).__name__} {why}",
            fix="train a detector that has one, such as an RT-DETR",
        )
    if model.kind == "prompts":
        raise TrainingError(
            f"a {type(model.detector).__name__} finds what texts describe; it is not trained here",
            fix="train a detector with classes of its own, such as an RT-DETR",
        )
    if model.kind == "segment" and run.dataset.ground_truth().labels.segmentations is None:
        raise DatasetError(
            f"{run.dataset.root}: has no masks, from which a {type(model.detector).__name__} learns",
            fix="give a data set with segmentations, or train a detector of boxes",
        )
