"""Weights that others have published: RT-DETRv2 checkpoints in the format of ``transformers``."""

from __future__ import annotations

import json
from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any

import msgspec
from transformers.models.rt_detr_v2.configuration_rt_detr_v2 import RTDetrV2Config
from transformers.models.rt_detr_v2.modeling_rt_detr_v2 import RTDetrV2ForObjectDetection

from anydet.errors import TrainingError
from anydet.training.first_weights import FirstWeights
from anydet_rtdetr_pose.architecture import Architecture
from anydet_rtdetr_pose.model import PoseDetector
from anydet_rtdetr_pose.saved import put_weights

_KIND = "rt_detr_v2"
_LABELS = ("id2label", "label2id", "_name_or_path", "architectures", "dtype", "transformers_version")


@dataclass(frozen=True, slots=True, eq=False)
class Published:
    """A detector of somebody else.

    Attributes:
        detector: with its weights and its own classes.
        classes: names of these.
        source: folder or id, for messages.
    """

    detector: RTDetrV2ForObjectDetection
    classes: tuple[str, ...]
    source: str

    def architecture(self, architecture: Architecture) -> Architecture:
        """``architecture`` with this detector in place of its own backbone and transformer."""
        config: dict[str, Any] = json.loads(self.detector.config.to_json_string())
        # Class names and versions belong to the file; they are no part of what is built.
        plain = {key: value for key, value in config.items() if key not in _LABELS}
        return msgspec.structs.replace(architecture, published=plain)

    def start(self, architecture: Architecture) -> tuple[PoseDetector, FirstWeights]:
        """A model whose weights are these; rows of classification layers go to classes of the same name."""
        model = PoseDetector(self.architecture(architecture))
        state = {f"detector.{name}": tensor for name, tensor in self.detector.state_dict().items()}
        return model, put_weights(model, state, self.classes, source=self.source)


def read_published(weights: str) -> Published:
    """A folder that ``save_pretrained`` wrote, or the id of a model on the hub.

    Raises ``TrainingError`` where it cannot be had or is no RT-DETRv2.
    """
    try:
        config, _ = RTDetrV2Config.get_config_dict(weights)
        if config.get("model_type") != _KIND:
            raise TrainingError(
                f"weights {weights}: a model of type {config.get('model_type')!r}, not {_KIND!r}",
                fix="choose an RT-DETRv2, such as PekingU/rtdetr_v2_r18vd",
            )
        detector = RTDetrV2ForObjectDetection.from_pretrained(weights)
    except (OSError, ValueError, RuntimeError) as exc:  # no network, no such model, not its files
        reason = str(exc).strip().split("\n", maxsplit=1)[0]
        raise TrainingError(
            f"weights {weights}: cannot be loaded: {reason}",
            fix="give the id of a model on the hub, or a folder with config.json and model.safetensors; "
            "without network, download it elsewhere and give the folder",
        ) from exc
    return Published(detector, _names(detector.config.id2label or {}), f"weights {weights}")


def _names(labels: Mapping[Any, str]) -> tuple[str, ...]:
    return tuple(labels[index] for index in sorted(labels, key=int))
