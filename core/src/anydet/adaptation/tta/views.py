"""The views that core brings."""

from __future__ import annotations

import hashlib
from collections.abc import Sequence

import numpy as np

from anydet.data.record.record import Record
from anydet.data.record.transforms import HorizontalFlip, Resize
from anydet.prediction.hooks import ViewSettings


class Original:
    """The image as it is."""

    def __init__(self, settings: ViewSettings) -> None:
        del settings

    def apply(self, record: Record) -> Sequence[Record]:
        """The record itself."""
        return (record,)


class Mirrored:
    """The image mirrored left and right."""

    def __init__(self, settings: ViewSettings) -> None:
        self._flip = HorizontalFlip(mirrored_pairs(settings.keypoint_names))

    def apply(self, record: Record) -> Sequence[Record]:
        """The mirrored record."""
        return (record.derive(self._flip),)


class RandomlyMirrored(Mirrored):
    """The image mirrored left and right, with probability ``flip_prob``; else as it is.

    The choice depends on the seed and the record's key alone.
    """

    def __init__(self, settings: ViewSettings) -> None:
        super().__init__(settings)
        self._seed, self._probability = settings.seed, float(settings.options["flip_prob"])

    def apply(self, record: Record) -> Sequence[Record]:
        """The mirrored record, or the record itself."""
        digest = hashlib.sha256(record.key.encode()).digest()
        draw = np.random.default_rng([self._seed, int.from_bytes(digest[:8], "little")]).random()
        return super().apply(record) if draw < self._probability else (record,)


class Scaled:
    """The image made larger or smaller by ``factor``; at least one pixel wide and high."""

    def __init__(self, settings: ViewSettings) -> None:
        self._factor = float(settings.options["factor"])

    def apply(self, record: Record) -> Sequence[Record]:
        """The scaled record, or the record itself where its size stays."""
        width, height = (max(1, round(side * self._factor)) for side in record.size_wh)
        return (record if (width, height) == record.size_wh else record.derive(Resize((width, height))),)


def mirrored_pairs(keypoint_names: Sequence[str]) -> tuple[tuple[int, int], ...]:
    """(left, right) positions of names that differ only in these words: ``left_eye`` and ``right_eye``."""
    positions = {name.lower(): i for i, name in enumerate(keypoint_names)}
    pairs = (
        (i, positions.get(name.replace("left", "right"))) for name, i in positions.items() if "left" in name
    )
    return tuple((left, right) for left, right in pairs if right is not None)
