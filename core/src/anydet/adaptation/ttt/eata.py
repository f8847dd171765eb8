"""``eata``: entropy of images that are sure and new, without forgetting the source."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any, ClassVar

import torch
from torch import Tensor
from torch.nn import functional as F  # noqa: N812 - everybody's name for it

from anydet.adaptation.ttt.entropy import Confident, confident_rows
from anydet.adaptation.ttt.method import Defaults, GradientMethod
from anydet.adaptation.ttt.source_statistics import SourceStatistics, collect_statistics
from anydet.data.dataset.protocols import Dataset
from anydet.data.record.record import Record
from anydet.plugins.adapter import Adapter


class EfficientAntiForgetting(GradientMethod):
    """Tent on reliable and not redundant images, held to the source by Fisher information.

    Niu et al. 2022, "Efficient Test-Time Model Adaptation without Forgetting" (EATA). It differs in that
    the entropy of an image is the mean of its confident rows, and its distribution the mean of theirs; that
    images are redundant by a cosine near 1, since detections of few classes are never as far apart as a
    thousand classes of ImageNet (there: above 0.05); and that Fisher information is that of confident rows.
    """

    name: ClassVar[str] = "eata"
    one_pass: ClassVar[bool] = True
    defaults: ClassVar[Defaults] = Defaults()

    def prepare(self, adapter: Adapter, source: Dataset | None = None) -> None:
        """Read or collect the Fisher information, where there are source images."""
        self._source = source
        super().prepare(adapter, source)

    def start(self) -> None:
        """Fisher information of the parameters that change; without source data there is none."""
        self._unreliable = self._redundant = 0
        self._fisher: Mapping[str, Tensor] = {}
        if self.settings.statistics is not None:
            statistics = SourceStatistics.read(self.settings.statistics)
            statistics.require_written_for(self.adapter, self.settings.statistics)
            self._fisher = statistics.fisher
        elif self._source is not None:
            self._fisher = collect_statistics(
                self.adapter, self._source, images=256, confidence=self.confidence, fisher_of=self.parameters
            ).fisher
        self._anchors = {name: self._first.tensors[name] for name in self.parameters if name in self._fisher}

    def reset_own(self) -> None:
        """A new optimizer, and no image seen."""
        super().reset_own()
        self._mean: Tensor | None = None
        self._before: Tensor | None = None
        self._streak = 0

    def loss(self, batch: Tensor, generator: torch.Generator) -> Tensor | None:
        """Weighted entropy of the images that count, and what forgetting costs."""
        del generator
        rows = confident_rows(self.adapter.class_logits(batch), self.confidence)
        entropy, there = rows.of_images()
        margin = self.settings.options["entropy_margin"] * rows.largest
        counted = there & (entropy.detach() < margin)
        self._unreliable += int((~counted).sum())
        counted = self._new(rows, counted)
        if not counted.any():
            return None
        weights = torch.exp(margin - entropy[counted].detach())
        loss = (weights * entropy[counted]).mean()
        return loss + self.settings.options["fisher_weight"] * self._forgetting() if self._anchors else loss

    def learn(self, batches: Sequence[Tensor], records: Sequence[Record]) -> dict[str, float]:
        """As the base; a streak of batches in which no image counts ends adaptation."""
        # Of the batches before: later steps see the same images again.
        self._before = self._mean
        numbers = super().learn(batches, records)
        self._streak = 0 if "loss" in numbers else self._streak + 1
        if self._streak >= self.settings.options["max_skips"]:
            self.tally.stop_reason = "skip_streak"
        return numbers

    def save_own(self) -> Any:
        """Mean distribution of the images so far."""
        return self._mean

    def load_own(self, own: Any) -> None:
        """Put it back."""
        self._mean = own

    def own_report(self) -> Mapping[str, Any]:
        """Images that did not count, and whether forgetting is penalized."""
        return {
            "unreliable": self._unreliable,
            "redundant": self._redundant,
            "fisher_parameters": len(self._anchors),
        }

    def _new(self, rows: Confident, counted: Tensor) -> Tensor:
        """Those of the images whose distribution is not that of the images before."""
        found = rows.distributions()
        if self._before is not None:
            similar = F.cosine_similarity(found, self._before[None], dim=1)
            redundant = counted & (similar > 1 - self.settings.options["redundancy"])
            self._redundant += int(redundant.sum())
            counted = counted & ~redundant
        if counted.any():
            mean = found[counted].mean(0)
            self._mean = mean if self._before is None else 0.9 * self._before + 0.1 * mean
        return counted

    def _forgetting(self) -> Tensor:
        costs = [
            (self._fisher[name].to(anchor) * (self.parameters[name] - anchor).square()).sum()
            for name, anchor in self._anchors.items()
        ]
        return torch.stack(costs).sum()
