"""``ExtraLoss``: a loss beside those of the task, such as distillation, replay, or a penalty on weights."""

from __future__ import annotations

from abc import ABC, abstractmethod
from collections.abc import Mapping, Sequence
from typing import Any

import torch
from torch import Tensor, nn

from anydet.errors import TrainingError
from anydet.training.hooks import TrainingHook
from anydet.training.task import StepOutput, TrainingTask


class ExtraLoss(TrainingHook, ABC):
    """A hook that adds losses to those of the task.

    They are computed after the task's own step on each batch, inside the module that is wrapped for several
    processes, so that their gradients are averaged with the others; they take part in the total, in the
    guards and in the metrics of training, not in validations.
    """

    @abstractmethod
    def losses(self, task: TrainingTask, batch: Any, output: StepOutput) -> Mapping[str, Tensor]:
        """Name -> scalar tensor, weighted; added to the total and logged as ``train_loss_<name>``.

        The names are the same for every batch in every process. Several processes with parts of a batch
        learn as one with the whole where each loss is a mean over images.

        Args:
            task: whose model is trained.
            batch: on the model's device, as ``task.step`` gets it.
            output: of ``task.step``; ``logits`` are the model's, with gradient.
        """

    def frozen(self) -> Sequence[nn.Module]:
        """Modules that it evaluates, such as a teacher.

        The engine moves them to the device and freezes them, in evaluation mode; they are neither trained
        nor saved.
        """
        return ()


def freeze(losses: Sequence[ExtraLoss], model: nn.Module, device: torch.device) -> None:
    """Put the frozen modules of extra losses onto the device, in evaluation mode and without gradients.

    Raises ``TrainingError`` where one of them holds weights of the trained model, which must not be frozen.
    """
    trained = {id(parameter) for parameter in model.parameters()}
    for loss in losses:
        for module in loss.frozen():
            if any(id(parameter) in trained for parameter in module.parameters()):
                what = f"{type(loss).__name__}: its frozen {type(module).__name__}"
                raise TrainingError(
                    f"{what} has weights of the trained model",
                    fix="give it a copy (copy.deepcopy)",
                )
            module.to(device).eval().requires_grad_(requires_grad=False)


def added(losses: Sequence[ExtraLoss], task: TrainingTask, batch: Any, output: StepOutput) -> StepOutput:
    """The output of a step with the extra losses in it.

    Raises ``TrainingError`` where two losses have one name.
    """
    named, total = dict(output.losses), output.loss
    for loss in losses:
        for name, value in loss.losses(task, batch, output).items():
            if name in named:
                raise TrainingError(
                    f"{type(loss).__name__}: there is a loss {name!r} already", fix="give it another name"
                )
            named[name] = value
            total = total + value
    return StepOutput(named, total, output.logits, output.sanitized)
