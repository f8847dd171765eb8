"""``Dataset`` and ``open_dataset``: what lies on disk, as records and ground truth columns."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Protocol, runtime_checkable

from anydet.data.formats import BUILTIN, DeferredFormat, builtin_formats
from anydet.errors import DatasetError
from anydet.scanner import Scanner
from anydet.types import ClassTable, GroundTruthColumns

if TYPE_CHECKING:
    from anydet.data.record import Record


class Dataset(Protocol):
    """One split of a data set. Records are made when asked for; implementations are picklable."""

    @property
    def root(self) -> Path:
        """The folder or file that was opened."""

    @property
    def split(self) -> str:
        """Name of the split; "" where the source has no splits."""

    @property
    def note(self) -> str:
        """What was chosen, for people: ``split val2017 (of train2017, val2017)``."""

    @property
    def keys(self) -> tuple[str, ...]:
        """Keys of all images in their fixed order; nothing is opened."""

    @property
    def classes(self) -> ClassTable | None:
        """Class table, or ``None`` where the source does not say."""

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
    """A way in which data sets lie on disk; registered by name through ``register_datasets``."""

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


def open_dataset(
    path: Path | str,
    split: str | None = None,
    *,
    images: Path | None = None,
    formats: Sequence[DatasetFormat | DeferredFormat] | None = None,
    scanner: Scanner | None = None,
) -> Dataset:
    """The data set at ``path``, in the first of ``formats`` that knows it.

    Args:
        path: file or folder.
        split: the split wanted, or ``None`` for the first of ``splits.SPLITS`` that exists.
        images: image folder, where it does not lie where the format expects it.
        formats: what to try, or ``None`` for the built-in ones. Formats of plugins go first, as they know
            more special layouts; the built-in ones keep the order of ``formats.BUILTIN``.
        scanner: reads annotations faster where the format can use it; the result is the same.

    Raises:
        DatasetError: that says what is there and which formats were tried.
    """
    path = Path(path)
    formats = in_order(builtin_formats() if formats is None else formats)
    if not path.exists():
        raise DatasetError(f"{path}: no such data set", fix="give --dataset a folder or an annotations file")
    for listed in formats:
        known = listed.load() if isinstance(listed, DeferredFormat) else listed
        if known.matches(path):
            fast = known.with_scanner(scanner) if isinstance(known, ScannableFormat) else known
            return fast.open(path, split, images)
    found = sorted(p.name + "/" * p.is_dir() for p in path.iterdir())[:10] if path.is_dir() else [path.name]
    raise DatasetError(
        f"{path}: not a data set of a known format ({', '.join(f.name for f in formats)}); "
        f"found {', '.join(found) or 'an empty folder'}",
        fix="see 'anydet export-predictions --help' for the layouts it reads",
    )


def in_order(
    formats: Sequence[DatasetFormat | DeferredFormat],
) -> list[DatasetFormat | DeferredFormat]:
    """Formats of plugins as given, then the built-in ones in the order in which they must be tried."""
    rank = {name: position for position, (name, _, _) in enumerate(BUILTIN)}
    return sorted(formats, key=lambda known: rank.get(known.name, -1))
