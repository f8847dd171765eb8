"""``InMemory``: a data set whose images and class masks are read once and then kept."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass, replace
from functools import cached_property
from pathlib import Path

import numpy as np
from numpy.typing import NDArray

from anydet.data.dataset.protocols import Dataset
from anydet.data.record.pixels import ImageArray
from anydet.data.record.record import Record
from anydet.types import ClassTable, GroundTruthColumns, IntArray


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
class InMemory:
    """A small data set that is read many times, or scenes that are painted once.

    What it says of itself is what the whole says; ``read`` makes one.

    Attributes:
        whole: the data set.
        records: of the whole, in its order; their pixels and class masks lie in memory.
    """

    whole: Dataset
    records: tuple[Record, ...]

    @classmethod
    def read(cls, dataset: Dataset) -> InMemory:
        """All images of a data set; raises ``DatasetError`` or ``ImageError`` where one cannot be read."""
        return cls(dataset, tuple(map(kept, dataset)))

    @property
    def root(self) -> Path:
        """The folder or file that was opened."""
        return self.whole.root

    @property
    def split(self) -> str:
        """Name of the split."""
        return self.whole.split

    @property
    def note(self) -> str:
        """What was chosen, for people."""
        return self.whole.note

    @property
    def keys(self) -> tuple[str, ...]:
        """Keys of the images in their fixed order."""
        return self.whole.keys

    @property
    def classes(self) -> ClassTable | None:
        """Class table of the whole."""
        return self.whole.classes

    @property
    def source(self) -> str:
        """Where the ground truth comes from."""
        return self.whole.source

    def __len__(self) -> int:
        return len(self.records)

    def __getitem__(self, index: int) -> Record:
        return self.records[index]

    def __iter__(self) -> Iterator[Record]:
        return iter(self.records)

    def fingerprint(self) -> str:
        """``sha256:...`` of the whole; looked at once."""
        return self._fingerprint

    def ground_truth(self, max_images: int | None = None) -> GroundTruthColumns:
        """Annotations of the first ``max_images`` images."""
        return self.whole.ground_truth(max_images)

    @cached_property
    def _fingerprint(self) -> str:
        return self.whole.fingerprint()


def kept(record: Record) -> Record:
    """The same record; its source image and class mask are read now and never again."""
    mask = record.class_mask
    read = replace(record, pixels=ImageArray(record.pixels.read()))
    return read if mask is None else replace(read, class_mask=KeptMask(mask.read().astype(np.int16)))
