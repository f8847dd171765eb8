"""Annotations of DelftBikes as a data set."""

from __future__ import annotations

from pathlib import Path

import numpy as np

from anydet.data.coco.dataset import find_images_dir
from anydet.data.dataset.columns import boxes_only
from anydet.data.dataset.part_states import UNLISTED
from anydet.data.dataset.splits import Split
from anydet.data.dataset.table import ImageTable, TableDataset
from anydet.errors import DatasetError
from anydet.types import Labels
from anydet_delftbikes.annotations import Entry, find_flaw, read_entries
from anydet_delftbikes.parts import CLASSES, PARTS, STATES


def read_delftbikes(path: Path) -> ImageTable:
    """Read and check an annotations file.

    Raises:
        DatasetError: that names the file, the image and the part that is malformed.
    """
    entries = read_entries(path)
    for key, entry in entries.items():
        for name, part in entry.parts.items():
            if flaw := find_flaw(name, part):
                raise DatasetError(f"{path}: image {key}: part {name}: {flaw.problem}", fix=flaw.fix)
    # Absent parts may have a box, where they would be; parts without a box are states alone.
    counts = [sum(part.box is not None for part in entry.parts.values()) for entry in entries.values()]
    return ImageTable(
        keys=tuple(entries),
        sizes_wh=np.array([e.size_wh or (-1, -1) for e in entries.values()], np.int64).reshape(-1, 2),
        labels=_labels(list(entries.values())),
        offsets=np.concatenate([[0], np.cumsum(counts, dtype=np.int64)]),
        classes=CLASSES,
        state_names=STATES,
        part_states=np.array([_states(e) for e in entries.values()], np.int64).reshape(-1, len(PARTS)),
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


def open_file(annotations: Path, root: Path, base: Path, split: Split, images: Path | None) -> TableDataset:
    """Open an annotations file.

    Args:
        annotations: the file.
        root: what the user named.
        base: folder of the data set.
        split: the split it stands for.
        images: image folder, or ``None`` for one of the usual folders below ``base``.
    """
    table = read_delftbikes(annotations)
    folder = split.name.removeprefix("new_").removeprefix("fake_")  # the toolkit's names of derived splits
    return TableDataset(
        root,
        split.name,
        split.note,
        annotations.relative_to(base).as_posix(),
        images or find_images_dir(annotations, base, folder, table.keys),
        table,
        annotation_files=(annotations,),
    )
