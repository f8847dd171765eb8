"""The view."""

from __future__ import annotations

from collections.abc import Sequence

from anydet.data.record.record import Record
from anydet.data.record.transforms import HorizontalFlip
from anydet.prediction.hooks import ViewSettings


class Mirror:
    """The image mirrored left and right."""

    def __init__(self, settings: ViewSettings) -> None:
        del settings

    def apply(self, record: Record) -> Sequence[Record]:
        """The mirrored record."""
        return (record.derive(HorizontalFlip()),)
