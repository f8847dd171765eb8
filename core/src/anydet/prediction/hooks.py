"""What adaptation hands to the pipeline: views (test-time augmentation) and methods (test-time training)."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Protocol

from anydet.data.record import Record
from anydet.plugins.adapter import Adapter
from anydet.types import ImagePredictions


class View(Protocol):
    """One way of looking at an image. Registered by name through ``register_views``."""

    def apply(self, record: Record) -> Record:
        """The record that the adapter shall see; usually ``record.derive(...)``."""

    def undo(self, predictions: ImagePredictions) -> ImagePredictions:
        """Results on the view, mapped back to the original image."""


class TTTMethod(Protocol):
    """A way of training on the test images. Registered by name through ``register_ttt_methods``."""

    def prepare(self, adapter: Adapter) -> None:
        """Once, before the first chunk: keep what ``restore`` needs."""

    def adapt(self, records: Sequence[Record]) -> None:
        """Change the adapter's model for this chunk, before it predicts."""

    def restore(self) -> None:
        """Once, at the end, also after an error: put the model back."""
