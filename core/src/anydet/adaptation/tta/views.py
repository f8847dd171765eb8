"""The views that core brings."""

from __future__ import annotations

import math
from collections.abc import Sequence

import numpy as np

from anydet.data.record.chance import record_generator
from anydet.data.record.record import Record
from anydet.data.record.transforms import (
    Crop,
    HorizontalFlip,
    QuarterTurns,
    Resize,
    VerticalFlip,
    mirrored_pairs,
)
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
        draw = record_generator(self._seed, record.key).random()
        return super().apply(record) if draw < self._probability else (record,)


class UpsideDown:
    """The image mirrored top and bottom."""

    def __init__(self, settings: ViewSettings) -> None:
        self._flip = VerticalFlip(mirrored_pairs(settings.keypoint_names))

    def apply(self, record: Record) -> Sequence[Record]:
        """The mirrored record."""
        return (record.derive(self._flip),)


class Turned:
    """The image turned counterclockwise by ``turns`` times 90 degrees."""

    def __init__(self, settings: ViewSettings) -> None:
        self._turn = QuarterTurns(int(settings.options["turns"]))

    def apply(self, record: Record) -> Sequence[Record]:
        """The turned record."""
        return (record.derive(self._turn),)


class Scaled:
    """The image made larger or smaller by ``factor``; at least one pixel wide and high."""

    def __init__(self, settings: ViewSettings) -> None:
        self._factor = float(settings.options["factor"])

    def apply(self, record: Record) -> Sequence[Record]:
        """The scaled record, or the record itself where its size stays."""
        width, height = (max(1, round(side * self._factor)) for side in record.size_wh)
        return (record if (width, height) == record.size_wh else record.derive(Resize((width, height))),)


class Sliced:
    """Square windows of ``size`` pixels that cover the image, for objects that are small on it.

    Neighbors overlap by at least ``overlap`` of their side; the windows stand at equal distances, the first
    and the last at the image's edges. The idea is slicing aided inference (Akyon et al. 2022, "Slicing Aided
    Hyper Inference and Fine-tuning for Small Object Detection").
    """

    def __init__(self, settings: ViewSettings) -> None:
        self._size = int(settings.options["size"])
        self._overlap = float(settings.options["overlap"])

    def apply(self, record: Record) -> Sequence[Record]:
        """A record a window, row by row; the record itself where one window would be the image."""
        width, height = record.size_wh
        size = (min(self._size, width), min(self._size, height))
        if size == (width, height):
            return (record,)
        across, down = (self._starts(side) for side in (width, height))
        return [record.derive(Crop(x, y, size)) for y in down for x in across]

    def _starts(self, side: int) -> list[int]:
        """Where windows begin along a side of the image."""
        room = side - self._size
        if room <= 0:
            return [0]
        # Less a little, so that rounding adds no window where they fit exactly.
        steps = math.ceil(room / (self._size * (1 - self._overlap)) - 1e-9)
        return [round(start) for start in np.linspace(0, room, 1 + steps).tolist()]
