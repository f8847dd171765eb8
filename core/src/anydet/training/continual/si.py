"""``SynapticIntelligence``: SI, whose penalty holds weights by what their way through training gained."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

import torch
from torch import Tensor

from anydet.training.continual.importance import Importance, trained
from anydet.training.extra_loss import ExtraLoss
from anydet.training.hooks import LoopState
from anydet.training.task import StepOutput, TrainingTask


class SynapticIntelligence(ExtraLoss):
    """``si_c`` times the sum over weights of W (w - w*)^2, with the weights w* at the end of the last task.

    While a task is trained, each weight adds up how much its movement lowers the loss, the path integral
    of -gradient x change; the gradient is that of all losses but this penalty's. At the end of the task

        W += max(0, path) / ((end - start)^2 + si_epsilon).

    Source: Zenke et al. 2017, "Continual Learning Through Synaptic Intelligence", equations 3 to 5; paths
    that raised the loss count as 0, as in the authors' program.

    Args:
        strength: ``si_c``.
        epsilon: ``si_epsilon``.

    Attributes:
        importance: W, and w*.
        path: name of a parameter -> what its movement has gained in this task.
        start: the parameters at the start of this task.
    """

    name = "si"

    def __init__(self, strength: float, epsilon: float) -> None:
        self.importance, self._strength, self._epsilon = Importance(), strength, epsilon
        self.path: dict[str, Tensor] = {}
        self.start: dict[str, Tensor] = {}
        self._before: dict[str, tuple[Tensor, Tensor]] = {}

    def before_train(self, loop: LoopState) -> None:
        """Onto the model's device; a run that goes on has its start."""
        self.importance.to(loop.processes.device)
        if not self.start:
            self.start = trained(loop.model)
            self.path = {name: torch.zeros_like(one) for name, one in self.start.items()}

    def losses(self, task: TrainingTask, batch: Any, output: StepOutput) -> Mapping[str, Tensor]:
        """``si``; 0 in a first task."""
        del batch, output
        return {"si": self._strength * self.importance.distance(task.model)}

    @torch.no_grad()
    def before_update(self, loop: LoopState) -> None:
        """Keep the weights, and the gradients of what is not this penalty."""
        self._before = {
            name: (
                one.detach().clone(),
                one.grad.float() - self._strength * self.importance.slope(name, one.detach()),
            )
            for name, one in loop.model.named_parameters()
            if one.grad is not None and name in self.path
        }

    @torch.no_grad()
    def after_step(self, loop: LoopState) -> None:
        """Go along with the step that was taken."""
        own = dict(loop.model.named_parameters())
        for name, (weight, gradient) in self._before.items():
            self.path[name] -= gradient * (own[name] - weight)
        self._before = {}

    def state_dict(self) -> Mapping[str, Any]:
        """What earlier tasks left, and the way so far."""
        return {
            "importance": self.importance.state_dict(),
            "path": dict(self.path),
            "start": dict(self.start),
        }

    def load_state_dict(self, state: Mapping[str, Any]) -> None:
        """Go on from it."""
        self.importance.load_state_dict(state["importance"])
        self.path, self.start = dict(state["path"]), dict(state["start"])

    def gained(self, end: Mapping[str, Tensor]) -> dict[str, Tensor]:
        """Importance for this task alone.

        Args:
            end: parameters where the path ends.
        """
        return {
            name: path.clamp(min=0) / ((end[name] - self.start[name]).square() + self._epsilon)
            for name, path in self.path.items()
        }

    def after_task(self, task: TrainingTask, end: Mapping[str, Tensor]) -> Importance:
        """Importance for the next task; ``task.model`` has the weights that it begins with."""
        return self.importance.with_task(self.gained(end), trained(task.model), keep_anchors=False)
