"""Weights on disk: runs and checkpoints of this adapter."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from torch import Tensor

from anydet.errors import TrainingError
from anydet.training.checkpoints.checkpoint import load_checkpoint
from anydet.training.weights import load_weights
from anydet_rtdetr_pose.architecture import Architecture, read_architecture
from anydet_rtdetr_pose.backbones import is_imported
from anydet_rtdetr_pose.class_transfer import take_rows
from anydet_rtdetr_pose.model import PoseDetector

NAME = "rtdetr_pose"
_HEADS = ("heads.", "camera_head.", "mim.")


@dataclass(frozen=True, slots=True, eq=False)
class Saved:
    """A checkpoint as it was read.

    Attributes:
        model: state dictionary.
        architecture: of the model that was saved.
        source: the file, for messages.
    """

    model: Mapping[str, Tensor]
    architecture: Architecture
    source: str

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

    def put_into(self, model: PoseDetector) -> None:
        """Give a model the weights, its classes those of the same name, its heads those that there are.

        So is masked image modeling; its teacher begins as the model where none was saved.

        Raises ``TrainingError`` where the rest does not fit.
        """
        own = model.state_dict()
        state = take_rows(self.model, own, self.architecture.classes, model.architecture.classes)
        kept = {key: tensor for key, tensor in state.items() if not _other_head(key, tensor, own)}
        kept |= {key: own[key] for key in own if key.startswith(_HEADS) and key not in kept}
        load_weights(model, kept, source=self.source)
        # load_weights would leave it as the random model that it was copied from.
        if not any(key.startswith("mim.teacher.") for key in self.model):
            model.update_teacher(decay=0.0)  # it begins as what was read


def read_saved(path: Path | str) -> Saved:
    """A run's folder or a checkpoint; raises ``TrainingError`` where it is not one of this adapter."""
    checkpoint = load_checkpoint(path, adapter=NAME)
    architecture = read_architecture(checkpoint.description, source=checkpoint.source)
    return Saved(checkpoint.model, architecture, checkpoint.source)


def _other_head(key: str, tensor: Tensor, own: Mapping[str, Tensor]) -> bool:
    """A head that the model has not, or has with another number of outputs."""
    return key.startswith(_HEADS) and (key not in own or own[key].shape != tensor.shape)
