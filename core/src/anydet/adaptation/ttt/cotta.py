"""``cotta``: a student that follows its own average, and goes back a little at each step."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from dataclasses import replace
from typing import Any, ClassVar

import torch
from torch import Tensor
from torch.nn import functional as F  # noqa: N812 - everybody's name for it

from anydet.adaptation.ttt.entropy import probabilities
from anydet.adaptation.ttt.method import Defaults, GradientMethod
from anydet.adaptation.ttt.snapshot import Snapshot
from anydet.plugins.adapter import ClassLogits


class MeanTeacher(GradientMethod):
    """A student learns the predictions of its averaged teacher, and the teacher predicts.

    Wang et al. 2022, "Continual Test-Time Domain Adaptation" (CoTTA): averaged teacher, predictions averaged
    over augmentations where the teacher is unsure, stochastic restoration. It differs in that student and
    teacher are compared in the rows that the teacher chooses, of which only confident ones count; that
    augmentations change colors and noise alone, since rows are places in the image; and that the backbone
    changes by default, where the paper changes everything.
    """

    name: ClassVar[str] = "cotta"
    defaults: ClassVar[Defaults] = Defaults(update_filter="all", lr=1e-5)

    def reset_own(self) -> None:
        """A new optimizer; the teacher is the student."""
        super().reset_own()
        self._teacher = Snapshot.of(self.model, self.parameters)

    def loss(self, batch: Tensor, generator: torch.Generator) -> Tensor | None:
        """Cross-entropy of the student's rows with what the teacher says of them."""
        with torch.no_grad(), self._as_teacher():
            rows, target = self._teach(batch, generator)
        best = probabilities(rows)
        columns = [c for c in range(best.shape[2]) if c != rows.background]
        chosen = rows.valid & (target[..., columns].amax(-1) >= self.confidence)
        if not chosen.any():
            return None
        found: ClassLogits = self.adapter.class_logits(batch, like=rows)
        logits, wanted = found.logits.float()[chosen], target[chosen]
        if found.activation == "softmax":
            costs = -(wanted * logits.log_softmax(-1)).sum(-1)
        else:
            costs = F.binary_cross_entropy_with_logits(logits, wanted, reduction="none").sum(-1)
        loss: Tensor = costs.mean()
        return loss

    def take_step(self, batches: Sequence[Tensor], generator: torch.Generator) -> None:
        """The student's step; some weights go back, and the teacher follows."""
        super().take_step(batches, generator)
        options = self.settings.options
        with torch.no_grad():
            for name, parameter in self.parameters.items():
                # Drawn on the CPU, so that a seed restores the same weights on every device.
                drawn = torch.rand(parameter.shape, generator=generator).to(parameter.device)
                parameter.copy_(
                    torch.where(drawn < options["restore_prob"], self._first.tensors[name], parameter)
                )
                self._teacher.tensors[name].lerp_(parameter, 1 - options["decay"])

    @contextmanager
    def predicting(self) -> Iterator[None]:
        """With the teacher's weights."""
        with self._as_teacher():
            yield

    def save_own(self) -> Any:
        """The teacher."""
        return {name: value.clone() for name, value in self._teacher.tensors.items()}

    def load_own(self, own: Any) -> None:
        """Put it back."""
        self._teacher = Snapshot({name: value.clone() for name, value in own.items()})

    @contextmanager
    def _as_teacher(self) -> Iterator[None]:
        student = self._teacher.swap(self.model)
        try:
            yield
        finally:
            student.restore(self.model)

    def _teach(self, batch: Tensor, generator: torch.Generator) -> tuple[ClassLogits, Tensor]:
        """The rows that the teacher chooses, and (B, N, C) its probabilities of them."""
        rows = self.adapter.class_logits(batch)
        target = probabilities(rows)
        columns = [c for c in range(target.shape[2]) if c != rows.background]
        best = target[..., columns].amax(-1)
        sure = best[rows.valid & (best >= self.confidence)]
        options = self.settings.options
        if len(sure) and float(sure.mean()) < options["augment_below"]:
            copies = [
                probabilities(self.adapter.class_logits(_augmented(batch, generator), like=rows))
                for _ in range(options["augmentations"])
            ]
            target = torch.stack([target, *copies]).mean(0)
        return replace(rows, logits=rows.logits.detach()), target


def _augmented(batch: Tensor, generator: torch.Generator) -> Tensor:
    """Images of other contrast and brightness, with noise; in units of each image's own spread."""
    drawn = torch.rand(len(batch), 2, 1, 1, 1, generator=generator).to(batch)
    noise = torch.randn(batch.shape, generator=generator).to(batch)
    mean = batch.mean(dim=(1, 2, 3), keepdim=True)
    spread = batch.std(dim=(1, 2, 3), keepdim=True)
    contrast, brightness = 0.8 + 0.4 * drawn[:, 0], 0.4 * drawn[:, 1] - 0.2
    augmented: Tensor = (batch - mean) * contrast + mean + brightness * spread + 0.05 * spread * noise
    return augmented
