"""``build_task``: the keys of a training run and its data become a model with first weights."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import replace
from typing import Any

import numpy as np

from anydet.data.dataset.protocols import Dataset
from anydet.errors import DatasetError
from anydet.training.first_weights import Names
from anydet.training.run import Run
from anydet_delftbikes.parts import STATES
from anydet_fasterrcnn_multitask.architecture import USUAL_BACKBONE, Architecture, Norm, scaled_anchors
from anydet_fasterrcnn_multitask.model import MultiTaskFasterRCNN
from anydet_fasterrcnn_multitask.predictor import Predictor
from anydet_fasterrcnn_multitask.pretrained import read_pretrained, take_weights
from anydet_fasterrcnn_multitask.saved import About, Saved, has_heads, norm_of, read_saved
from anydet_fasterrcnn_multitask.state_loss import StateLoss
from anydet_fasterrcnn_multitask.task import MultiTaskTraining

_PRETRAINED_STAGES = 3
"""Stages that learn where the backbone has learned before, as in torchvision's references."""


def build_task(
    run: Run,
    checkpoint: Saved | None,
    predictor: Callable[[MultiTaskFasterRCNN, About], Predictor],
    names: Names | None = None,
) -> MultiTaskTraining:
    """The model to train, its weights those of the checkpoint, of the key ``weights``, or random.

    Args:
        run: its options are the adapter's training keys. A resumed run has the architecture that it began
            with, and its weights come from the engine.
        checkpoint: first weights that go before the key ``weights``, or ``None``.
        predictor: makes the predictor of validations.
        names: of the checkpoint's classes and states; ``None`` for those that it states.

    Raises:
        DatasetError: the data set does not name its classes, or has states that have no name.
        TrainingError: weights cannot be had or do not fit.
    """
    classes = run.classes
    state_names, counts = _states(run.dataset)
    backbone = run.options.get("backbone") or USUAL_BACKBONE
    if run.settings.resume:
        first, architecture = None, read_saved(run.paths.last).about_or_inferred().architecture
    else:
        first = checkpoint or read_pretrained(run.options.get("weights", "none"), backbone)
        changes = {"class_count": len(classes), "state_count": len(counts)}
        architecture = chosen_architecture({**run.options, **changes, "backbone": backbone}, first)
    about = About(architecture, classes.names, state_names)
    model = build_model(architecture, run.options, counts)
    task = MultiTaskTraining(
        model,
        about,
        classes=classes,
        predictor=predictor(model, about),
        state_loss_weight=run.options.get("state_loss_weight", 0.5),
    )
    if first is not None:
        theirs = names if names is not None and first is checkpoint else first.names
        task.first_weights = take_weights(model, first, theirs, Names(classes.names, state_names))
    return task


def build_model(
    architecture: Architecture, options: Mapping[str, Any], state_counts: list[int]
) -> MultiTaskFasterRCNN:
    """A model to train, with random weights.

    The first stages of a backbone with frozen norms stay as they are, unless the options say otherwise:
    such norms come with weights that have learned before.
    """
    layers = options.get("trainable_backbone_layers")
    if layers is None and architecture.norm == "frozen":
        layers = _PRETRAINED_STAGES
    return MultiTaskFasterRCNN(
        architecture,
        state_loss=StateLoss(options.get("state_loss", "cross_entropy"), state_counts),
        rois_per_image=options.get("rois_per_image", 512),
        trainable_layers=layers,
    )


def chosen_architecture(options: Mapping[str, Any], first: Saved | None) -> Architecture:
    """The architecture of the options, on top of that of the first weights.

    Where ``norm`` is "auto", norms are those of the weights: a plain file's batch norms are frozen, because
    batches of a detector are small; from scratch it is group normalization. Anchors shrink with the images
    where nothing has learned other ones.
    """
    given = {key: value for key, value in options.items() if value != "auto"}
    if first is not None and (first.about or has_heads(first.model)):
        base = first.about_or_inferred().architecture
        norm = base.norm if first.about else _norm(first)
        return replace(base, norm=norm).with_options(given)
    base = Architecture.of(given["class_count"], given["backbone"], norm=_norm(first)).with_options(given)
    if given.get("anchor_sizes") is None:
        base = replace(base, anchor_sizes=scaled_anchors(base.min_size))
    return base


def _norm(first: Saved | None) -> Norm:
    return "group" if first is None or norm_of(first.model) == "group" else "frozen"


def _states(dataset: Dataset) -> tuple[tuple[str, ...], list[int]]:
    """Names of states (() where no annotation has one), and how often each state is."""
    truth = dataset.ground_truth()
    names = truth.state_names or STATES
    states = truth.labels.states
    known = np.zeros(0, np.int64) if states is None else states[states >= 0]
    counts = np.bincount(known, minlength=len(names)).tolist()
    if len(counts) > len(names):
        raise DatasetError(
            f"{dataset.root}: state {len(counts) - 1}, but there are {len(names)}: {', '.join(names)}",
            fix="name all states in the annotations file's state_categories",
        )
    return names if len(known) else (), counts
