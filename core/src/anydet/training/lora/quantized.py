"""Weights of frozen linear layers in 8 or in 4 bits, by torchao, while LoRA beside them is trained.

Each weight is rounded to whole numbers times a scale: of a row with ``int8wo``, of 32 columns of a row with
``int4wo``. Source of training LoRA on such a base: Dettmers et al. 2023, "QLoRA"; torchao has no NF4 type.
Files hold the rounded weights as ordinary numbers, so that predicting needs no torchao.
"""

from __future__ import annotations

import logging
import warnings
from collections.abc import Collection, Iterator
from dataclasses import dataclass
from importlib.util import find_spec
from typing import Any, Literal

from torch import Tensor, nn
from torch.utils._python_dispatch import is_traceable_wrapper_subclass

from anydet.errors import OptionError
from anydet.text import one_line
from anydet.training.lora.spec import plain_name

Kind = Literal["none", "int8wo", "int4wo"]
GROUP = 32
"""Columns of a row that have one scale with ``int4wo``."""


def _is_not_torchaos(record: logging.LogRecord) -> bool:
    return "register_constant" not in str(record.msg)


# Wherever torchao 0.18 is imported, as peft and transformers do by themselves, torch logs two lines on how
# torchao registers its enumerations.
logging.getLogger("torch.utils._pytree").addFilter(_is_not_torchaos)


@dataclass(frozen=True, slots=True)
class Rounded:
    """What became of a model's weights.

    Attributes:
        names: of the weights that are quantized, as files have them.
        numbers: how many numbers these are.
        left: why others are not quantized; empty where there are none.
    """

    names: tuple[str, ...]
    numbers: int
    left: str = ""


def is_quantized(tensor: Any) -> bool:
    """Whether a tensor holds its numbers in another form, so that most functions of torch do not know it."""
    return is_traceable_wrapper_subclass(tensor)


def parts_of(tensor: Any) -> dict[str, Tensor]:
    """Name -> ordinary tensor, of those that a quantized one consists of."""
    names, _ = tensor.__tensor_flatten__()
    return {name: getattr(tensor, name) for name in names}


def dequantized(tensor: Any) -> Tensor:
    """The numbers that a quantized tensor stands for; another tensor as it is."""
    plain: Tensor = tensor.dequantize() if is_quantized(tensor) else tensor
    return plain


def quantize(model: nn.Module, kind: Kind) -> Rounded:
    """Quantize the weights of linear layers that are not trained, in place.

    Those inside ``nn.MultiheadAttention`` stay, as it reads them past their layers.

    Args:
        model: with LoRA in it, and what is trained marked by ``requires_grad``.
        kind: ``int8wo`` or ``int4wo``.

    Raises ``OptionError`` where torchao is not installed, or does not take such weights.
    """
    found: dict[int, nn.Parameter] = {}
    names, numbers, narrow = [], 0, 0
    for live, layer in _frozen(model):
        weight = layer.weight
        if id(weight) not in found:
            if kind == "int4wo" and weight.shape[1] % GROUP:
                narrow += 1
                continue
            found[id(weight)] = nn.Parameter(rounded(weight, kind), requires_grad=False)
            numbers += weight.numel()
        names.append(plain_name(f"{live}.weight"))
    # All at once, and at last: the identities above are those of tensors that live.
    for _, layer in list(_frozen(model)):
        if id(layer.weight) in found:
            layer.weight = found[id(layer.weight)]
    left = f"{narrow} have no multiple of {GROUP} columns" if narrow else ""
    return Rounded(tuple(names), numbers, left)


def rounded(weight: Tensor, kind: Kind) -> Tensor:
    """A weight of a linear layer, quantized; the same numbers give the same bits.

    Raises ``OptionError`` where torchao is not installed, or does not take it.
    """
    if find_spec("torchao") is None:
        raise OptionError(
            f"{kind} quantizes weights by torchao, which is not installed", fix="pip install 'anydet[qlora]'"
        )
    layer = nn.Linear(weight.shape[1], weight.shape[0], bias=False, device="meta")
    layer.weight = nn.Parameter(weight.detach().clone().contiguous(), requires_grad=False)
    holder = nn.Sequential(layer)
    try:
        _torchao(holder, kind)
    except Exception as exc:  # of a device or a type that torchao has no kernel for
        raise OptionError(
            f"{kind}: torchao does not quantize weights of {weight.dtype} on {weight.device.type}: "
            f"{one_line(str(exc))[:300]}",
            fix="train without --torchao-required and --qlora, or on another device",
        ) from exc
    return layer.weight.detach()


def _torchao(holder: nn.Module, kind: Kind) -> None:
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")  # of its own code, to Python's compiler
        import torch
        from torchao.quantization import Int8WeightOnlyConfig, IntxWeightOnlyConfig, quantize_
        from torchao.quantization.granularity import PerGroup
    # Not Int4WeightOnlyConfig: its packed forms want CUDA, weights in bfloat16 and kernels of other packages.
    four: Any = vars(torch)["int4"]  # it has no type in torch's stubs
    four_bits = IntxWeightOnlyConfig(weight_dtype=four, granularity=PerGroup(GROUP))
    quantize_(holder, Int8WeightOnlyConfig() if kind == "int8wo" else four_bits)


def _frozen(model: nn.Module) -> Iterator[tuple[str, nn.Linear]]:
    inside: list[str] = []
    for name, module in model.named_modules():
        if isinstance(module, nn.MultiheadAttention):
            inside.append(name)
        if isinstance(module, nn.Linear) and not _is_other(name, module, inside):
            yield name, module


def _is_other(name: str, layer: nn.Linear, attention: Collection[str]) -> bool:
    return (
        ".lora_" in name or layer.weight.requires_grad or any(name.startswith(f"{one}.") for one in attention)
    )
