"""A distillation loss, and a hook that keeps what runs are compared by, for tests of the engine."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path
from typing import Any

import torch
from torch import Tensor, nn
from torch.nn import functional

from anydet.plugins.adapter import ClassLogits
from anydet.training.extra_loss import ExtraLoss
from anydet.training.hooks import LoopState, TrainingHook
from anydet.training.task import StepOutput, TrainingTask


class Distillation(ExtraLoss):
    """The student's classes are to be those of a teacher; see ``divergence``."""

    def __init__(self, teacher: TrainingTask, *, weight: float = 1.0, temperature: float = 2.0) -> None:
        self.teacher, self.weight, self.temperature = teacher, weight, temperature

    def losses(self, task: TrainingTask, batch: Any, output: StepOutput) -> dict[str, Tensor]:
        with torch.no_grad():
            teacher = self.teacher.logits(batch, like=output.logits)
        return {"distillation": self.weight * divergence(output.logits, teacher, self.temperature)}

    def frozen(self) -> Sequence[nn.Module]:
        return [self.teacher.model]


def divergence(student: ClassLogits, teacher: ClassLogits, temperature: float) -> Tensor:
    """KL(teacher || student) of a row's classes at a temperature, times its square, as a scalar.

    The mean over the rows of an image, then over images. Source: Hinton et al. 2015, "Distilling the
    Knowledge in a Neural Network"; with sigmoids each class is a distribution of its own.
    """
    found, wanted = student.logits / temperature, teacher.logits / temperature
    if student.activation == "softmax":
        rows = functional.kl_div(
            found.log_softmax(-1), wanted.log_softmax(-1), reduction="none", log_target=True
        ).sum(-1)
    else:
        rows = sum(
            (sign * wanted).sigmoid()
            * (functional.logsigmoid(sign * wanted) - functional.logsigmoid(sign * found))
            for sign in (1, -1)
        ).sum(-1)
    images = (rows * student.valid).sum(1) / student.valid.sum(1)
    return temperature**2 * images.mean()


class Keep(TrainingHook):
    """Writes ``rank<N>.pt`` into a folder: gradients of each step, weights, and tensors of other modules."""

    def __init__(self, folder: Path, **others: nn.Module) -> None:
        self.folder, self.others = folder, others
        self.gradients: list[dict[str, Tensor]] = []

    def before_update(self, loop: LoopState) -> None:
        named = loop.model.named_parameters()
        self.gradients.append({name: p.grad.clone() for name, p in named if p.grad is not None})

    def after_train(self, loop: LoopState) -> None:
        others = {name: module.state_dict() for name, module in self.others.items()}
        kept = {"gradients": self.gradients, "model": loop.model.state_dict(), **others}
        torch.save(kept, self.folder / f"rank{loop.processes.rank}.pt")


def assert_same_training(kept: Sequence[Path]) -> None:
    """Two processes of one run have the same weights, and a third run's gradients; see ``Keep``."""
    first, second, alone = (torch.load(path, weights_only=True) for path in kept)
    for name, weight in first["model"].items():
        assert torch.equal(weight, second["model"][name]), name
    assert len(first["gradients"]) == len(alone["gradients"])
    for step, (both, one) in enumerate(zip(first["gradients"], alone["gradients"], strict=True)):
        # Adam divides by the size of gradients, so that the rounding of small ones, which differs by
        # processor, grows with each step: 1e-7 in the first two, 5e-4 in the fourth, of gradients of 0.3.
        tolerance = 1e-5 if step < 2 else 5e-3
        assert both.keys() == one.keys()
        assert max(float(gradient.abs().max()) for gradient in one.values()) > 0.1, "too small to compare"
        for name in one:
            torch.testing.assert_close(both[name], one[name], rtol=0, atol=tolerance, msg=name)
