"""Weights on disk: runs and checkpoints of this adapter."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from torch import Tensor

from anydet.errors import TrainingError
from anydet.training.checkpoints.checkpoint import load_checkpoint
from anydet.training.first_weights import FirstWeights, Names, start_from
from anydet.training.lora.spec import LoraState
from anydet_rtdetr_pose.architecture import Architecture, read_architecture
from anydet_rtdetr_pose.backbones import is_imported
from anydet_rtdetr_pose.model import PoseDetector

NAME = "rtdetr_pose"
_OTHERS = ("heads.", "camera_head.", "mim.", "detector.model.denoising_class_embed.")
"""What not every model has, or not for the same labels."""


@dataclass(frozen=True, slots=True, eq=False)
class Saved:
    """A checkpoint as it was read.

    Attributes:
        model: state dictionary.
        architecture: of the model that was saved.
        source: the file, for messages.
        lora: its LoRA layers, which are merged into ``model``.
    """

    model: Mapping[str, Tensor]
    architecture: Architecture
    source: str
    lora: LoraState | None = None

    def require_named_backbone(self, model: Any) -> None:
        """Raise ``TrainingError`` where building the model would run code that only the file names.

        Args:
            model: the key ``model`` of a config, whose backbone the user trusts.
        """
        name = self.architecture.model.backbone.name
        named = model.get("backbone") if isinstance(model, Mapping) else None
        if is_imported(name) and not (isinstance(named, Mapping) and named.get("name") == name):
            raise TrainingError(
                f"{self.source}: its backbone is the function {name!r:.80}; no file alone may have code run",
                fix="if you trust it, give a config file with this model.backbone.name (--config FILE)",
            )

    def put_into(self, model: PoseDetector, classes: Sequence[str] | None = None) -> FirstWeights:
        """``put_weights``: these; ``classes`` are their names where not those of the file."""
        names = self.architecture.classes if classes is None else classes
        return put_weights(model, self.model, names, source=self.source)


def put_weights(
    model: PoseDetector, state: Mapping[str, Tensor], classes: Sequence[str], *, source: str
) -> FirstWeights:
    """Give a model the weights of another one: rows by the names of classes, and the heads that both have.

    So is masked image modeling; its teacher begins as the model where none was saved.

    Args:
        model: as it was built.
        state: state dictionary of the other one.
        classes: names of its classes.
        source: where it is from, for messages.

    Raises ``TrainingError`` where the rest does not fit.
    """
    theirs, ours = Names(classes), Names(model.architecture.classes)
    first = start_from(model, state, source=source, theirs=theirs, ours=ours, optional=_OTHERS)
    # It is still the random model that it was copied from.
    if not any(key.startswith("mim.teacher.") for key in state):
        model.update_teacher(decay=0.0)  # it begins as what was read
    return first


def read_saved(path: Path | str) -> Saved:
    """A run's folder or a checkpoint; raises ``TrainingError`` where it is not one of this adapter."""
    checkpoint = load_checkpoint(path, adapter=NAME)
    architecture = read_architecture(checkpoint.description, source=checkpoint.source)
    return Saved(checkpoint.model, architecture, checkpoint.source, checkpoint.lora)
