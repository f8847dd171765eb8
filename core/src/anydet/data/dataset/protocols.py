"""``Dataset`` and ``DatasetFormat``: the protocols of data sets and of the formats they are stored in."""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Protocol, runtime_checkable

from anydet.scanner import Scanner
from anydet.types import ClassTable, GroundTruthColumns, ObjectModel

if TYPE_CHECKING:
    from anydet.data.record.record import Record


class Dataset(Protocol):
    """One split of a data set. Records are built one by one, on access; implementations are picklable."""

    @property
    def root(self) -> Path:
        """The folder or file that was opened."""

    @property
    def split(self) -> str:
        """Name of the split; "" where the source has no splits."""

    @property
    def note(self) -> str:
        """What was chosen, as it is printed: ``split val2017 (of train2017, val2017)``."""

    @property
    def keys(self) -> tuple[str, ...]:
        """Keys of all images in their fixed order; nothing is opened."""

    @property
    def classes(self) -> ClassTable | None:
        """Class table, or ``None`` where the source has none."""

    @property
    def source(self) -> str:
        """Where the ground truth comes from, for the protocol of a result, or "none"."""

    def __len__(self) -> int:
        """Number of images."""

    def __getitem__(self, index: int) -> Record:
        """The record at a position; raises ``DatasetError`` with file and line for malformed labels."""

    def __iter__(self) -> Iterator[Record]:
        """All records in their fixed order."""

    def fingerprint(self) -> str:
        """``sha256:...`` over the image keys in order and the annotations."""

    def ground_truth(self, max_images: int | None = None) -> GroundTruthColumns:
        """Annotations of the first ``max_images`` images; opens no image where sizes are stated."""


class DatasetFormat(Protocol):
    """A layout of data sets on disk; registered by name through ``register_datasets``."""

    name: str

    def matches(self, path: Path) -> bool:
        """Whether ``path`` looks like this format. Cheap; raises nothing."""

    def open(self, path: Path, split: str | None, images: Path | None) -> Dataset:
        """Open it.

        Args:
            path: file or folder.
            split: the split wanted, or ``None`` for the first of ``splits.SPLITS`` that exists.
            images: image folder, where the user named one.
        """


@runtime_checkable
class ScannableFormat(DatasetFormat, Protocol):
    """A format whose annotations a scanner may read."""

    def with_scanner(self, scanner: Scanner | None) -> DatasetFormat:
        """The same format, reading with this scanner."""


@runtime_checkable
class NamingFormat(DatasetFormat, Protocol):
    """A format that is told from others in the same folder by a file or folder of its own."""

    def naming(self, path: Path) -> Path:
        """What to name in place of a folder that this format matches."""


@runtime_checkable
class FallbackFormat(DatasetFormat, Protocol):
    """A format of folders that no other one reads."""

    def with_nested(self, nested: Sequence[Path]) -> DatasetFormat:
        """The same format with data sets of folders below, which are to be named in place of the folder."""


@runtime_checkable
class ObjectModelFormat(DatasetFormat, Protocol):
    """A format that keeps models of its objects; ``anydet eval --models`` reads folders through it."""

    def read_models(self, folder: Path) -> Mapping[int, ObjectModel]:
        """The models of a folder by object id; raises ``DatasetError`` where there are none."""
