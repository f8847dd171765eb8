"""The test-time training method."""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np

from anydet.data.record.record import Record
from anydet.errors import UnsupportedError
from anydet.plugins.adapter import Adapter
from anydet.prediction.hooks import TTTSettings
from anydet_mirror.adapter import Bright


class Brightness:
    """Sets the threshold of ``bright`` halfway between the darkest and brightest pixel of each chunk."""

    def __init__(self, settings: TTTSettings) -> None:
        self.settings = settings

    def prepare(self, adapter: Adapter) -> None:
        """Keep the adapter's own threshold."""
        if not isinstance(adapter, Bright):
            raise UnsupportedError(adapter.name, "brightness", others=("bright",))
        self._model, self._kept = adapter.model, adapter.model.threshold

    def adapt(self, records: Sequence[Record]) -> None:
        """Fit the threshold to a chunk."""
        pixels = np.concatenate([record.image().mean(axis=2).ravel() for record in records])
        self._model.threshold = float(pixels.min() + pixels.max()) / 2

    def restore(self) -> None:
        """Put the adapter's own threshold back."""
        self._model.threshold = self._kept
