"""``sar``: entropy of the sure rows only, in places where it is flat."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any, ClassVar

import torch
from torch import Tensor

from anydet.adaptation.ttt.entropy import confident_rows
from anydet.adaptation.ttt.method import Defaults, GradientMethod


class SharpnessAware(GradientMethod):
    """Tent for streams that would make it collapse: unsure rows are left out, sharp minima avoided.

    Niu et al. 2023, "Towards Stable Test-Time Adaptation in Dynamic Wild World" (SAR): reliable samples, the
    gradient at the worst point of a ball of radius rho (Foret et al. 2021, "Sharpness-Aware Minimization for
    Efficiently Improving Generalization"), and model recovery. It differs in that rows of a detector take the
    place of images; in Adam in place of SGD; and in that the loss that recovery compares with is the first
    one, not a constant: how sure a detector is depends on how it was trained.
    """

    name: ClassVar[str] = "sar"
    one_pass: ClassVar[bool] = True
    defaults: ClassVar[Defaults] = Defaults()

    def reset_own(self) -> None:
        """A new optimizer and a new average."""
        super().reset_own()
        self._average_loss: float | None = None
        self._first_loss: float | None = None

    def loss(self, batch: Tensor, generator: torch.Generator) -> Tensor | None:
        """Mean entropy of confident rows below the margin."""
        del generator
        rows = confident_rows(self.adapter.class_logits(batch), self.confidence)
        reliable = rows.entropy[
            rows.entropy.detach() < self.settings.options["entropy_margin"] * rows.largest
        ]
        return reliable.mean() if len(reliable) else None

    def take_step(self, batches: Sequence[Tensor], generator: torch.Generator) -> None:
        """A step along the gradient at the worst point nearby; recovers where the loss has vanished."""
        parameters = [parameter for parameter in self.parameters.values() if parameter.grad is not None]
        gradients = [parameter.grad for parameter in parameters if parameter.grad is not None]
        norm = torch.stack([gradient.norm() for gradient in gradients]).norm()
        scale = self.settings.options["rho"] / (norm + 1e-12)
        before = [parameter.detach().clone() for parameter in parameters]
        with torch.no_grad():
            for parameter, gradient in zip(parameters, gradients, strict=True):
                parameter.add_(gradient * scale)
        self.optimizer.zero_grad(set_to_none=True)
        loss = self.backward(batches, generator)
        with torch.no_grad():
            for parameter, value in zip(parameters, before, strict=True):
                parameter.copy_(value)
        if loss is not None:
            self.optimizer.step()
            self._recover(loss)

    def save_own(self) -> Any:
        """The moving average of the loss."""
        return self._average_loss, self._first_loss

    def load_own(self, own: Any) -> None:
        """Put it back."""
        self._average_loss, self._first_loss = own

    def own_report(self) -> Mapping[str, Any]:
        """How often the model was recovered."""
        return {"recoveries": self._recoveries}

    def start(self) -> None:
        """Nothing was recovered yet."""
        self._recoveries = 0

    def _recover(self, loss: float) -> None:
        """Start anew where the loss is so small that the model has become sure of everything."""
        mean = self._average_loss
        self._average_loss = loss if mean is None else 0.9 * mean + 0.1 * loss
        self._first_loss = loss if self._first_loss is None else self._first_loss
        if self._average_loss < self.settings.options["recovery"] * self._first_loss:
            self.go_back()
            self._recoveries += 1
