"""``align``: features of the test images get the statistics of the source's."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any, ClassVar

import torch
from torch import Tensor

from anydet.adaptation.ttt.adaptors import Adaptors
from anydet.adaptation.ttt.method import Defaults, GradientMethod, SkipBatchError
from anydet.adaptation.ttt.source_statistics import (
    SourceStatistics,
    class_logits_of,
    class_means,
    collect_statistics,
    image_features,
    object_features,
    object_level,
)
from anydet.data.dataset.protocols import Dataset
from anydet.errors import OptionError
from anydet.plugins.adapter import Adapter
from anydet.prediction.hooks import TTTSettings


class Align(GradientMethod):
    """Matches moving averages of features of images and of objects with statistics of source images.

    Yoo et al. 2024, "What, How, and When Should Object Detectors Update in Continually Changing Test
    Domains?": both levels of alignment, parallel adaptors, and the gate. It differs in that covariances are
    diagonal; that by default norms change and their statistics are re-estimated, with the adaptors as an
    option; that objects are pooled at boxes of confident rows, in the finest level; and that classes count
    alike. Kin: Mirza et al. 2023, "ActMAD: Activation Matching to Align Distributions for
    Test-Time-Training".
    """

    name: ClassVar[str] = "align"
    defaults: ClassVar[Defaults] = Defaults(lr=1e-3)

    def __init__(self, settings: TTTSettings) -> None:
        super().__init__(settings)
        self._adaptors: Adaptors | None = None
        if settings.options["adaptors"]:
            self.update_filter = "adapter_only"

    def prepare(self, adapter: Adapter, source: Dataset | None = None) -> None:
        """Read the statistics of the source, or take them of a few of its images."""
        settings, options = self.settings, self.settings.options
        if settings.statistics is not None:
            self._statistics = SourceStatistics.read(settings.statistics)
            self._statistics.require_written_for(adapter, settings.statistics)
        elif source is not None:
            self._statistics = collect_statistics(
                adapter, source, images=options["source_images"], confidence=self.confidence
            )
        else:
            raise OptionError(
                "align needs statistics of the source data",
                fix="add --ttt-statistics FILE ('anydet ttt-statistics' writes it), or --ttt-source DATASET",
            )
        if options["adaptors"]:
            scope = self.read_scope(adapter)
            self._adaptors = Adaptors.insert(
                adapter.get_model(), scope, options["adaptor_ratio"], settings.seed
            )
        try:
            super().prepare(adapter, source)
        except BaseException:
            self._remove_adaptors()
            raise

    def start(self) -> None:
        """The statistics on the model's device."""
        self._statistics = self._statistics.on(next(self.model.parameters()).device)
        self._source = self.settings.statistics or "--ttt-source"

    def restore(self) -> None:
        """Put the model back, without adaptors."""
        super().restore()
        self._remove_adaptors()

    def _remove_adaptors(self) -> None:
        if self._adaptors is not None:
            self._adaptors.remove()

    def reset_own(self) -> None:
        """A new optimizer; averages begin at the source."""
        super().reset_own()
        self._images: dict[str, Tensor] = {level: m.mean for level, m in self._statistics.images.items()}
        objects = self._statistics.objects
        self._objects = None if objects is None else objects.mean
        self._mean_gap: float | None = None

    def loss(self, batch: Tensor, generator: torch.Generator) -> Tensor | None:
        """Divergence of images, and of objects, from the source."""
        del generator
        levels = self.adapter.features(batch)
        self._statistics.require_of(levels, self._source)
        options = self.settings.options
        self._require_gap(levels)
        loss: Tensor = options["image_weight"] * self._image_loss(levels)
        if options["object_weight"] and self._objects is not None:
            objects = self._object_loss(levels, batch)
            loss = loss if objects is None else loss + options["object_weight"] * objects
        return loss

    def save_own(self) -> Any:
        """The moving averages."""
        return dict(self._images), self._objects, self._mean_gap

    def load_own(self, own: Any) -> None:
        """Put them back."""
        images, self._objects, self._mean_gap = own
        self._images = dict(images)

    def own_report(self) -> Mapping[str, Any]:
        """What the statistics are of, and the gap of source images."""
        return {"source_statistics": dict(self._statistics.about), "source_gap": self._statistics.gap}

    def _image_loss(self, levels: Mapping[str, Tensor]) -> Tensor:
        losses = []
        for level, values in levels.items():
            average = self._moved(self._images[level], image_features(values).mean(0))
            self._images[level] = average.detach()
            losses.append(self._statistics.images[level].divergence(average))
        return torch.stack(losses).mean()

    def _object_loss(self, levels: Mapping[str, Tensor], batch: Tensor) -> Tensor | None:
        with torch.no_grad():
            rows = class_logits_of(self.adapter, batch)
        source = self._statistics.objects
        if rows is None or rows.boxes is None or source is None or self._objects is None:
            return None
        features, ids = object_features(object_level(levels), rows, batch, self.confidence)
        means, counts = class_means(features, ids, len(self._objects))
        # Of classes that the source shows, too.
        there = (counts > 0) & (self._statistics.counts > 0)
        if not there.any():
            return None
        averages = torch.where(there[:, None], self._moved(self._objects, means), self._objects)
        self._objects = averages.detach()
        return source.divergence(averages)[there].mean()

    def _moved(self, average: Tensor, values: Tensor) -> Tensor:
        return torch.lerp(average, values, self.settings.options["average"])

    def _require_gap(self, levels: Mapping[str, Tensor]) -> None:
        """Skip a batch that is as near to the source as source images are, and no farther than before."""
        with torch.no_grad():
            gaps = [
                self._statistics.images[level].divergence(image_features(values).mean(0))
                for level, values in levels.items()
            ]
        gap = float(torch.stack(gaps).mean())
        mean, options = self._mean_gap, self.settings.options
        self._mean_gap = gap if mean is None else 0.9 * mean + 0.1 * gap
        small = gap < options["gap_ratio"] * self._statistics.gap
        if small and (mean is None or gap < options["rise_ratio"] * mean):
            raise SkipBatchError("no_gap")
