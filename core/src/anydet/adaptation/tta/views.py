"""The views that core brings."""

from __future__ import annotations

import hashlib
from collections.abc import Sequence

import numpy as np

from anydet.data.record.record import Record
from anydet.data.record.transforms import HorizontalFlip
from anydet.prediction.hooks import TTASettings


class Original:
    """The image as it is."""

    def __init__(self, settings: TTASettings) -> None:
        del settings

    def apply(self, record: Record) -> Sequence[Record]:
        """The record itself."""
        return (record,)


class Mirrored:
    """The image mirrored left and right."""

    def __init__(self, settings: TTASettings) -> None:
        del settings

    def apply(self, record: Record) -> Sequence[Record]:
        """The mirrored record."""
        return (record.derive(HorizontalFlip()),)


class RandomlyMirrored:
    """The image mirrored left and right, with probability ``settings.flip_prob``; else as it is.

    The choice depends on the seed and the record's key alone.
    """

    def __init__(self, settings: TTASettings) -> None:
        self._seed, self._probability = settings.seed, settings.flip_prob

    def apply(self, record: Record) -> Sequence[Record]:
        """The mirrored record, or the record itself."""
        digest = hashlib.sha256(record.key.encode()).digest()
        draw = np.random.default_rng([self._seed, int.from_bytes(digest[:8], "little")]).random()
        return (record.derive(HorizontalFlip()) if draw < self._probability else record,)
