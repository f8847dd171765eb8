"""The view."""

from __future__ import annotations

from anydet.data.record.record import Record
from anydet.data.record.transforms import HorizontalFlip
from anydet.prediction.hooks import TTASettings
from anydet.types import ImagePredictions


class Mirror:
    """The image mirrored left and right; results are mirrored back."""

    def __init__(self, settings: TTASettings) -> None:
        del settings
        self._flip = HorizontalFlip()

    def apply(self, record: Record) -> Record:
        """The mirrored record."""
        return record.derive(self._flip)

    def undo(self, predictions: ImagePredictions) -> ImagePredictions:
        """Mirrored back; mirroring keeps the size."""
        return self._flip.undo(predictions, predictions.size_wh)
