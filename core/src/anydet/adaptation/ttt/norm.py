"""``norm``: re-estimated statistics of norms, and nothing else."""

from __future__ import annotations

from collections.abc import Sequence
from typing import ClassVar

import torch
from torch import Tensor

from anydet.adaptation.ttt.method import Defaults, ModelMethod
from anydet.data.record.record import Record
from anydet.errors import OptionError


class Norm(ModelMethod):
    """Running means and variances of batch norms follow the images; no parameter changes.

    Schneider et al. 2020, "Improving robustness against common corruptions by covariate shift adaptation". It
    differs in that statistics are mixed batch by batch with a momentum, where the paper weighs source and
    test batch by pseudo-counts once; that norms normalize by the mixed statistics, not by the batch; and that
    by default only those of the backbone are re-estimated: behind it, statistics depend on what the images
    show as much as on how they look.
    """

    name: ClassVar[str] = "norm"
    defaults: ClassVar[Defaults] = Defaults(steps=0, lr=0.0, update_filter="none")

    def choose_parameters(self) -> dict[str, torch.nn.Parameter]:
        """None."""
        return {}

    def start(self) -> None:
        """Refuse a model that has no such statistics."""
        if self.statistics.norms and self.statistics.momentum:
            return
        if self.statistics.norms:
            raise OptionError("norm with momentum 0 does nothing", fix="leave out --ttt-option momentum=0")
        kinds = sorted(
            {kind for module in self.model.modules() if (kind := type(module).__name__).endswith("Norm")}
        )
        where = "" if self.scope.include is None else f" in {', '.join(self.scope.include)}"
        raise OptionError(
            f"norm has nothing to re-estimate: the model has no norm with running statistics{where}"
            + (f" ({', '.join(kinds)} have none)" if kinds else ""),
            fix="choose another method: --ttt-preset align_safe, or train the model with batch norms",
        )

    def learn(self, batches: Sequence[Tensor], records: Sequence[Record]) -> dict[str, float]:
        """One pass through the norms."""
        self.follow(batches)
        return {}
