"""The test-time training methods."""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from contextlib import contextmanager
from typing import Any

import numpy as np

from anydet.data.dataset.protocols import Dataset
from anydet.data.record.record import Record
from anydet.errors import UnsupportedError
from anydet.plugins.adapter import Adapter
from anydet.prediction.hooks import TTTDescription, TTTMethod
from anydet_mirror.adapter import Bright


class Brightness(TTTMethod):
    """Sets the threshold of ``bright`` halfway between the darkest and brightest pixel of each chunk.

    Where the run has a source data set, halfway between the means of its images' darkest and brightest
    pixels.
    """

    def prepare(self, adapter: Adapter, source: Dataset | None = None) -> None:
        """Keep the adapter's own threshold."""
        if not isinstance(adapter, Bright):
            raise UnsupportedError(adapter.name, "brightness", others=("bright",))
        self._model, self._kept = adapter.model, adapter.model.threshold
        self._steps: list[float] = []
        self._source = None if source is None else np.mean([_middle(record) for record in source])

    def adapt(self, records: Sequence[Record]) -> None:
        """Fit the threshold to a chunk."""
        lift = float(self.settings.options["lift"])
        found = np.mean([_middle(record) for record in records]) if self._source is None else self._source
        self._model.threshold = float(found) + lift
        self._steps.append(self._model.threshold)

    def restore(self) -> None:
        """Put the adapter's own threshold back."""
        self._model.threshold = self._kept

    def describe(self) -> TTTDescription:
        """One step a chunk, without a learning rate."""
        return TTTDescription(steps=1, batch_size=self.min_images, update_filter="all")

    def report(self) -> Mapping[str, Any]:
        """The threshold of each chunk."""
        return {"thresholds": self._steps}


class Teacher(Brightness):
    """Fits the threshold of a teacher, which predicts; the student's own threshold never changes."""

    def adapt(self, records: Sequence[Record]) -> None:
        """Fit the teacher."""
        super().adapt(records)
        self._teacher, self._model.threshold = self._model.threshold, self._kept

    @contextmanager
    def predicting(self) -> Iterator[None]:
        """With the teacher's threshold."""
        student, self._model.threshold = self._model.threshold, self._teacher
        try:
            yield
        finally:
            self._model.threshold = student


def _middle(record: Record) -> float:
    image = record.image().mean(axis=2)
    return float(image.min() + image.max()) / 2
