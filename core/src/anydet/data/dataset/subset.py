"""``FirstImages``: the beginning of a data set, as a data set."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path

from anydet.data.dataset.fingerprint import Fingerprint
from anydet.data.dataset.protocols import Dataset
from anydet.data.record.record import Record
from anydet.types import ClassTable, GroundTruthColumns


@dataclass(frozen=True, slots=True, eq=False)
class FirstImages:
    """The first images of a data set.

    Attributes:
        whole: the data set.
        count: how many of its images, at most.
    """

    whole: Dataset
    count: int

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
        return f"{self.whole.note}, the first {len(self)} of {len(self.whole)}"

    @property
    def keys(self) -> tuple[str, ...]:
        """Keys of these images in their fixed order."""
        return self.whole.keys[: self.count]

    @property
    def classes(self) -> ClassTable | None:
        """Class table of the whole."""
        return self.whole.classes

    @property
    def source(self) -> str:
        """Where the ground truth comes from."""
        return self.whole.source

    def __len__(self) -> int:
        return min(self.count, len(self.whole))

    def __getitem__(self, index: int) -> Record:
        if not -len(self) <= index < len(self):
            raise IndexError(index)
        return self.whole[index % len(self)]

    def __iter__(self) -> Iterator[Record]:
        return (self.whole[index] for index in range(len(self)))

    def fingerprint(self) -> str:
        """``sha256:...`` of the whole and of how many there are."""
        print_ = Fingerprint()
        print_.add(self.whole.fingerprint())
        print_.add(str(len(self)))
        return str(print_)

    def ground_truth(self, max_images: int | None = None) -> GroundTruthColumns:
        """Annotations of these images, or of the first ``max_images``."""
        return self.whole.ground_truth(len(self) if max_images is None else min(max_images, len(self)))
