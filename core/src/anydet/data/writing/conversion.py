"""A data set on disk as YOLO or COCO, with a list of what got lost."""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterator, Mapping
from dataclasses import fields
from pathlib import Path
from typing import Any

import msgspec
import numpy as np

from anydet.data.coco.dataset import CocoDataset
from anydet.data.coco.parsing import KNOWN_KEYS
from anydet.data.dataset.part_states import PART_STATES
from anydet.data.dataset.protocols import Dataset
from anydet.data.record.record import Record
from anydet.data.writing.coco import write_coco
from anydet.data.writing.yolo import box_losses, write_yolo, yolo_labels
from anydet.inputs import read_json
from anydet.types import BoolArray, ClassTable, Labels

_AREA_TOLERANCE = 1e-6
_KEYS_WITH_STATES = KNOWN_KEYS | {
    "images": KNOWN_KEYS["images"] | {PART_STATES},
    "state_categories": frozenset({"id", "name"}),
}
"""What is read of a COCO file whose annotations have states."""


def convert_dataset(dataset: Dataset, out: Path, layout: str) -> dict[str, int]:
    """Write a split as ``yolo`` or ``coco``, image files byte for byte; gives what ``dataset_losses`` gives.

    Raises:
        OptionError: ``out`` is there and not empty.
        DatasetError: the data set has no class names.
    """
    split = dataset.split or "val"
    lost = dataset_losses(dataset, layout)
    if layout == "yolo":
        write_yolo(dataset, out, split, copy=True)
    else:
        write_coco(dataset, out, split, copy=True)
    return lost


def dataset_losses(dataset: Dataset, layout: str) -> dict[str, int]:
    """What ``yolo`` (boxes and names) or ``coco`` has no place for -> how many of them there are."""
    lost = Counter[str]()
    extras = _kept_extras(dataset, layout)
    for record in dataset:
        lost.update(_of_record(record, extras))
        if layout == "yolo":
            lost.update({"image ids": int("image_id" in record.extra)} | box_losses(record))
        if record.labels is not None:
            kept = yolo_labels(record) if layout == "yolo" else record.labels
            lost.update(
                {"poses": int(_posed(kept).sum())} | (_masks_and_more(kept) if layout == "yolo" else {})
            )
    if layout == "yolo":
        lost.update({"category ids": _own_ids(dataset.classes)})
    if isinstance(dataset, CocoDataset):
        known = KNOWN_KEYS if dataset.table.labels.states is None else _KEYS_WITH_STATES
        for file in dataset.annotation_files:
            lost.update(_unread(file, known))
    return {name: count for name, count in lost.items() if count}


def _kept_extras(dataset: Dataset, layout: str) -> set[str]:
    """Keys of ``Record.extra`` that have a place."""
    return (
        {"image_id", PART_STATES}
        if layout == "coco" and dataset.ground_truth(0).state_names
        else {"image_id"}
    )


def _of_record(record: Record, kept: set[str]) -> dict[str, int]:
    """Sidecars, and free data of images but for the keys that are kept."""
    sides = (record.class_mask, record.depth_path, record.cad_points_path)
    return {
        "intrinsics": int(record.camera is not None),
        "side files": sum(side is not None for side in sides),
        "extras of images": int(bool(record.extra.keys() - kept)),
    }


def _masks_and_more(labels: Labels) -> dict[str, int]:
    """Columns of annotations that YOLO's boxes have no place for."""
    sides = labels.boxes_xywh_px[:, 2:].prod(axis=1)
    points, states, ids = labels.keypoints, labels.states, labels.annotation_ids
    return {
        "masks": sum(segmentation is not None for segmentation in labels.segmentations or ()),
        "areas": int((~np.isclose(labels.areas, sides, rtol=_AREA_TOLERANCE)).sum()),
        "keypoints": 0 if points is None else int(np.isfinite(points).any(axis=(1, 2)).sum()),
        "states": 0 if states is None else int((states >= 0).sum()),
        "annotation ids": 0 if ids is None else int((ids >= 0).sum()),
    }


def _posed(labels: Labels) -> BoolArray:
    """(N,) which rows have any field of a pose."""
    posed = np.zeros(len(labels), np.bool_)
    for field in fields(labels.poses) if labels.poses is not None and len(labels) else ():
        column = getattr(labels.poses, field.name)
        if column is not None:
            posed |= np.isfinite(column.reshape(len(labels), -1)).any(axis=1)
    return posed


def _own_ids(classes: ClassTable | None) -> int:
    return 0 if classes is None else sum(i != own for i, own in enumerate(classes.source_ids))


def _unread(annotations: Path, known: Mapping[str, frozenset[str]]) -> Iterator[str]:
    """A line for each key of a COCO file that is not read: ``categories.skeleton``, ``info``.

    ``known`` are the keys of its entries, by kind, that are.
    """
    data: Mapping[str, Any] = msgspec.json.decode(read_json(annotations))
    for kind, value in data.items():
        if kind not in known:
            yield kind
            continue
        for entry in value:
            for key in entry.keys() - known[kind] - {"num_keypoints"}:  # it follows from keypoints
                yield f"{kind}.{key}"
