"""Layers of a model that get LoRA, and LoRA put into them: by peft, and in attention by parametrization.

peft wraps linear layers and convolutions. Its layer for ``nn.MultiheadAttention`` adds to the frozen weights
before each forward pass and subtracts afterwards, which leaves them other bits each time, and
``TransformerEncoderLayer`` reads the weights past it. A parametrization of torch's changes what reading the
weight gives, for everyone, and leaves the weight itself alone.
"""

from __future__ import annotations

import math
import re
from collections.abc import Collection, Iterator, Mapping, Sequence
from contextlib import contextmanager
from dataclasses import dataclass
from typing import Any, Literal

import torch
from torch import Tensor, nn
from torch.nn.utils import parametrize

from anydet.errors import OptionError, TrainingError
from anydet.training.lora.spec import ADAPTER, LoraSpec, plain_name
from anydet.training.model import TorchModel

Target = Literal["head", "all_linear", "all_conv1x1", "all_linear_conv1x1"]
Kind = Literal["linear", "conv1x1", "attention"]
_KINDS: Mapping[str, tuple[Kind, ...]] = {
    "head": ("linear", "attention", "conv1x1"),
    "all_linear": ("linear", "attention"),
    "all_conv1x1": ("conv1x1",),
    "all_linear_conv1x1": ("linear", "attention", "conv1x1"),
}
_PROJECTIONS = ("in_proj_weight", "q_proj_weight", "k_proj_weight", "v_proj_weight", "out_proj.weight")
"""Weights of ``nn.MultiheadAttention``; of the inputs it has one, or one each."""


@dataclass(frozen=True, slots=True)
class Layer:
    """A layer that LoRA can be put into.

    Attributes:
        name: of the module.
        kind: what it is.
        weights: names of its weights.
    """

    name: str
    kind: Kind
    weights: tuple[str, ...]


def find_layers(model: TorchModel, target: Target, without: Collection[str] = ()) -> list[Layer]:
    """Layers of the model that a target means, each weight once.

    Only what is in a part that the model names: modules elsewhere need not be used at all. A 1 x 1
    convolution in groups is left out.

    Args:
        model: without LoRA.
        target: ``head`` is all that LoRA can be put into in the head.
        without: names of weights that are left out.
    """
    parts = model.module_names()
    roots = [name for part, names in parts.items() if target != "head" or part == "head" for name in names]
    seen: set[int] = set()
    found = []
    for layer in _layers(model):
        if layer.kind not in _KINDS[target] or not _within(layer.name, roots or ([] if parts else [""])):
            continue
        ids = {id(model.get_parameter(name)) for name in layer.weights}
        if ids & seen or set(layer.weights) & set(without):
            continue
        seen |= ids
        found.append(layer)
    return found


def count_layers(model: TorchModel, without: Collection[str] = ()) -> dict[str, int]:
    """How many layers each target means, as ``find_layers`` finds them."""
    targets: Sequence[Target] = ("head", "all_linear", "all_conv1x1", "all_linear_conv1x1")
    return {target: len(find_layers(model, target, without)) for target in targets}


def same_weights(model: nn.Module, names: Collection[str]) -> dict[str, tuple[str, ...]]:
    """Name of each weight -> the other names of the same parameter."""
    named: dict[int, list[str]] = {}
    for name, parameter in model.named_parameters(remove_duplicate=False):
        named.setdefault(id(parameter), []).append(name)
    return {
        name: tuple(other for other in named[id(model.get_parameter(name))] if other != name)
        for name in names
    }


def require_peft() -> None:
    """Raise ``OptionError`` where peft is not installed."""
    if not has_peft():
        raise OptionError(
            "lora_r puts LoRA layers into the model by peft, which is not installed",
            fix="pip install 'anydet[lora]'",
        )


def has_peft() -> bool:
    """Whether peft is installed."""
    from importlib.util import find_spec

    return find_spec("peft") is not None


def insert(model: nn.Module, spec: LoraSpec) -> None:
    """Put LoRA into a model in place; outputs stay as they are, as B begins at zero.

    What learned before still may, and modes stay: the caller decides what is trained.

    Raises:
        OptionError: peft is not installed.
        TrainingError: the model has no such weight, or no layer of a kind that can be adapted.
    """
    require_peft()
    known = dict(model.named_parameters(remove_duplicate=False))
    if unknown := [name for name in spec.weights if name not in known or known[name].ndim not in {2, 4}]:
        raise _unfit(model, unknown[0])
    learned = {name for name, parameter in model.named_parameters() if parameter.requires_grad}
    attention = [name for name in spec.weights if _is_projection(model, name)]
    wrapped = [name.removesuffix(".weight") for name in spec.weights if name not in attention]
    for name in attention:
        owner, _, own = name.rpartition(".")
        module = model.get_submodule(owner)
        parametrize.register_parametrization(module, own, LowRank(getattr(module, own), spec))
    if wrapped:
        _wrap(model, wrapped, spec)
    for live, parameter in model.named_parameters():
        parameter.requires_grad_(".lora_" in live or plain_name(live) in learned)
    for module in model.modules():
        if isinstance(module, nn.TransformerEncoderLayer):
            # Its fast path reads the weights of its linear layers past their wrappers.
            module.activation_relu_or_gelu = 0
    model.train(model.training)


class LowRank(nn.Module):
    """A parametrization: the weight plus alpha / r * B A.

    Args:
        weight: (outputs, inputs) that it is added to.
        spec: rank and alpha.
    """

    def __init__(self, weight: Tensor, spec: LoraSpec) -> None:
        super().__init__()
        first = torch.empty(spec.r, weight.shape[1], device=weight.device)
        nn.init.kaiming_uniform_(first, a=math.sqrt(5))  # as peft begins
        self.lora_A = nn.ParameterDict({ADAPTER: nn.Parameter(first)})
        second = torch.zeros(weight.shape[0], spec.r, device=weight.device)
        self.lora_B = nn.ParameterDict({ADAPTER: nn.Parameter(second)})
        self._scale = spec.alpha / spec.r

    def forward(self, weight: Tensor) -> Tensor:
        """The weight that is used."""
        change: Tensor = self.lora_B[ADAPTER] @ self.lora_A[ADAPTER]
        return weight + self._scale * change.to(weight.dtype)


@contextmanager
def as_plain_layers(model: nn.Module) -> Iterator[None]:
    """Within, layers that peft wrapped are themselves, their weights merged; for a trace of the model."""
    swapped: list[tuple[nn.Module, str, nn.Module, Any, Tensor]] = []
    for parent in list(model.modules()):
        for own, child in list(parent.named_children()):
            base: Any = getattr(child, "base_layer", None)
            adapted: Any = child
            if not isinstance(base, nn.Module) or ADAPTER not in getattr(child, "lora_A", ()):
                continue
            kept: Any = base.weight.data
            base.weight.data = kept + adapted.get_delta_weight(ADAPTER).to(kept)
            parent._modules[own] = base
            swapped.append((parent, own, child, base, kept))
    try:
        yield
    finally:
        for parent, own, child, base, kept in swapped:
            parent._modules[own] = child
            base.weight.data = kept


def _wrap(model: nn.Module, names: Sequence[str], spec: LoraSpec) -> None:
    """By peft; names are matched whole."""
    from peft import LoraConfig, inject_adapter_in_model

    config = LoraConfig(
        r=spec.r,
        lora_alpha=spec.alpha,  # type: ignore[arg-type]  # any number
        lora_dropout=spec.dropout,
        target_modules="|".join(map(re.escape, names)),
        bias="none",
    )
    try:
        inject_adapter_in_model(config, model, adapter_name=ADAPTER)
    except ValueError as exc:  # of layers that it has no form for
        raise _unfit(model, names[0]) from exc
    del model.peft_config  # it is in the checkpoint


def _unfit(model: nn.Module, name: str) -> TrainingError:
    return TrainingError(
        f"{type(model).__name__} has no weight {name!r:.200} that LoRA can be put into",
        fix="give a checkpoint as 'anydet train' wrote it, with the options that it was trained with",
    )


def _layers(model: nn.Module) -> Iterator[Layer]:
    inside: list[str] = []
    for name, module in model.named_modules():
        if isinstance(module, nn.MultiheadAttention):
            inside.append(name)
            own = [weight for weight in _PROJECTIONS if _has(module, weight)]
            yield Layer(name, "attention", tuple(f"{name}.{weight}" for weight in own))
        elif isinstance(module, nn.Linear) and not _within(name, inside):
            yield Layer(name, "linear", (f"{name}.weight",))
        elif isinstance(module, nn.Conv2d) and module.kernel_size == (1, 1) and module.groups == 1:
            yield Layer(name, "conv1x1", (f"{name}.weight",))


def _has(module: nn.Module, weight: str) -> bool:
    owner, _, own = weight.rpartition(".")
    return getattr(module.get_submodule(owner), own, None) is not None


def _within(name: str, roots: Collection[str]) -> bool:
    return any(not root or name == root or name.startswith(f"{root}.") for root in roots)


def _is_projection(model: nn.Module, weight: str) -> bool:
    """Whether a weight is one of an ``nn.MultiheadAttention``, which does not call its inner layers."""
    owner, _, own = weight.rpartition(".")
    if own != "weight":
        return True
    outer = model.get_submodule(owner.rpartition(".")[0])
    return isinstance(outer, nn.MultiheadAttention)
