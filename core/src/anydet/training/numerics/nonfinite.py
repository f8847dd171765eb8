"""Numbers that are not finite: find the first one and say where it comes from."""

from __future__ import annotations

from collections.abc import Callable, Iterator, Mapping
from typing import Any

import torch
from torch import Tensor, nn

from anydet.text import listed
from anydet.training.lora.quantized import is_quantized

NUMBERS_FIX = (
    "lower --lr, warm up (--lr-warmup-steps 500), clip (--clip-grad-norm 1.0), or leave such batches out "
    "(--on-nonfinite skip); 'anydet diagnose' looks for the cause"
)
"""What to do where numbers went wrong."""

_SHOWN_IMAGES = 8


def first_nonfinite(value: Any, name: str = "batch") -> str | None:
    """Where in nested dictionaries, lists and tuples the first NaN or infinity is, as ``batch[0].boxes``."""
    for where, tensor in _tensors(value, name):
        if _may_break(tensor) and not bool(torch.isfinite(tensor).all()):
            return where
    return None


def first_nonfinite_parameter(model: nn.Module) -> str | None:
    """Name of the first parameter that holds NaN or infinity."""
    for name, parameter in model.named_parameters():
        if _may_break(parameter) and not bool(torch.isfinite(parameter.detach()).all()):
            return name
    return None


def first_nonfinite_weight(model: nn.Module) -> str | None:
    """Name of the first parameter or kept buffer (running statistics) that holds NaN or infinity."""
    found = first_nonfinite(dict(model.state_dict()), "")
    return None if found is None else found.removeprefix(".")


def first_nonfinite_gradient(model: nn.Module) -> str | None:
    """Name of the last parameter, which backward reaches first, whose gradient is not finite."""
    for name, parameter in reversed(list(model.named_parameters())):
        if parameter.grad is not None and not bool(torch.isfinite(parameter.grad).all()):
            return name
    return None


def largest_gradient(model: nn.Module) -> tuple[str, float]:
    """Name and largest absolute number of the gradient that has the largest one."""
    found = {name: float(p.grad.abs().max()) for name, p in model.named_parameters() if p.grad is not None}
    name = max(found, key=lambda one: found[one], default="")
    return name, found.get(name, 0.0)


def first_nonfinite_module(model: nn.Module, forward: Callable[[], Any]) -> str | None:
    """The first module whose output is not finite though its inputs are; ``forward`` is run once for it."""
    found: list[str] = []

    def look(name: str, module: nn.Module, inputs: Any, output: Any) -> None:
        if not found and first_nonfinite(output) and not first_nonfinite(inputs):
            found.append(f"{name} ({type(module).__name__})")

    handles = [
        module.register_forward_hook(lambda m, i, o, name=name: look(name, m, i, o))
        for name, module in model.named_modules()
        # Leaves alone: a container only passes on what one of them gave.
        if name and not list(module.children())
    ]
    try:
        forward()
    except (RuntimeError, ValueError, AssertionError):  # a model that refuses such numbers itself
        pass
    finally:
        for handle in handles:
            handle.remove()
    return found[0] if found else None


def name_images(keys: list[str]) -> str:
    """The images of a batch for a message."""
    return listed(keys, _SHOWN_IMAGES, quotes=False)


class BufferSnapshot:
    """Buffers of a model (running statistics), to undo what a skipped step did to them."""

    def __init__(self, model: nn.Module) -> None:
        self._buffers = [buffer for buffer in model.buffers() if not is_quantized(buffer)]
        self._kept = [buffer.clone() for buffer in self._buffers]

    def take(self) -> None:
        """Remember the buffers as they are."""
        _copy(self._kept, self._buffers)

    def put_back(self) -> None:
        """The buffers are again as they were."""
        _copy(self._buffers, self._kept)


def _may_break(tensor: Tensor) -> bool:
    """Whether a tensor has numbers that can become NaN; quantized weights are never trained."""
    return tensor.is_floating_point() and not is_quantized(tensor)


@torch.no_grad()
def _copy(targets: list[Tensor], sources: list[Tensor]) -> None:
    if targets:
        torch._foreach_copy_(targets, sources)


def _tensors(value: Any, name: str) -> Iterator[tuple[str, Tensor]]:
    if isinstance(value, Tensor):
        yield name, value
    elif isinstance(value, Mapping):
        for key, inner in value.items():
            yield from _tensors(inner, f"{name}.{key}")
    elif isinstance(value, list | tuple):
        for index, inner in enumerate(value):
            yield from _tensors(inner, f"{name}[{index}]")
    elif hasattr(value, "__dataclass_fields__"):
        for key in value.__dataclass_fields__:
            yield from _tensors(getattr(value, key), f"{name}.{key}")
