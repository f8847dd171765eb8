"""``BaseDataset``: what all data sets have in common; ``DatasetView`` and ``SomeImages``: parts of others."""

from __future__ import annotations

from abc import ABC, abstractmethod
from collections.abc import Iterable, Iterator
from pathlib import Path
from typing import TYPE_CHECKING, cast, overload

import numpy as np

from anydet.dataclass import dataclass
from anydet.errors import did_you_mean
from anydet.text import counted, quoted
from anydet.types import ClassTable, GroundTruthColumns

if TYPE_CHECKING:
    from anydet.data.dataset.oddities import Oddity
    from anydet.data.dataset.protocols import Dataset
    from anydet.data.record.record import Record


class BaseDataset(ABC):
    """Base of classes that implement ``Dataset``: a subclass has ``keys`` and builds the record of each."""

    __slots__ = ()

    if TYPE_CHECKING:
        # Only declared. Many subclasses are dataclasses with a field ``keys``, and a property of that name
        # in their base would become the default of the field.
        @property
        def keys(self) -> tuple[str, ...]:
            """Keys of all images in their fixed order."""

    def __len__(self) -> int:
        return len(self.keys)

    @overload
    def __getitem__(self, index: int | str) -> Record: ...
    @overload
    def __getitem__(self, index: slice) -> Dataset: ...
    def __getitem__(self, index: int | str | slice) -> Record | Dataset:
        if isinstance(index, slice):
            return SomeImages(cast("Dataset", self), tuple(range(len(self))[index]))
        if isinstance(index, str):
            return self.record(self._position(index))
        return self.record(range(len(self))[index])  # counts from the end, and raises IndexError beyond it

    def _position(self, key: str) -> int:
        """Where an image is; raises ``KeyError``, as dictionaries do, with what is close."""
        try:
            return self.keys.index(key)
        except ValueError:
            raise KeyError(f"no image {quoted(key)}{did_you_mean(key, self.keys)}") from None

    def __iter__(self) -> Iterator[Record]:
        return map(self.record, range(len(self)))

    def fingerprint(self) -> str:
        """``sha256:...`` over keys in order and annotations."""
        # hashlib starts OpenSSL, which evaluation of a COCO file has no need of.
        from anydet.data.dataset.fingerprint import Fingerprint

        found = Fingerprint()
        for position, key in enumerate(self.stated_keys()):
            found.add(key)
            for content in self.annotations_of(position):
                found.add(content)
        for content in self.annotations_of_all():
            found.add(content)
        return str(found)

    def stated_keys(self) -> tuple[str, ...]:
        """The keys, or what the annotations say in place of them, wherever the images are."""
        return self.keys

    @abstractmethod
    def record(self, position: int) -> Record:
        """The record at a position, 0 to ``len(self) - 1``."""

    @abstractmethod
    def ground_truth(self, max_images: int | None = None) -> GroundTruthColumns:
        """Annotations of the first ``max_images`` images."""

    def annotations_of(self, position: int) -> Iterable[bytes | str | None]:
        """Annotations stored for one image alone, for the fingerprint; ``None`` for a missing file."""
        return ()

    def annotations_of_all(self) -> Iterable[bytes | None]:
        """Annotations stored for many images together, for the fingerprint."""
        return ()


@dataclass(frozen=True, eq=False)
class DatasetView(BaseDataset):
    """Delegates all of ``Dataset`` to another data set; a subclass overrides what differs.

    Attributes:
        dataset: the other one.
    """

    dataset: Dataset

    @property
    def root(self) -> Path:
        """The folder or file that was opened."""
        return self.dataset.root

    @property
    def split(self) -> str:
        """Name of the split."""
        return self.dataset.split

    @property
    def note(self) -> str:
        """What was chosen, as it is printed."""
        return self.dataset.note

    @property
    def keys(self) -> tuple[str, ...]:
        """Keys of the images in their fixed order."""
        return self.dataset.keys

    @property
    def classes(self) -> ClassTable | None:
        """Class table, or ``None`` where the source has none."""
        return self.dataset.classes

    @property
    def source(self) -> str:
        """Where the ground truth comes from."""
        return self.dataset.source

    @property
    def oddities(self) -> tuple[Oddity, ...]:
        """What is odd in the annotations of the other data set."""
        return getattr(self.dataset, "oddities", ())

    @property
    def keypoint_pairs(self) -> tuple[tuple[int, int], ...]:
        """(left, right) positions of keypoints that swap names in the mirror, where the other one says so."""
        return getattr(self.dataset, "keypoint_pairs", ())

    def record(self, position: int) -> Record:
        """The record of the other data set."""
        return self.dataset[position]

    def fingerprint(self) -> str:
        """``sha256:...`` of the other data set."""
        return self.dataset.fingerprint()

    def ground_truth(self, max_images: int | None = None) -> GroundTruthColumns:
        """Annotations of the first ``max_images`` images."""
        return self.dataset.ground_truth(max_images)


@dataclass(frozen=True, eq=False)
class SomeImages(DatasetView):
    """Some images of a data set, in the order given.

    Attributes:
        positions: of the images.
    """

    positions: tuple[int, ...]

    @property
    def note(self) -> str:
        """What was chosen, as it is printed."""
        return f"{self.dataset.note}, {len(self)} of {counted(len(self.dataset), 'image')}"

    @property
    def keys(self) -> tuple[str, ...]:
        """Keys of these images."""
        keys = self.dataset.keys
        return tuple(keys[position] for position in self.positions)

    def __len__(self) -> int:
        return len(self.positions)

    def record(self, position: int) -> Record:
        """One of these images."""
        return self.dataset[self.positions[position]]

    def fingerprint(self) -> str:
        """``sha256:...`` of the whole data set and of which images there are."""
        from anydet.data.dataset.fingerprint import Fingerprint

        found = Fingerprint()
        found.add(self.dataset.fingerprint())
        found.add(np.array(self.positions, "<i8").tobytes())
        return str(found)

    def ground_truth(self, max_images: int | None = None) -> GroundTruthColumns:
        """Annotations of these images, or of the first ``max_images``."""
        from anydet.data.dataset.image_subset import take_truth

        return take_truth(self.dataset.ground_truth(), np.array(self.positions[:max_images], np.int64))
