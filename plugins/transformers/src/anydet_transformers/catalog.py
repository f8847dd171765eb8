"""Which models of the library this adapter runs, and how, by the library's own tables of architectures."""

from __future__ import annotations

from typing import Any, Literal, TypeAlias

from transformers import PreTrainedConfig
from transformers.models.auto.modeling_auto import (
    MODEL_FOR_INSTANCE_SEGMENTATION_MAPPING,
    MODEL_FOR_OBJECT_DETECTION_MAPPING,
    MODEL_FOR_UNIVERSAL_SEGMENTATION_MAPPING,
    MODEL_FOR_ZERO_SHOT_OBJECT_DETECTION_MAPPING,
)

from anydet.errors import TrainingError

Kind: TypeAlias = Literal["detect", "segment", "prompts"]
"""Boxes of trained classes, masks of trained classes, or boxes of what texts describe."""

_TABLES: tuple[tuple[Kind, Any], ...] = (
    ("detect", MODEL_FOR_OBJECT_DETECTION_MAPPING),
    ("prompts", MODEL_FOR_ZERO_SHOT_OBJECT_DETECTION_MAPPING),
    ("segment", MODEL_FOR_UNIVERSAL_SEGMENTATION_MAPPING),
    ("segment", MODEL_FOR_INSTANCE_SEGMENTATION_MAPPING),
)
_NO_LOSS = "has no loss in the library"
UNTRAINED = dict.fromkeys(("pp_doclayout_v2", "pp_doclayout_v3", "pp_doclayout_v4"), _NO_LOSS)
"""Type of a model that predicts here and cannot be trained -> why, as a predicate."""
_OCR = "finds lines of text as outlines in a map of probabilities, and knows no classes"
LEFT_OUT = {
    "pp_ocrv5_mobile_det": _OCR,
    "pp_ocrv5_server_det": _OCR,
    "pp_ocrv6_medium_det": _OCR,
    "pp_ocrv6_small_det": _OCR,
    "oneformer": "takes the name of a task as text beside each image",
    "videomt": "segments videos, not images",
}
"""Type of a model that the library's tables have and this adapter does not run -> why, as a predicate."""


def model_types() -> dict[str, Kind]:
    """Type of each model that this adapter runs -> how; one that detects and segments is said to detect."""
    kinds: dict[str, Kind] = {}
    for kind, table in _TABLES:
        for config_class in table:
            if config_class.model_type not in LEFT_OUT:
                kinds.setdefault(config_class.model_type, kind)
    return kinds


def model_class(config: PreTrainedConfig, *, source: str) -> tuple[Kind, Any]:
    """How a model is run, and the library's class for it.

    A configuration that several classes take (DETR detects and segments) is of the one that its
    ``architectures`` name; of the detector where it names none.

    Raises ``TrainingError`` where the library has no detector of this type, or this adapter does not run it.
    """
    if config.model_type in LEFT_OUT:
        raise TrainingError(
            f"{source}: a model of type {config.model_type!r:.80}, which {LEFT_OUT[config.model_type]}",
            fix=_KNOWN,
        )
    found = [(kind, table[type(config)]) for kind, table in _TABLES if type(config) in table]
    if not found:
        raise TrainingError(
            f"{source}: a model of type {config.model_type!r:.80}, which is no detector of transformers",
            fix=_KNOWN,
        )
    named = [pair for pair in found if pair[1].__name__ in (config.architectures or ())]
    return (named or found)[0]


_KNOWN = "the types that work are in the package's README"
