"""Weights on disk: runs and checkpoints of anydet, and plain state dictionaries, torchvision's too."""

from __future__ import annotations

from collections import OrderedDict
from collections.abc import Mapping
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any

from torch import Tensor

from anydet.errors import TrainingError
from anydet.training.checkpoints.checkpoint import Checkpoint, save_tensors
from anydet.training.checkpoints.description import broken_description, read_description
from anydet.training.checkpoints.state_file import read_weights, without_wrapper
from anydet.training.first_weights import Names
from anydet.training.lora.spec import LoraState
from anydet_delftbikes.parts import PARTS
from anydet_fasterrcnn_multitask.architecture import Architecture, Backbone, Norm

NAME = "fasterrcnn_multitask"
_KEY = "anydet_fasterrcnn_multitask"
_PREDICTOR = "roi_heads.box_predictor.cls_score.weight"
_STATE_HEAD = "roi_heads.state_head.3.weight"


@dataclass(frozen=True, slots=True)
class About:
    """What a model's tensors don't say.

    Attributes:
        architecture: how it is built.
        classes: names of class ids; () where unknown.
        state_names: names of the states it was trained to predict; () where there are none.
    """

    architecture: Architecture
    classes: tuple[str, ...] = ()
    state_names: tuple[str, ...] = ()

    def description(self) -> dict[str, Any]:
        """Plain data for checkpoints."""
        return {
            "architecture": self.architecture.description(),
            "classes": list(self.classes),
            "state_names": list(self.state_names),
        }

    @classmethod
    def from_description(cls, description: Any, *, source: str) -> About:
        """What ``description`` gave; raises ``TrainingError`` where it is something else."""
        about = read_description(description, cls, source=source, adapter=NAME)
        try:
            architecture = about.architecture.checked()
        except TrainingError as exc:
            raise broken_description(exc.problem, source=source, adapter=NAME) from exc
        classes, states = architecture.class_count, architecture.state_count
        if (about.classes and len(about.classes) != classes) or len(about.state_names) > states:
            problem = f"{classes} classes and {states} states, and names of {len(about.classes)} and "
            raise broken_description(problem + f"{len(about.state_names)}", source=source, adapter=NAME)
        return replace(about, architecture=architecture)


@dataclass(frozen=True, slots=True, eq=False)
class Saved:
    """Weights as they were read.

    Attributes:
        model: state dictionary.
        source: the file, for messages.
        about: what is written with them, or ``None`` in a plain state dictionary of another program.
        classes: names of the classes of such a dictionary; () where unknown.
        lora: LoRA layers, which are merged into ``model``.
    """

    model: Mapping[str, Tensor]
    source: str
    about: About | None = None
    classes: tuple[str, ...] = ()
    lora: LoraState | None = None

    def about_or_inferred(self) -> About:
        """What is written with the weights, else what their names and shapes imply.

        Sizes of images and anchors leave no trace in tensors; they are the backbone's usual ones then.
        """
        return self.about or About(inferred_architecture(self.model, source=self.source))

    @property
    def names(self) -> Names:
        """Classes and states that its rows are of; DelftBikes' parts where nobody names 22 classes."""
        if self.about is not None:
            return Names(self.about.classes, self.about.state_names)
        if self.classes or not has_heads(self.model):
            return Names(self.classes)
        return Names(usual_names(len(self.model[_PREDICTOR]) - 1))


def read_saved(path: Path | str) -> Saved:
    """Weights of a run's folder, a checkpoint of anydet or a plain state dictionary.

    Raises ``TrainingError`` for everything else, and for checkpoints of other adapters.
    """
    file, content = read_weights(path)
    if isinstance(content, Checkpoint):
        return _of_checkpoint(content)
    described = _described(content)
    about = None if described is None else About.from_description(described, source=str(file))
    return Saved(without_wrapper(content), str(file), about)


def save_state(path: Path, state: Mapping[str, Tensor], about: About) -> None:
    """Write a plain state dictionary: names and tensors, nothing else.

    What the tensors don't say is in the dictionary's metadata, where torch keeps versions of modules, so
    that ``read_saved`` needs no further file and everyone else sees tensors alone.
    """
    plain = OrderedDict((key, tensor.detach().cpu()) for key, tensor in state.items())
    plain._metadata = OrderedDict({"": {"version": 1, _KEY: about.description()}})  # type: ignore[attr-defined]
    save_tensors(path, plain)


def inferred_architecture(state: Mapping[str, Tensor], *, source: str) -> Architecture:
    """The architecture that names and shapes imply; raises ``TrainingError`` where they imply none."""
    if _PREDICTOR not in state:
        raise TrainingError(
            f"{source}: not a Faster R-CNN with torchvision's names: {_PREDICTOR} is missing",
            fix="give a run's folder, best.pt, or a state dictionary that this adapter wrote",
        )
    try:
        outputs, size = state[_PREDICTOR].shape
        found = {
            "norm": norm_of(state),
            "pyramid_channels": state["rpn.head.bbox_pred.weight"].shape[1],
            "representation_size": size,
            "state_count": len(state[_STATE_HEAD]) if _STATE_HEAD in state else None,
        }
    except (KeyError, ValueError, IndexError, TypeError) as exc:  # a tensor is missing, or has other axes
        raise TrainingError(
            f"{source}: not a Faster R-CNN with torchvision's names: its tensors have other shapes",
            fix="give a run's folder, best.pt, or a state dictionary that this adapter wrote",
        ) from exc
    return Architecture.of(outputs - 1, _backbone(state), **found)


def usual_names(count: int) -> tuple[str, ...]:
    """Of classes that nobody names: DelftBikes' parts where there are as many, else none."""
    return PARTS if count == len(PARTS) else ()


def has_heads(state: Mapping[str, Tensor]) -> bool:
    """Whether the weights are a detector's, rather than a backbone's alone."""
    return _PREDICTOR in state


def norm_of(state: Mapping[str, Tensor]) -> Norm:
    """How the backbone of these weights normalizes."""
    body = [key for key in state if key.startswith("backbone.body.")]
    if not any(key.endswith("running_mean") for key in body):
        return "group"
    # FrozenBatchNorm2d has running statistics as BatchNorm2d has, but no counter of batches.
    return "batch" if any(key.endswith("num_batches_tracked") for key in body) else "frozen"


def _backbone(state: Mapping[str, Tensor]) -> Backbone:
    # MobileNet's layers have numbers alone; ResNet-18's basic blocks lack a third convolution; the second
    # version of ResNet-50's detector has convolutions in place of the layer fc6.
    if "backbone.body.conv1.weight" not in state:
        return "mobilenet_v3_large_320_fpn"
    if "backbone.body.layer1.0.conv3.weight" not in state:
        return "resnet18_fpn"
    return "resnet50_fpn" if "roi_heads.box_head.fc6.weight" in state else "resnet50_fpn_v2"


def _described(content: Any) -> Any:
    """What ``save_state`` wrote beside the tensors; ``None`` in a file of another program."""
    modules = getattr(content, "_metadata", None)
    own = modules.get("") if isinstance(modules, Mapping) else None
    return own.get(_KEY) if isinstance(own, Mapping) else None


def _of_checkpoint(checkpoint: Checkpoint) -> Saved:
    checkpoint.check_adapter(NAME)
    about = About.from_description(checkpoint.description, source=checkpoint.source)
    return Saved(checkpoint.model, checkpoint.source, about, lora=checkpoint.lora)
