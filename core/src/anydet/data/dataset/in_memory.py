"""``InMemory``: a data set whose images and class masks are read once and then kept."""

from __future__ import annotations

from dataclasses import dataclass, replace
from functools import cached_property

import numpy as np
from numpy.typing import NDArray

from anydet.data.dataset.base import DatasetView
from anydet.data.dataset.protocols import Dataset
from anydet.data.record.pixels import ImageArray
from anydet.data.record.record import Record
from anydet.types import IntArray


@dataclass(frozen=True, slots=True, eq=False)
class KeptMask:
    """A class mask in memory.

    Attributes:
        array: (H, W) int16 class of each pixel, -1 where unlabeled.
    """

    array: NDArray[np.int16]

    def read(self) -> IntArray:
        """(H, W) class of each pixel, -1 where unlabeled."""
        return self.array.astype(np.int64)


@dataclass(frozen=True, eq=False)
class InMemory(DatasetView):
    """A small data set that is read many times, or scenes that are painted once; ``read`` makes one.

    Attributes:
        records: of the data set, in its order; their pixels and class masks are in memory.
    """

    records: tuple[Record, ...]

    @classmethod
    def read(cls, dataset: Dataset) -> InMemory:
        """All images of a data set; raises ``DatasetError`` or ``ImageError`` where one cannot be read."""
        return cls(dataset, tuple(map(kept, dataset)))

    def __len__(self) -> int:
        return len(self.records)

    def record(self, position: int) -> Record:
        """An image whose pixels and class mask are in memory."""
        return self.records[position]

    def fingerprint(self) -> str:
        """``sha256:...`` of the data set, whose annotations are read once."""
        return self._fingerprint

    @cached_property
    def _fingerprint(self) -> str:
        return self.dataset.fingerprint()


def kept(record: Record) -> Record:
    """The same record; its source image and class mask are read now and never again."""
    mask = record.class_mask
    # Class masks are kept as int16, which is a quarter of what ``read`` gives.
    read = replace(record, pixels=ImageArray(record.pixels.read()))
    return read if mask is None else replace(read, class_mask=KeptMask(mask.read().astype(np.int16)))
