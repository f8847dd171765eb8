"""DelftBikes: ``train_annotations.json`` beside the images of ``train/``.

The data set as published (Kayhan, Vredebregt, van Gemert 2021, "Hallucination in Object Detection: A Study
in Visual Part Verification") and as the VIPriors toolkit splits it: ``train``, ``val``, ``new_train``,
``fake_test``.
"""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING

import numpy as np

from anydet.data.coco.dataset import find_images_dir
from anydet.data.dataset.columns import boxes_only
from anydet.data.dataset.part_states import PART_STATES, UNLISTED, name_states, part_columns
from anydet.data.dataset.splits import SPLITS, UNSPLIT, Split, choose_split
from anydet.errors import DatasetError
from anydet.types import ClassTable, GroundTruthColumns, IntArray, Labels, Size
from anydet_delftbikes.annotations import Entry, find_flaw, looks_like_delftbikes, read_entries
from anydet_delftbikes.parts import CLASSES, PARTS, STATES

if TYPE_CHECKING:
    from anydet.data.record.record import Record

_SUFFIX = "_annotations"


@dataclass(frozen=True, slots=True, eq=False)
class PartColumns:
    """One annotations file; annotations are parts with a box, grouped by image.

    Attributes:
        keys: names of I images, unix slashes, in the order of the file.
        sizes_wh: (I, 2) int64 stated sizes in pixels, -1 where the file has none.
        labels: (N,) annotations with states, -1 where a part has none.
        offsets: (I + 1,) rows of image i are ``offsets[i]:offsets[i + 1]``.
        states: (I, 22) int64 state of each part, with a box or not; -1 without state,
            ``part_states.UNLISTED`` where nothing is said.
    """

    keys: tuple[str, ...]
    sizes_wh: IntArray
    labels: Labels
    offsets: IntArray
    states: IntArray


@dataclass(frozen=True, slots=True, eq=False)
class DelftBikesDataset:
    """One annotations file; the other attributes are those of ``Dataset``.

    Attributes:
        annotations: the JSON file.
        images_dir: where the images lie; only pixels need it to exist.
        columns: what the file says.
    """

    root: Path
    split: str
    note: str
    source: str
    annotations: Path
    images_dir: Path
    columns: PartColumns

    @property
    def keys(self) -> tuple[str, ...]:
        """Names of all images, in the order of the file."""
        return self.columns.keys

    @property
    def classes(self) -> ClassTable:
        """The 22 parts."""
        return CLASSES

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
            extra={PART_STATES: name_states(columns.states[row], PARTS, STATES)},
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
            classes=CLASSES,
            source=self.source,
            state_names=STATES,
            about=part_columns(columns.states[:count]),
        )

    def _stated_wh(self, row: int) -> Size | None:
        width, height = self.columns.sizes_wh[row].tolist()
        return (width, height) if width > 0 else None


class DelftBikesFormat:
    """A file, or a folder with ``<split>_annotations.json`` (in ``annotations/`` too) or ``val.json``."""

    name = "delftbikes"

    def matches(self, path: Path) -> bool:
        """Whether it is such a file, told by how it begins, or a folder with one."""
        if path.is_dir():
            return bool(_annotation_files(path))
        return path.suffix.lower() == ".json" and looks_like_delftbikes(path)

    def open(self, path: Path, split: str | None, images: Path | None) -> DelftBikesDataset:
        """Open one split; images lie where ``images`` says, or in one of the usual folders."""
        if path.is_dir():
            files = _annotation_files(path)
            chosen = choose_split(path, files, split)
            return _open_file(files[chosen.name], path, path, chosen, images)
        name = _split_of(path)
        if not name and split is not None:
            raise DatasetError(f"{path}: the file has no split in its name", fix="leave out --split")
        base = path.parent.parent if path.parent.name == "annotations" else path.parent
        return _open_file(path, path, base, choose_split(path, [name], split) if name else UNSPLIT, images)


FORMAT = DelftBikesFormat()


def read_delftbikes(path: Path) -> PartColumns:
    """Read and check an annotations file.

    Raises:
        DatasetError: that names the file, the image and the part that is malformed.
    """
    entries = read_entries(path)
    for key, entry in entries.items():
        for name, part in entry.parts.items():
            if flaw := find_flaw(name, part):
                raise DatasetError(f"{path}: image {key}: part {name}: {flaw.problem}", fix=flaw.fix)
    counts = [sum(part.box is not None for part in entry.parts.values()) for entry in entries.values()]
    return PartColumns(
        keys=tuple(entries),
        sizes_wh=np.array([e.size_wh or (-1, -1) for e in entries.values()], np.int64).reshape(-1, 2),
        labels=_labels(list(entries.values())),
        offsets=np.concatenate([[0], np.cumsum(counts, dtype=np.int64)]),
        states=np.array([_states(e) for e in entries.values()], np.int64).reshape(-1, len(PARTS)),
    )


def _states(entry: Entry) -> list[int]:
    return [entry.parts[name].state if name in entry.parts else UNLISTED for name in PARTS]


def _labels(entries: list[Entry]) -> Labels:
    """Parts with a box, image by image, in the order of the file."""
    ids = {name: class_id for class_id, name in enumerate(PARTS)}
    found = [
        (ids[name], part.state, box) for e in entries for name, part in e.parts.items() if (box := part.box)
    ]
    boxes = [(box.left, box.top, box.width, box.height) for _, _, box in found]
    return boxes_only(
        np.array([class_id for class_id, _, _ in found], np.int64),
        np.array(boxes, np.float64).reshape(-1, 4),
        states=np.array([state for _, state, _ in found], np.int64),
    )


def _open_file(
    annotations: Path, root: Path, base: Path, split: Split, images: Path | None
) -> DelftBikesDataset:
    columns = read_delftbikes(annotations)
    folder = split.name.removeprefix("new_").removeprefix("fake_")  # the toolkit's names of derived splits
    return DelftBikesDataset(
        root,
        split.name,
        split.note,
        annotations.relative_to(base).as_posix(),
        annotations,
        images or find_images_dir(annotations, base, folder, columns.keys),
        columns,
    )


def _annotation_files(root: Path) -> dict[str, Path]:
    """Split -> file; ``train_annotations.json`` goes before that in ``annotations/``, then ``train.json``."""
    named = [*root.glob(f"annotations/*{_SUFFIX}.json"), *root.glob(f"*{_SUFFIX}.json")]
    plain = [root / f"{split}.json" for split in (*SPLITS, "test")]
    return {_split_of(file): file for file in (*plain, *named) if looks_like_delftbikes(file)}


def _split_of(annotations: Path) -> str:
    """The split that a file's name says; "" for other names."""
    stem = annotations.stem
    if stem.endswith(_SUFFIX):
        return stem.removesuffix(_SUFFIX)
    return stem if stem in {*SPLITS, "test"} else ""
