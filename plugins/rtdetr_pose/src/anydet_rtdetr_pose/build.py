"""``build_task``: the keys of a training run and its data become a model with first weights."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from typing import Any

import msgspec

from anydet.training.config.resolve import is_given
from anydet.training.first_weights import FirstWeights
from anydet.training.run import Run
from anydet.training.weights import Bounded
from anydet.types import Labels
from anydet_rtdetr_pose.architecture import (
    Architecture,
    Heads,
    Inputs,
    Mim,
    check_queries,
    read_model,
    read_size,
)
from anydet_rtdetr_pose.losses.criterion import WEIGHTS, Criterion
from anydet_rtdetr_pose.matcher import Matcher, PoseCost
from anydet_rtdetr_pose.model import PoseDetector
from anydet_rtdetr_pose.predictor import Predictor
from anydet_rtdetr_pose.published import read_published
from anydet_rtdetr_pose.saved import Saved, read_saved
from anydet_rtdetr_pose.stages import Stages
from anydet_rtdetr_pose.symmetry import Symmetries
from anydet_rtdetr_pose.task import PoseTraining, StagedTraining

_KEPT = ("model", "published")
_CHANGED = {"num_queries": "num_queries", "image_size": "inputs", "resize": "inputs"}
"""Training key -> what it changes of a checkpoint's architecture, where it is given."""


def build_task(
    run: Run,
    checkpoint: Saved | None,
    predictor: Callable[[PoseDetector], Predictor],
    names: Sequence[str] = (),
) -> PoseTraining:
    """The model to train, its weights those of the checkpoint, of the key ``weights``, or random.

    Args:
        run: its options are the adapter's training keys. A resumed run has the architecture that it began
            with, and its weights come from the engine.
        checkpoint: first weights that go before the key ``weights``, or ``None``.
        predictor: makes the predictor of validations.
        names: of the checkpoint's classes; () for those that it states.

    Raises:
        DatasetError: the data set does not name its classes.
        OptionError: keys do not fit each other or the data.
        TrainingError: weights cannot be had or do not fit.
    """
    truth = run.dataset.ground_truth()
    classes, options = run.classes, run.options
    if run.settings.resume:
        began = read_saved(run.paths.last)
        began.require_named_backbone(options.get("model"))
        with Bounded(began.model, source=began.source):
            model, first = PoseDetector(began.architecture), None
    else:
        heads = chosen_heads(options, truth.labels)
        model, first = first_model(chosen_architecture(options, classes.names, heads), run, checkpoint, names)
    symmetries = Symmetries(truth.objects if options.get("symmetry", True) else None, len(classes))
    uncertain = model.architecture.heads.uncertainty
    criterion = Criterion(
        chosen_matcher(options),
        symmetries,
        chosen_weights(options),
        options.get("class_loss", "varifocal"),
        uncertain,
    )
    stages = Stages(model, options.get("stage_off_steps", 0), options.get("stage_k_steps", 0))
    kind = StagedTraining if stages.any else PoseTraining
    task = kind(model, classes, criterion, predictor(model), stages)
    task.first_weights = first
    task.no_lora = _no_lora(model, stages)
    return task


def _no_lora(model: PoseDetector, stages: Stages) -> str:
    """Why LoRA cannot be put into the model, as the rest of a sentence."""
    if model.mim is not None and model.mim.teacher is not None:
        return (
            "cannot have LoRA where enable_mim has a teacher, which averages the weights that LoRA leaves as "
            "they are (--mim-teacher none has no such average)"
        )
    return (
        "cannot train single heads in stages (stage_off_steps, stage_k_steps) with LoRA" if stages.any else ""
    )


def first_model(
    architecture: Architecture, run: Run, checkpoint: Saved | None, names: Sequence[str] = ()
) -> tuple[PoseDetector, FirstWeights | None]:
    """A model with its first weights, and what these are, ``None`` for random ones.

    A checkpoint's architecture goes before the key ``model``; queries and inputs are its own as well, unless
    others are given.
    """
    if checkpoint is not None:
        given = {name for key, name in _CHANGED.items() if is_given(run.origins.get(key, ""))}
        kept = {name for name in (*_KEPT, *_CHANGED.values()) if name not in given}
        checkpoint.require_named_backbone(run.options.get("model"))
        taken = {name: getattr(checkpoint.architecture, name) for name in kept}
        model = PoseDetector(msgspec.structs.replace(architecture, **taken))
        return model, checkpoint.put_into(model, names or None)
    weights = run.options.get("weights")
    return read_published(weights).start(architecture) if weights else (PoseDetector(architecture), None)


def chosen_architecture(
    options: Mapping[str, Any], classes: tuple[str, ...], heads: Heads, *, source: str = "model"
) -> Architecture:
    """What training keys ask for.

    Raises:
        OptionError: a key is wrong, or an input has fewer places than there are queries.
    """
    inputs = Inputs(
        size_wh=read_size(options.get("image_size", 640)), resize=options.get("resize", "stretch")
    )
    queries = options.get("num_queries", 300)
    check_queries(queries, inputs)
    return Architecture(
        classes=classes,
        model=read_model(options.get("model"), source=source),
        heads=heads,
        inputs=inputs,
        num_queries=queries,
        num_denoising=options.get("num_denoising", 100),
        label_noise=options.get("label_noise", 0.5),
        box_noise=options.get("box_noise", 1.0),
        mim=chosen_mim(options),
    )


def chosen_mim(options: Mapping[str, Any]) -> Mim | None:
    """Masked image modeling by the keys ``mim_...``, or ``None`` without ``enable_mim``."""
    if not options.get("enable_mim", False):
        return None
    return Mim(
        mask_prob=options.get("mim_mask_prob", 0.6),
        patch_px=options.get("mim_patch_size", 32),
        teacher=options.get("mim_teacher", "ema"),
        teacher_decay=options.get("mim_teacher_decay", 0.996),
    )


def chosen_heads(options: Mapping[str, Any], labels: Labels) -> Heads:
    """Heads for what keys ask for and annotations have."""
    pose = options.get("pose")
    pose = labels.poses is not None if pose is None else bool(pose)
    points = labels.keypoints if options.get("keypoints", False) else None
    return Heads(
        pose=pose,
        uncertainty=pose and options.get("task_aligner", "none") == "uncertainty",
        camera=pose and options.get("camera", True),
        keypoints=0 if points is None else points.shape[1],
    )


def chosen_matcher(options: Mapping[str, Any]) -> Matcher:
    """Costs by the keys ``cost_class``, ``cost_z``, ``cost_z_start_step`` and the like."""

    def staged(name: str) -> PoseCost:
        return PoseCost(options.get(f"cost_{name}", 0.0), options.get(f"cost_{name}_start_step", 0))

    return Matcher(
        class_cost=options.get("cost_class", 2.0),
        box_cost=options.get("cost_box", 5.0),
        giou_cost=options.get("cost_giou", 2.0),
        z=staged("z"),
        rotation=staged("rot"),
        translation=staged("t"),
    )


def chosen_weights(options: Mapping[str, Any]) -> dict[str, float]:
    """Weights of losses by the keys ``loss_z`` and the like."""
    return {name: options.get(f"loss_{name}", weight) for name, weight in WEIGHTS.items()}
