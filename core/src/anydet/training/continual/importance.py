"""``Importance``: how much earlier tasks need each weight, and where they need it to be."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

import torch
from torch import Tensor, nn

from anydet.training.first_weights import Names, join_rows
from anydet.training.model import TorchModel


class Importance:
    """A weight of each parameter's distance from its anchor, by the names of parameters.

    Args:
        weights: name of a parameter -> its importance, of its shape, at least 0.
        anchors: name of a parameter -> where it is to be.
    """

    def __init__(
        self, weights: Mapping[str, Tensor] | None = None, anchors: Mapping[str, Tensor] | None = None
    ) -> None:
        self.weights, self.anchors = dict(weights or {}), dict(anchors or {})

    def __len__(self) -> int:
        return len(self.weights)

    def distance(self, model: nn.Module) -> Tensor:
        """Sum of importance x squared distance from the anchors, as a scalar with gradient."""
        own = dict(model.named_parameters())
        parts = [
            (weight * (own[name] - self.anchors[name]).square()).sum()
            for name, weight in self.weights.items()
        ]
        return torch.stack(parts).sum() if parts else next(iter(own.values())).new_zeros(())

    def slope(self, name: str, parameter: Tensor) -> Tensor:
        """Gradient of ``distance`` by a parameter."""
        if name not in self.weights:
            return torch.zeros_like(parameter)
        return 2.0 * self.weights[name] * (parameter - self.anchors[name])

    def with_task(
        self, weights: Mapping[str, Tensor], anchors: Mapping[str, Tensor], *, keep_anchors: bool
    ) -> Importance:
        """Together with that of another task.

        Args:
            weights: importance for that task.
            anchors: the weights at its end.
            keep_anchors: whether each task is to hold its own: the sum of two quadratic penalties is one
                whose anchor is their mean, weighted by importance, but for a constant. Otherwise all tasks
                hold the newest anchors.
        """
        total, places = {}, {}
        for name, weight in weights.items():
            before = self.weights.get(name)
            total[name], places[name] = weight, anchors[name]
            if before is None:
                continue
            total[name] = weight + before
            if keep_anchors:
                mean = (before * self.anchors[name] + weight * anchors[name]) / total[name]
                places[name] = torch.where(total[name] > 0, mean, anchors[name])
        return Importance(total, places)

    def taken_by(self, model: TorchModel, theirs: Names, ours: Names, *, source: str) -> Importance:
        """The same for a model that knows other classes: rows go by name, and new ones have no importance.

        Parameters that the model does not have are left out.

        Args:
            model: with its first weights.
            theirs: names of the rows of this importance.
            ours: names of the rows of the model.
            source: where it is from, for messages.

        Raises ``TrainingError`` where a tensor has fewer rows than names.
        """
        rows, taken = model.named_rows(), Importance()
        for name, parameter in model.named_parameters():
            weight, anchor = self.weights.get(name), self.anchors.get(name)
            if weight is None or anchor is None or not parameter.requires_grad:
                continue
            own = parameter.detach()
            if name in rows:
                names = rows[name], theirs.of(rows[name]), ours.of(rows[name])
                taken.weights[name] = join_rows(torch.zeros_like(own), weight, *names, what=source)
                taken.anchors[name] = join_rows(own, anchor, *names, what=source)
            elif weight.shape == own.shape:
                taken.weights[name], taken.anchors[name] = weight.to(own), anchor.to(own)
        return taken

    def to(self, device: torch.device) -> None:
        """Move it to a device."""
        for tensors in (self.weights, self.anchors):
            for name, tensor in tensors.items():
                tensors[name] = tensor.to(device)

    def state_dict(self) -> dict[str, Any]:
        """Plain data for checkpoints."""
        return {"weights": dict(self.weights), "anchors": dict(self.anchors)}

    def load_state_dict(self, state: Mapping[str, Any]) -> None:
        """Go on from ``state_dict``."""
        self.weights, self.anchors = dict(state["weights"]), dict(state["anchors"])


def trained(model: nn.Module) -> dict[str, Tensor]:
    """Copies of the parameters that are trained, by name."""
    return {name: one.detach().clone() for name, one in model.named_parameters() if one.requires_grad}
