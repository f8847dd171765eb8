"""``CorruptedDataset``: a data set whose images are corrupted when they are read."""

from __future__ import annotations

from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any

from anydet.data.corruptions.corruption import PREFIX, Corruption
from anydet.data.dataset.base import DatasetView
from anydet.data.dataset.fingerprint import Fingerprint
from anydet.data.dataset.protocols import Dataset
from anydet.data.record.pixels import Pixels
from anydet.data.record.record import Record
from anydet.errors import DatasetError, OptionError
from anydet.types import ByteImage, Size

DESCRIPTION = "corruption.json"
"""File of a data set whose images are corrupted on disk: which corruption it is."""


@dataclass(frozen=True, slots=True, eq=False)
class CorruptedPixels:
    """Pixels of a record, corrupted.

    Attributes:
        pixels: the clean ones.
        corruption: what is done to them.
        key: of the record.
    """

    pixels: Pixels
    corruption: Corruption
    key: str

    def read(self) -> ByteImage:
        """(H, W, 3) uint8 RGB; raises ``ImageError`` as the clean ones do."""
        return self.corruption.apply(self.pixels.read(), self.key)

    def size_wh(self) -> Size:
        """(width, height) of the clean ones, which it is here too."""
        return self.pixels.size_wh()


@dataclass(frozen=True, eq=False)
class CorruptedDataset(DatasetView):
    """Another data set with corrupted images; keys, sizes and labels stay.

    Attributes:
        corruption: what is done to the images.
    """

    corruption: Corruption

    @property
    def root(self) -> Path:
        """The name by which it is opened: ``corruption:fog:3:PATH``."""
        return Path(f"{PREFIX}{self.corruption}:{self.dataset.root}")

    @property
    def note(self) -> str:
        """What was chosen, as it is printed."""
        return f"{self.dataset.note}, {self.corruption.name} at severity {self.corruption.severity}"

    def record(self, position: int) -> Record:
        """The record with corrupted pixels, and no file that holds them."""
        record = self.dataset[position]
        pixels = CorruptedPixels(record.pixels, self.corruption, record.key)
        return replace(record, pixels=pixels, path=None)

    def fingerprint(self) -> str:
        """``sha256:...`` of the clean data set and the corruption."""
        found = Fingerprint()
        found.add(self.dataset.fingerprint())
        found.add(str(self.corruption))
        return str(found)


@dataclass(frozen=True, eq=False)
class StoredCorruption(DatasetView):
    """A data set on disk whose images are corrupted, as ``anydet corrupt`` writes it.

    Attributes:
        corruption: what was done to the images.
        clean: fingerprint of the clean data set, or ``None``.
    """

    corruption: Corruption
    clean: str | None

    @property
    def note(self) -> str:
        """What was chosen, as it is printed."""
        return f"{self.dataset.note}, {self.corruption.name} at severity {self.corruption.severity}"

    def fingerprint(self) -> str:
        """``sha256:...`` of keys and annotations, as the clean data set may have them, and the corruption."""
        found = Fingerprint()
        found.add(self.dataset.fingerprint())
        found.add(str(self.corruption))
        return str(found)


def as_stored(dataset: Dataset, folder: Path) -> Dataset:
    """A data set with what ``corruption.json`` in its folder says; itself without one.

    Raises ``DatasetError`` where that file is none of ``anydet corrupt``.
    """
    stated = read_description(folder)
    if stated is None:
        return dataset
    file = folder / DESCRIPTION
    try:
        corruption = Corruption(stated["name"], stated["severity"], stated["seed"])
    except (KeyError, OptionError) as exc:
        raise DatasetError(
            f"{file}: names no corruption: {exc}", fix="write it as 'anydet corrupt' does, or remove it"
        ) from exc
    clean = stated.get("clean")
    return StoredCorruption(dataset, corruption, clean if isinstance(clean, str) else None)


def read_description(folder: Path) -> dict[str, Any] | None:
    """Content of ``corruption.json`` in a folder; ``None`` where there is none."""
    import msgspec

    file = folder / DESCRIPTION
    try:
        stated = msgspec.json.decode(file.read_bytes(), type=dict[str, Any])
    except FileNotFoundError:
        return None
    except (OSError, msgspec.DecodeError, UnicodeDecodeError) as exc:
        raise DatasetError(f"{file}: cannot be read: {exc}", fix="repair or remove it") from exc
    return stated


def corrupted(dataset: Dataset, corruption: Corruption) -> CorruptedDataset:
    """A data set with corrupted images; raises ``DatasetError`` where they are corrupted already."""
    there = describe_corruption(dataset)
    if there is not None:
        raise DatasetError(
            f"{dataset.root}: its images are corrupted already, by {there['name']} at severity "
            f"{there['severity']}",
            fix="name one corruption, before the clean data set",
        )
    return CorruptedDataset(dataset, corruption)


def describe_corruption(dataset: Dataset) -> dict[str, Any] | None:
    """Corruption of a data set and fingerprint of the ``clean`` one, for ``meta``; ``None`` without one."""
    shown: Any = dataset
    while isinstance(shown, DatasetView):
        if isinstance(shown, StoredCorruption):
            return {**shown.corruption.as_dict(), "clean": shown.clean}
        if isinstance(shown, CorruptedDataset):
            return {**shown.corruption.as_dict(), "clean": shown.dataset.fingerprint()}
        shown = shown.dataset
    return None
