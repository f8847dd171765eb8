"""COCO instances (and person keypoints) JSON, bare or in a root with its images."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass, replace
from pathlib import Path
from typing import TYPE_CHECKING

import numpy as np

from anydet.data.coco.columns import CocoColumns
from anydet.data.coco.reading import read_coco
from anydet.data.coco.states import CocoStates, read_states
from anydet.data.dataset.part_states import PART_STATES, name_states, part_columns
from anydet.data.dataset.splits import SPLITS, UNSPLIT, Split, choose_split
from anydet.errors import DatasetError
from anydet.scanner import Scanner
from anydet.types import ClassTable, Federation, GroundTruthColumns, Size

if TYPE_CHECKING:
    from anydet.data.dataset.folder import FolderDataset
    from anydet.data.record.record import Record
    from anydet.data.yolo.dataset import YoloDataset

_PREFIXES = ("instances_", "person_keypoints_")


@dataclass(frozen=True, slots=True, eq=False)
class CocoDataset:
    """One annotations file; the other attributes are those of ``Dataset``.

    Attributes:
        annotations: the JSON file.
        images_dir: where the images lie; only pixels need it to exist.
        columns: what the file says.
        states: what it says of states; only read where annotations have some.
    """

    root: Path
    split: str
    note: str
    source: str
    annotations: Path
    images_dir: Path
    columns: CocoColumns
    states: CocoStates

    @property
    def keys(self) -> tuple[str, ...]:
        """``file_name`` of all images, unix slashes, in the order of the file."""
        return self.columns.keys

    @property
    def classes(self) -> ClassTable:
        """Categories sorted by id; ``source_ids`` are COCO's."""
        return self.columns.classes

    def __len__(self) -> int:
        return len(self.keys)

    def __getitem__(self, index: int) -> Record:
        from anydet.data.record.containment import ContainedImage
        from anydet.data.record.record import Record

        columns, row = self.columns, range(len(self))[index]
        key, size = columns.keys[row], self._stated_wh(row)
        return Record(
            key,
            ContainedImage(self.images_dir, key, size),
            path=self.images_dir / key,
            stated_wh=size,
            labels=columns.labels.take(np.arange(columns.offsets[row], columns.offsets[row + 1])),
            extra={"image_id": int(columns.image_ids[row])} | self._part_states(row),
        )

    def __iter__(self) -> Iterator[Record]:
        return (self[i] for i in range(len(self)))

    def fingerprint(self) -> str:
        """``sha256:...`` over keys in order and the annotations file."""
        from anydet.data.dataset.fingerprint import Fingerprint

        mark = Fingerprint()
        for key in self.keys:
            mark.add(key)
        mark.add(self.annotations.read_bytes())
        return str(mark)

    def ground_truth(self, max_images: int | None = None) -> GroundTruthColumns:
        """Annotations of the first ``max_images`` images, in the order of the file; opens no image."""
        columns = self.columns
        count = len(range(len(self))[:max_images])
        offsets = columns.offsets[: count + 1]
        return GroundTruthColumns(
            images=columns.keys[:count],
            sizes_wh=columns.sizes_wh[:count],
            image_index=np.repeat(np.arange(count), np.diff(offsets)),
            labels=columns.labels.take(np.arange(offsets[-1])),
            classes=columns.classes,
            source=self.source,
            image_ids=columns.image_ids[:count],
            state_names=self.states.names,
            federation=_first(columns.federation, count),
            about=None if self.states.of_parts is None else part_columns(self.states.of_parts[:count]),
        )

    def _part_states(self, row: int) -> dict[str, dict[str, str | None]]:
        """What ``extra`` says of the parts of an image; nothing where the file does not."""
        states = self.states
        if states.of_parts is None:
            return {}
        return {PART_STATES: name_states(states.of_parts[row], self.classes.names, states.names)}

    def _stated_wh(self, row: int) -> Size | None:
        width, height = self.columns.sizes_wh[row].tolist()
        return (width, height) if width > 0 else None


@dataclass(frozen=True, slots=True)
class CocoFormat:
    """A JSON file, or a folder with ``annotations/instances_<split>.json``."""

    name: str = "coco"
    scanner: Scanner | None = None

    def with_scanner(self, scanner: Scanner | None) -> CocoFormat:
        """The same format, reading with this scanner."""
        return replace(self, scanner=scanner)

    def matches(self, path: Path) -> bool:
        """Whether it is a JSON file or a folder with such annotations."""
        return bool(_annotation_files(path)) if path.is_dir() else path.suffix.lower() == ".json"

    def open(
        self, path: Path, split: str | None, images: Path | None
    ) -> CocoDataset | YoloDataset | FolderDataset:
        """Open one split; in a root, a split that has only label files opens as YOLO."""
        if path.is_file():
            return _open_bare(path, split, images, self.scanner)
        from anydet.data.yolo.dataset import labeled_splits, open_layout

        files = _annotation_files(path)
        chosen = choose_split(path, {*files, *labeled_splits(path)}, split)
        if chosen.name not in files:
            return open_layout(path, chosen, images)
        unused = f"labels/{chosen.name} not used" if (path / "labels" / chosen.name).is_dir() else ""
        return open_file(
            files[chosen.name],
            root=path,
            split=chosen,
            images_dir=images,
            unused=unused,
            base=path,
            scanner=self.scanner,
        )


FORMAT = CocoFormat()


def open_file(
    annotations: Path,
    *,
    root: Path,
    split: Split,
    images_dir: Path | None,
    unused: str = "",
    base: Path | None = None,
    scanner: Scanner | None = None,
) -> CocoDataset:
    """Open an annotations file.

    Args:
        annotations: the JSON file.
        root: what the user named.
        split: the split it stands for.
        images_dir: image folder, or ``None`` to look for it below ``base``.
        unused: other annotations that lie there, for the protocol of results.
        base: folder of the data set; that of the file where ``None``.
        scanner: reads the file faster, with the same result.
    """
    columns = read_coco(annotations, scanner)
    base = base or annotations.parent
    inside = annotations.is_relative_to(base)
    source = annotations.relative_to(base).as_posix() if inside else str(annotations)
    return CocoDataset(
        root,
        split.name,
        split.note,
        source + (f" ({unused})" if unused else ""),
        annotations,
        images_dir or find_images_dir(annotations, base, split.name, columns.keys),
        columns,
        CocoStates() if columns.labels.states is None else read_states(annotations, columns.classes.names),
    )


def _first(federation: Federation | None, count: int) -> Federation | None:
    """What was looked for on the first ``count`` images."""
    if federation is None:
        return None
    return Federation(*(pairs[pairs[:, 0] < count] for pairs in (federation.absent, federation.incomplete)))


def _open_bare(file: Path, wanted: str | None, images: Path | None, scanner: Scanner | None) -> CocoDataset:
    name = split_of(file)
    if name:
        split = choose_split(file, [name], wanted)
    elif wanted is not None:
        raise DatasetError(f"{file}: the file has no split in its name", fix="leave out --split")
    else:
        split = UNSPLIT
    base = file.parent.parent if file.parent.name == "annotations" else file.parent
    unused = f"labels/{name} not used" if name and (base / "labels" / name).is_dir() else ""
    return open_file(
        file, root=file, split=split, images_dir=images, unused=unused, base=base, scanner=scanner
    )


def split_of(annotations: Path) -> str:
    """The split that a file's name says: ``instances_val2017.json``, ``val.json``; "" for other names."""
    stem = annotations.stem
    for prefix in _PREFIXES:
        if stem.startswith(prefix):
            return stem[len(prefix) :]
    return stem if stem in SPLITS else ""


def find_annotations(path: Path, split: str | None) -> Path | None:
    """The annotations file that opening ``path`` reads, or ``None`` where it is another format's."""
    if path.is_file():
        return path if path.suffix.lower() == ".json" else None
    from anydet.data.yolo.dataset import labeled_splits

    files = _annotation_files(path)
    if not files:
        return None
    return files.get(choose_split(path, {*files, *labeled_splits(path)}, split).name)


def _annotation_files(root: Path) -> dict[str, Path]:
    found = sorted((root / "annotations").glob("instances_*.json"))
    return {split_of(file): file for file in found if split_of(file)}


def find_images_dir(annotations: Path, base: Path, split: str, keys: tuple[str, ...]) -> Path:
    """The first of the usual folders that holds the first image, else the first that exists."""
    usual = [base / "images" / split, base / split, base / "images", annotations.parent]
    folders = [folder for folder in usual if folder.is_dir()]
    return next((folder for folder in folders if keys and _holds(folder, keys[0])), folders[0])


def _holds(folder: Path, name: str) -> bool:
    try:
        return (folder / name).is_file()
    except (OSError, ValueError):  # a name that no file can have; reading the image says so
        return False
