"""The views that core brings."""

from __future__ import annotations

import hashlib

import numpy as np

from anydet.data.record.record import Record
from anydet.data.record.transforms import HorizontalFlip
from anydet.prediction.hooks import TTASettings
from anydet.types import ImagePredictions


class Original:
    """The image as it is."""

    def __init__(self, settings: TTASettings) -> None:
        del settings

    def apply(self, record: Record) -> Record:
        """The record itself."""
        return record

    def undo(self, predictions: ImagePredictions) -> ImagePredictions:
        """The predictions themselves."""
        return predictions


class RandomHorizontalFlip:
    """The image mirrored left and right, with probability ``settings.flip_prob``; else as it is.

    The choice depends on the seed and the record's key alone.
    """

    def __init__(self, settings: TTASettings) -> None:
        self._seed, self._probability = settings.seed, settings.flip_prob
        self._flip = HorizontalFlip()

    def apply(self, record: Record) -> Record:
        """The mirrored record, or the record itself."""
        digest = hashlib.sha256(record.key.encode()).digest()
        draw = np.random.default_rng([self._seed, int.from_bytes(digest[:8], "little")]).random()
        return record.derive(self._flip) if draw < self._probability else record

    def undo(self, predictions: ImagePredictions) -> ImagePredictions:
        """Mirrored back."""
        return self._flip.undo(predictions, predictions.size_wh)
