"""``BaseDataset``: records by position and the fingerprint, written once for all data sets."""

from __future__ import annotations

from abc import ABC, abstractmethod
from collections.abc import Iterable, Iterator
from typing import TYPE_CHECKING

from anydet.types import GroundTruthColumns

if TYPE_CHECKING:
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

    def __getitem__(self, index: int) -> Record:
        return self.record(range(len(self))[index])  # counts from the end, and raises IndexError beyond it

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
