"""DelftBikes: ``train_annotations.json`` beside the images of ``train/``.

The data set as published (Kayhan, Vredebregt, van Gemert 2021, "Hallucination in Object Detection: A Study
in Visual Part Verification") and as the VIPriors toolkit splits it: ``train``, ``val``, ``new_train``,
``fake_test``.
"""

from __future__ import annotations

from pathlib import Path

import numpy as np

from anydet.data.coco.dataset import find_images_dir
from anydet.data.dataset.columns import boxes_only
from anydet.data.dataset.part_states import UNLISTED
from anydet.data.dataset.splits import SPLITS, UNSPLIT, Split, choose_split
from anydet.data.dataset.table import ImageTable, TableDataset
from anydet.errors import DatasetError
from anydet.types import Labels
from anydet_delftbikes.annotations import Entry, find_flaw, looks_like_delftbikes, read_entries
from anydet_delftbikes.parts import CLASSES, PARTS, STATES

_SUFFIX = "_annotations"


class DelftBikesFormat:
    """A file, or a folder with ``<split>_annotations.json`` (in ``annotations/`` too) or ``val.json``."""

    name = "delftbikes"

    def matches(self, path: Path) -> bool:
        """Whether it is such a file, by its first bytes, or a folder with one."""
        if path.is_dir():
            return bool(_annotation_files(path))
        return path.suffix.lower() == ".json" and looks_like_delftbikes(path)

    def open(self, path: Path, split: str | None, images: Path | None) -> TableDataset:
        """Open one split; images are in ``images``, or in one of the usual folders."""
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


def _open_file(annotations: Path, root: Path, base: Path, split: Split, images: Path | None) -> TableDataset:
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


def _annotation_files(root: Path) -> dict[str, Path]:
    """Split -> file; ``train_annotations.json`` goes before that in ``annotations/``, then ``train.json``."""
    named = [*root.glob(f"annotations/*{_SUFFIX}.json"), *root.glob(f"*{_SUFFIX}.json")]
    plain = [root / f"{split}.json" for split in (*SPLITS, "test")]
    # Later files replace earlier ones of the same split.
    return {_split_of(file): file for file in (*plain, *named) if looks_like_delftbikes(file)}


def _split_of(annotations: Path) -> str:
    """The split in a file's name; "" for other names."""
    stem = annotations.stem
    if stem.endswith(_SUFFIX):
        return stem.removesuffix(_SUFFIX)
    return stem if stem in {*SPLITS, "test"} else ""
