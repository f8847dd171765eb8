"""``Snapshot``: the tensors and modes of a model at one time, put back bit for bit."""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Mapping
from dataclasses import dataclass
from typing import TYPE_CHECKING

import torch
from torch import Tensor, nn

if TYPE_CHECKING:
    from typing_extensions import Self


@dataclass(frozen=True, slots=True, eq=False)
class Snapshot:
    """Copies of tensors by name.

    Attributes:
        tensors: name -> copy of a parameter or a buffer; also of buffers that no checkpoint holds.
    """

    tensors: Mapping[str, Tensor]

    @classmethod
    def of(cls, model: nn.Module, names: Iterable[str] | None = None) -> Self:
        """Copies of the tensors with these names; of all where there are none."""
        live = dict(named_tensors(model))
        chosen = live if names is None else {name: live[name] for name in names}
        return cls({name: value.detach().clone() for name, value in chosen.items()})

    def restore(self, model: nn.Module) -> None:
        """Copy them into the model, whose tensors stay the same objects."""
        live = dict(named_tensors(model))
        with torch.no_grad():
            for name, value in self.tensors.items():
                live[name].copy_(value)

    def swap(self, model: nn.Module) -> Snapshot:
        """Copy them into the model; gives what was there before."""
        before = Snapshot.of(model, self.tensors)
        self.restore(model)
        return before


@dataclass(frozen=True, slots=True)
class Modes:
    """What a model has beside its tensors: modes of its modules, and which parameters have gradients.

    Attributes:
        training: of each module, in their order.
        requires_grad: of each parameter, in their order.
    """

    training: tuple[bool, ...]
    requires_grad: tuple[bool, ...]

    @classmethod
    def of(cls, model: nn.Module) -> Self:
        """Those that the model has now."""
        return cls(
            tuple(module.training for module in model.modules()),
            tuple(parameter.requires_grad for parameter in model.parameters()),
        )

    def restore(self, model: nn.Module) -> None:
        """Set them, and drop gradients."""
        for module, training in zip(model.modules(), self.training, strict=True):
            module.training = training
        for parameter, wanted in zip(model.parameters(), self.requires_grad, strict=True):
            parameter.requires_grad_(wanted)
            parameter.grad = None


def named_tensors(model: nn.Module) -> Iterator[tuple[str, Tensor]]:
    """Name and tensor of each parameter and buffer."""
    yield from model.named_parameters()
    yield from model.named_buffers()
