"""``Dataset`` and ``open_dataset``: what lies on disk, as records and ground truth columns."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from pathlib import Path
from typing import Protocol

from anydet.data.record import Record
from anydet.errors import DatasetError
from anydet.types import ClassTable, GroundTruthColumns

SPLITS = ("val2017", "val", "valid", "validation", "train2017", "train")
"""Splits in the order in which they are looked for when none is asked for."""


class Dataset(Protocol):
    """One split of a data set. Records are made when asked for; implementations are picklable.

    Attributes:
        root: the folder or file that was opened.
        split: name of the split; "" where the source has no splits.
        classes: class table, or ``None`` where the source does not say.
        source: where the ground truth comes from, for the protocol of a result, or "none".
    """

    root: Path
    split: str
    classes: ClassTable | None
    source: str

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
            split: the split wanted, or ``None`` for the first of ``SPLITS`` that exists.
            images: image folder, where the user named one.
        """


def open_dataset(
    path: Path | str,
    split: str | None = None,
    *,
    images: Path | None = None,
    formats: Sequence[DatasetFormat],
) -> Dataset:
    """The data set at ``path``, in the first of ``formats`` that knows it.

    Raises ``DatasetError`` that says what is there and which formats were tried.
    """
    path = Path(path)
    if not path.exists():
        raise DatasetError(f"{path}: no such data set", fix="give --dataset a folder or an annotations file")
    for known in formats:
        if known.matches(path):
            return known.open(path, split, images)
    found = sorted(p.name + "/" * p.is_dir() for p in path.iterdir())[:10] if path.is_dir() else [path.name]
    raise DatasetError(
        f"{path}: not a data set of a known format ({', '.join(f.name for f in formats)}); "
        f"found {', '.join(found) or 'an empty folder'}",
        fix="see 'anydet export-predictions --help' for the layouts it reads",
    )
