"""The smallest detector with a model that can be changed while it lives."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from dataclasses import dataclass

import numpy as np

from anydet.data.record.record import Record
from anydet.plugins.adapter import Adapter
from anydet.types import AdapterSettings, ClassTable, ImagePredictions


@dataclass
class Model:
    """All that ``Bright`` can learn.

    Attributes:
        threshold: brightness in 0..255 above which a pixel belongs to the object.
    """

    threshold: float


class Bright(Adapter):
    """One box around all pixels brighter than the model's threshold, scored by how bright they are."""

    def __init__(self, settings: AdapterSettings) -> None:
        super().__init__(settings)
        self.model = Model(float(settings.options.get("threshold", 200.0)))

    @property
    def classes(self) -> ClassTable:
        """One class."""
        return ClassTable(("bright",))

    def predict(self, records: Sequence[Record]) -> Iterator[ImagePredictions]:
        """One result a record, in their order."""
        for record in records:
            image = record.image().mean(axis=2)
            rows, columns = np.nonzero(image > self.model.threshold)
            if not len(rows):
                yield ImagePredictions.empty(record.key, record.size_wh)
                continue
            box = [columns.min(), rows.min(), columns.max() + 1, rows.max() + 1]
            yield ImagePredictions(
                record.key,
                record.size_wh,
                np.array([box], np.float64),
                np.array([image[rows, columns].mean() / 255.0]),
                np.zeros(1, np.int64),
            )
