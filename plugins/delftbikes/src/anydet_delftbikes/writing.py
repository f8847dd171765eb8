"""Write bicycles as DelftBikes has them: ``<split>/`` with images, ``<split>_annotations.json`` beside it."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

from anydet.data.dataset.columns import no_labels
from anydet.data.dataset.part_states import PART_STATES
from anydet.data.dataset.protocols import Dataset
from anydet.data.record.record import Record
from anydet.data.writing.images import Report, check_split, write_images
from anydet.errors import DatasetError, OptionError
from anydet.outputs import new_folder, write_file
from anydet_delftbikes.parts import PARTS, STATES


def write_delftbikes(
    dataset: Dataset, root: Path, split: str = "train", *, copy: bool = False, report: Report | None = None
) -> None:
    """Write one split; ``root`` may hold others already.

    A part is written with a box where there is one, and without where ``Record.extra["part_states"]`` alone
    speaks of it.

    Args:
        dataset: its classes are parts of bicycles.
        root: folder of the data set.
        split: name of the split.
        copy: copy image files byte for byte instead of writing pixels as PNG.
        report: called with 1 after each image.

    Raises:
        OptionError: the split is there already.
        DatasetError: some class is no part of a bicycle, or an image has two annotations of one part.
    """
    check_split(split)
    annotations = root / f"{split}_annotations.json"
    if annotations.exists():
        raise OptionError(f"{annotations}: already there", fix="name another split, or another folder")
    names = () if dataset.classes is None else dataset.classes.names
    if not names or not set(PARTS).issuperset(names):
        raise DatasetError(
            f"{dataset.root}: its classes are not the parts of DelftBikes",
            fix="write it with --format coco instead",
        )
    with new_folder(root / split) as folder:
        entries = {
            record.key: _entry(record, names) for record in write_images(dataset, folder, report, copy)
        }
    write_file(annotations, json.dumps(entries))


def _entry(record: Record, names: tuple[str, ...]) -> dict[str, Any]:
    """One image as the file has it; parts in alphabetical order."""
    width, height = record.size_wh
    states: dict[str, str | None] = dict(record.extra.get(PART_STATES, {}))
    boxes: dict[str, dict[str, float]] = {}
    labels = no_labels() if record.labels is None else record.labels
    for row in range(len(labels)):
        part = names[labels.class_ids[row]]
        if part in boxes:
            raise DatasetError(
                f"image {record.key}: two annotations of {part}", fix="the format has one of each part"
            )
        # Whole numbers stay whole, as in the published file.
        sides = (int(side) if side == int(side) else side for side in labels.boxes_xywh_px[row].tolist())
        boxes[part] = dict(zip(("left", "top", "width", "height"), sides, strict=True))
        state = -1 if labels.states is None else int(labels.states[row])
        states[part] = STATES[state] if state >= 0 else states.get(part)
    parts = {part: _part(part, states[part], boxes.get(part)) for part in sorted(states)}
    return {"image": {"channels": 3, "height": height, "width": width}, "parts": parts}


def _part(name: str, state: str | None, box: dict[str, float] | None) -> dict[str, Any]:
    part: dict[str, Any] = {"part_name": name, "trust": 1.0}
    if state is not None:
        part["object_state"] = state
    if box is not None:
        part["absolute_bounding_box"] = box
    return part
