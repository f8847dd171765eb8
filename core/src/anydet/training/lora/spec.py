"""What a checkpoint says of its LoRA layers, and the plain weights that predict as they do. Needs no peft.

A weight W (outputs, inputs) with LoRA is used as W + alpha / r * B A, with A (r, inputs) and B (outputs, r)
alone being trained. Source: Hu et al. 2021, "LoRA: Low-Rank Adaptation of Large Language Models", section 4.

In files the tensors of a model have the names that they have without LoRA, and those of a weight ``x.weight``
are ``x.weight.lora_A`` and ``x.weight.lora_B``.
"""

from __future__ import annotations

import re
from collections.abc import Iterable, Mapping
from dataclasses import asdict, dataclass, field
from typing import Annotated, Any, Literal

import msgspec
import torch
from msgspec import Meta
from torch import Tensor

from anydet.errors import TrainingError

ADAPTER = "adapter"
"""Name of the layers in a live model. Filters of test-time training know it: ``adapter_only``."""
A, B = ".lora_A", ".lora_B"
"""Ends of names of tensors in files."""

_LIVE = (
    (re.compile(rf"(.*)\.lora_([AB])\.{ADAPTER}\.weight"), r"\1.weight.lora_\2"),
    (re.compile(r"(.*)\.base_layer\.(\w+)"), r"\1.\2"),
    (re.compile(r"(.*)\.parametrizations\.(\w+)\.original"), r"\1.\2"),
    (re.compile(rf"(.*)\.parametrizations\.(\w+)\.0\.lora_([AB])\.{ADAPTER}"), r"\1.\2.lora_\3"),
)
"""Names in a live model, by peft and by torch's parametrizations -> names in files."""


@dataclass(frozen=True, slots=True)
class Base:
    """The weights that LoRA layers were trained on.

    Attributes:
        path: checkpoint; relative ones are beside the file that says so.
        digest: of its state dictionary, as ``plain_data.digest``.
    """

    path: str
    digest: str


@dataclass(frozen=True, slots=True)
class LoraSpec:
    """LoRA layers of a model.

    Attributes:
        r: rank.
        alpha: the product of the layers is multiplied by alpha / r.
        dropout: probability with which an input of the layers is 0 in training.
        weights: name of each adapted weight -> names of other tensors that are the same weight.
        whole: names of tensors that are trained as a whole beside; ``None`` where everything is.
        quantized: how weights of linear layers were stored while it was trained, or ``none``.
        rounded: names of the weights that were.
        base: what it was trained on; ``None`` where the base is trained, too.
        changed: names of the tensors, but those of LoRA, that are not the base's.
    """

    r: Annotated[int, Meta(ge=1)]
    alpha: Annotated[float, Meta(gt=0)]
    dropout: Annotated[float, Meta(ge=0, lt=1)] = 0.0
    weights: dict[str, tuple[str, ...]] = field(default_factory=dict)
    whole: tuple[str, ...] | None = ()
    quantized: Literal["none", "int8wo", "int4wo"] = "none"
    rounded: tuple[str, ...] = ()
    base: Base | None = None
    changed: tuple[str, ...] = ()

    def as_dict(self) -> dict[str, Any]:
        """Plain data for checkpoints."""
        return asdict(self)

    @classmethod
    def from_plain(cls, plain: Any, *, source: str) -> LoraSpec:
        """What ``as_dict`` gave; raises ``TrainingError`` where it is something else."""
        try:
            return msgspec.convert(plain, cls)
        except (msgspec.ValidationError, RecursionError) as exc:
            raise TrainingError(
                f"{source}: a broken checkpoint: its LoRA layers: {exc!s:.200}",
                fix="give a checkpoint as 'anydet train' wrote it",
            ) from exc


@dataclass(frozen=True, slots=True, eq=False)
class LoraState:
    """LoRA layers apart from the plain weights that they are merged into.

    Attributes:
        spec: which there are.
        tensors: those of LoRA, and the weights they belong to, as they are without them.
    """

    spec: LoraSpec
    tensors: Mapping[str, Tensor]


def plain_name(live: str) -> str:
    """The name in files of a tensor of a live model; most names are the same."""
    for pattern, name in _LIVE:
        if found := pattern.fullmatch(live):
            return found.expand(name)
    return live


def is_lora(name: str) -> bool:
    """Whether a name in files is of a tensor that LoRA added."""
    return name.endswith((A, B))


def without_lora(names: Iterable[str]) -> list[str]:
    """Those that a model without LoRA has."""
    return [name for name in names if not is_lora(name)]


def merged(
    state: Mapping[str, Tensor], spec: LoraSpec, *, source: str
) -> tuple[dict[str, Tensor], LoraState]:
    """Plain weights that predict as a state with LoRA does, and what cannot be seen in them any more.

    Args:
        state: tensors by their names in files.
        spec: the LoRA layers among them.
        source: where they are from, for messages.

    Raises ``TrainingError`` where a tensor is missing or has another shape.
    """
    plain = {name: state[name] for name in without_lora(state)}
    kept = {name: tensor for name, tensor in state.items() if is_lora(name)}
    for name, same in spec.weights.items():
        try:
            changed = state[name] + delta(state[f"{name}{A}"], state[f"{name}{B}"], state[name], spec)
        except (KeyError, RuntimeError) as exc:
            raise TrainingError(
                f"{source}: a broken checkpoint: the LoRA layers of {name!r:.200} are missing or do not fit",
                fix="give a checkpoint as 'anydet train' wrote it",
            ) from exc
        for one in (name, *same):
            kept[one] = state[name]
            plain[one] = changed
    return plain, LoraState(spec, kept)


@torch.no_grad()
def delta(first: Tensor, second: Tensor, weight: Tensor, spec: LoraSpec) -> Tensor:
    """Alpha / r * B A, as the weight that it is added to; of a 1 x 1 convolution, too."""
    product = second.flatten(1).float() @ first.flatten(1).float()
    return (product * (spec.alpha / spec.r)).view(weight.shape).to(weight)
