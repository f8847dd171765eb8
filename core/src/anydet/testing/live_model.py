"""The torch model behind an adapter, as checks look at it.

Core does not import torch; where an adapter gives a torch model, torch has been imported by the adapter.
"""

from __future__ import annotations

import sys
from collections.abc import Mapping
from typing import Any

from anydet.plugins.adapter import Adapter


def live_model(adapter: Adapter) -> tuple[Any, Any]:
    """torch, as the adapter has imported it, and the adapter's model."""
    model = adapter.get_model()
    torch: Any = sys.modules.get("torch")
    assert torch is not None and isinstance(model, torch.nn.Module), (  # noqa: PT018
        f"get_model() gave {type(model).__name__}; give a torch.nn.Module"
    )
    return torch, model


def tensors_of(model: Any) -> dict[str, Any]:
    """Name -> copy of each parameter and buffer, of buffers that are not saved too."""
    named = (*model.named_parameters(), *model.named_buffers())
    return {name: value.detach().clone() for name, value in named}


def changed_tensor(model: Any, before: Mapping[str, Any]) -> str:
    """The first parameter or buffer that is not what ``tensors_of`` gave; empty where none is."""
    for name, value in tensors_of(model).items():
        # A NaN that stays a NaN is no change.
        same = name in before and value.shape == before[name].shape
        if not same or not bool(((value == before[name]) | (value != value)).all()):  # noqa: PLR0124
            return name
    return ""


def reached_parameters(model: Any, loss: Any) -> set[str]:
    """Names of the parameters that a scalar's gradient reaches; the model's gradients are gone afterwards."""
    model.zero_grad(set_to_none=True)
    loss.backward()
    reached = {name for name, parameter in model.named_parameters() if parameter.grad is not None}
    model.zero_grad(set_to_none=True)
    return reached
