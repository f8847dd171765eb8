"""Images of a data set on disk, and what all writers check first."""

from __future__ import annotations

from collections.abc import Callable, Iterator, Sequence
from pathlib import Path, PurePosixPath

from PIL import Image

from anydet.data.dataset.protocols import Dataset
from anydet.data.record.containment import contained
from anydet.data.record.record import Record
from anydet.errors import DatasetError
from anydet.outputs import copy_file
from anydet.text import quoted
from anydet.types import ClassTable

Report = Callable[[int], None]
"""Called with 1 after each image."""


def write_images(
    dataset: Dataset,
    folder: Path,
    report: Report | None,
    copy: bool,
    *,
    name: Callable[[str], str] = str,
) -> Iterator[Record]:
    """Write each record's pixels, then hand the record on.

    Args:
        dataset: whose images are written.
        folder: where to.
        report: called with 1 after each image.
        copy: copy files byte for byte; else pixels are written as PNG.
        name: of the file of a key.

    Raises ``DatasetError`` for a key that would lead out of ``folder``.
    """
    folder.mkdir(parents=True, exist_ok=True)
    for record in dataset:
        target = _place(dataset, folder, name(record.key))
        target.parent.mkdir(parents=True, exist_ok=True)
        if copy and record.path is not None:
            _copy_image(record, record.path, target)
        else:
            # PNG keeps the pixels that were labeled. Level 1 is faster than Pillow's default, and files of
            # synthetic scenes are 7 % larger.
            Image.fromarray(record.image()).save(target, format="PNG", compress_level=1)
        yield record
        if report is not None:
            report(1)


def _place(dataset: Dataset, folder: Path, name: str) -> Path:
    """Where an image is written, which must be below ``folder``."""
    try:
        contained(folder, name)
    except DatasetError as exc:  # that names the folder, which is gone when somebody reads it
        raise DatasetError(
            f"{dataset.root}: an image is called {quoted(name)}, which is no path below an image folder",
            fix="copy the file into the image folder, and name it by its path there",
        ) from exc
    return folder / name


def _copy_image(record: Record, path: Path, target: Path) -> None:
    # Reading the size refuses names that lead outside the data set; ``path`` is not checked by itself.
    record.pixels.size_wh()
    try:
        copy_file(path, target)
    except OSError as exc:
        raise DatasetError(f"{path}: cannot be copied: {exc.strerror}", fix="put the image there") from exc


def check_split(split: str) -> None:
    """Raise ``DatasetError`` for a split whose name could not be that of a file."""
    if split in {"", ".", ".."} or set(split) & set("/\\"):
        raise DatasetError(f"split {split!r} is not a plain name", fix="name it like val or train")


def named_classes(dataset: Dataset) -> ClassTable:
    """The class table of a data set; raises ``DatasetError`` where it has none."""
    if dataset.classes is None:
        raise DatasetError(f"{dataset.root}: has no class names", fix="give it a data.yaml or classes.txt")
    return dataset.classes


def require_own_places(keys: Sequence[str], suffix: str) -> None:
    """Raise ``DatasetError`` where the files beside two images, named like them, would be one.

    Args:
        keys: of the images: ``1.jpg`` and ``1.png`` both have ``1.txt``.
        suffix: of the files.
    """
    # In lower case, as some file systems take names that differ in case for the same.
    places: dict[str, str] = {}
    shared = [
        (first, key)
        for key in keys
        if (first := places.setdefault(str(PurePosixPath(key).with_suffix(suffix)).lower(), key)) != key
    ]
    if shared:
        first, second = shared[0]
        more = f" (and {len(shared) - 1} more)" if len(shared) > 1 else ""
        raise DatasetError(
            f"images {quoted(first)} and {quoted(second)} would both have the file "
            f"{quoted(str(PurePosixPath(first).with_suffix(suffix)))}{more}: one would take the place of the "
            "other",
            fix="give the images names that differ before the suffix, or write another format (--to coco)",
        )
