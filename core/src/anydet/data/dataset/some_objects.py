"""``SomeObjects``: a data set with the annotations of some sizes alone. Nothing is copied."""

from __future__ import annotations

import math
from dataclasses import dataclass, replace

from anydet.data.dataset.base import DatasetView
from anydet.data.dataset.fingerprint import Fingerprint
from anydet.data.record.record import Record
from anydet.types import BoolArray, FloatArray, GroundTruthColumns


@dataclass(frozen=True, eq=False)
class SomeObjects(DatasetView):
    """A data set whose annotations have an area in a range; images stay, those without any, too.

    Attributes:
        least_px: smallest area in square pixels, as the source states it, else that of the mask or the box.
        most_px: largest area.
    """

    least_px: float = 0.0
    most_px: float = math.inf

    @property
    def note(self) -> str:
        """What was chosen, as it is printed."""
        return f"{self.dataset.note}, areas of {self.least_px:g} to {self.most_px:g} px"

    def record(self, position: int) -> Record:
        """The record with these annotations alone."""
        record = self.dataset[position]
        if record.labels is None:
            return record
        return replace(record, labels=record.labels.take(self._chosen(record.labels.areas)))

    def fingerprint(self) -> str:
        """``sha256:...`` of the whole data set and the range."""
        found = Fingerprint()
        for text in (self.dataset.fingerprint(), repr(self.least_px), repr(self.most_px)):
            found.add(text)
        return str(found)

    def ground_truth(self, max_images: int | None = None) -> GroundTruthColumns:
        """These annotations."""
        truth = self.dataset.ground_truth(max_images)
        chosen = self._chosen(truth.labels.areas)
        return replace(truth, image_index=truth.image_index[chosen], labels=truth.labels.take(chosen))

    def _chosen(self, areas: FloatArray) -> BoolArray:
        chosen: BoolArray = (areas >= self.least_px) & (areas <= self.most_px)
        return chosen
