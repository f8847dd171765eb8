"""torchvision's registry of detection models: names, builders and published weights."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

from torchvision.models import detection, get_model_builder, get_model_weights, list_models

from anydet.errors import OptionError, did_you_mean
from anydet.text import listed

USUAL_MODEL = "fasterrcnn_resnet50_fpn"


def model_names() -> list[str]:
    """All that the installed torchvision has."""
    return list(list_models(module=detection))


def builder_of(model: str) -> Callable[..., Any]:
    """What builds a model; raises ``OptionError`` for a name that is none."""
    _require(model)
    builder: Callable[..., Any] = get_model_builder(model)
    return builder


def weights_of(model: str) -> Any:
    """The enumeration of the weights that are published of a model; raises ``OptionError`` as above."""
    _require(model)
    return get_model_weights(model)


def enumerations() -> list[str]:
    """All published weights by their full names, such as ``SSD300_VGG16_Weights.COCO_V1``."""
    kinds = [weights_of(model) for model in model_names()]
    return [f"{kind.__name__}.{entry}" for kind in kinds for entry in kind.__members__]


def published(weights: str, model: str | None) -> tuple[str, Any] | None:
    """A model's name and its entry of the enumeration; ``None`` where the text names none.

    Args:
        weights: ``DEFAULT`` or ``COCO_V1``, of ``model``; or with the name of the enumeration before it.
        model: name; ``None`` for the usual one, or the enumeration's.

    Raises ``OptionError`` for weights of another model than the one that is named, and for an entry that the
    enumeration does not have.
    """
    kind, _, entry = weights.rpartition(".")
    owners = {weights_of(name).__name__: name for name in model_names()}
    if kind and kind not in owners:
        return None
    name = owners[kind] if kind else model or USUAL_MODEL
    if kind and model is not None and model != name:
        raise OptionError(f"weights {weights} are of {name}, not of {model}", fix=f"use model {name}")
    members = weights_of(name).__members__
    if kind and entry not in members:
        raise OptionError(
            f"{kind} has no {entry!r:.100}{did_you_mean(entry, list(members))}",
            fix=f"choose one of {', '.join(f'{kind}.{member}' for member in members)}",
        )
    return (name, members[entry]) if entry in members else None


def _require(model: str) -> None:
    names = model_names()
    if model not in names:
        raise OptionError(
            f"torchvision has no detection model {model!r:.100}{did_you_mean(model, names)}",
            fix=f"choose one of {listed(names, len(names), quotes=False)}",
        )
