"""A data set on disk as YOLO, COCO or Pascal VOC, with a list of what got lost."""

from __future__ import annotations

import json
from collections import Counter
from collections.abc import Iterable, Iterator, Mapping
from pathlib import Path
from typing import Any

import numpy as np

from anydet.data.coco.dataset import CocoDataset
from anydet.data.coco.folders import looks_like_coco
from anydet.data.coco.parsing import KNOWN_KEYS
from anydet.data.dataset.base import DatasetView
from anydet.data.dataset.joined import Joined
from anydet.data.dataset.kinds import annotation_kinds, posed
from anydet.data.dataset.part_states import PART_STATES
from anydet.data.dataset.protocols import Dataset
from anydet.data.opening import DeferredFormat
from anydet.data.record.record import Record
from anydet.data.writing.coco import write_coco
from anydet.data.writing.images import Report
from anydet.data.writing.voc import write_voc
from anydet.data.writing.yolo import Task, box_losses, shape_losses, write_yolo, yolo_labels, yolo_task
from anydet.data.yolo.dataset import YoloDataset
from anydet.inputs import read_json
from anydet.outputs import new_folder
from anydet.types import ClassTable, Labels

_AREA_TOLERANCE = 1e-6
_KEYS_WITH_STATES = KNOWN_KEYS | {
    "images": KNOWN_KEYS["images"] | {PART_STATES},
    "state_categories": frozenset({"id", "name"}),
}
"""What is read of a COCO file whose annotations have states."""


LAYOUTS = ("yolo", "yolo-detect", "yolo-seg", "yolo-pose", "coco", "voc")
"""What ``convert_dataset`` writes; ``yolo`` is the one of the three that keeps most (``yolo.yolo_task``)."""
_TASKS: Mapping[str, Task] = {"yolo-detect": "detect", "yolo-seg": "segment", "yolo-pose": "pose"}


def convert_dataset(
    dataset: Dataset, out: Path, layout: str, *, split: str | None = None, report: Report | None = None
) -> dict[str, int]:
    """Write a split as one of ``LAYOUTS``, image files byte for byte; gives what ``dataset_losses`` gives.

    Args:
        dataset: what to write.
        out: new or empty folder, or one that was written so and lacks this split.
        layout: one of ``LAYOUTS``.
        split: name of the split; that of the data set, or ``val``, by default.
        report: called with 1 after each image.

    Raises:
        OptionError: ``out`` is there and not empty.
        DatasetError: the data set has no class names, or an image has no place.
    """
    layout = decided(dataset, layout)
    lost = dataset_losses(dataset, layout)
    _write(dataset, out, layout, split or dataset.split or "val", report)
    return lost


def _write(dataset: Dataset, out: Path, layout: str, split: str, report: Report | None) -> None:
    if layout in _TASKS:
        write_yolo(dataset, out, split, task=_TASKS[layout], copy=True, report=report)
    elif layout == "voc":
        write_voc(dataset, out, split, copy=True, report=report)
    else:
        write_coco(dataset, out, split, copy=True, report=report)


def convert_parts(
    whole: Dataset, parts: Mapping[str, Dataset], out: Path, layout: str, *, report: Report | None = None
) -> dict[str, int]:
    """Write parts of a data set as splits of one, all or none; gives what ``dataset_losses`` gives of it.

    Raises as ``convert_dataset``; ``out`` must be new or empty.
    """
    layout = decided(whole, layout)
    lost = dataset_losses(whole, layout)
    with new_folder(out) as folder:
        for name, part in parts.items():
            _write(part, folder, layout, name, report)
    return lost


def holds_dataset(path: Path, formats: Iterable[DeferredFormat]) -> bool:
    """Whether a file is a data set; of JSON, which may hold predictions, the content decides."""
    if path.suffix.lower() == ".json" and looks_like_coco(path):
        return True
    # COCO's format takes any JSON file, so that its reader can say what is wrong with it.
    others = (known for known in formats if path.suffix.lower() != ".json" or known.name != "coco")
    return any(known.matching(path) is not None for known in others)


def decided(dataset: Dataset, layout: str) -> str:
    """The layout, where ``yolo`` is one of its three."""
    if layout != "yolo":
        return layout
    task = yolo_task(dataset)
    return next(name for name, known in _TASKS.items() if known == task)


def dataset_losses(dataset: Dataset, layout: str) -> dict[str, int]:
    """What a layout has no place for -> how many of them there are."""
    layout = decided(dataset, layout)
    lost, task = Counter[str](), _TASKS.get(layout)
    extras = _kept_extras(dataset, layout)
    for record in dataset:
        lost.update(_of_record(record, extras))
        if layout != "coco":
            lost.update({"image ids": int("image_id" in record.extra)})
        if task is not None:
            lost.update(box_losses(record))
            lost.update(shape_losses(record, task))
        if layout == "voc":
            lost.update({"folders of images": int("/" in record.key)})
        if record.labels is not None:
            kept = yolo_labels(record) if task is not None else record.labels
            lost.update({"poses": int(posed(kept).sum())} | ({} if layout == "coco" else _more(kept)))
            if layout == "voc":
                lost.update(_shapes(kept))
    if layout != "coco":
        lost.update({"category ids": _own_ids(dataset.classes)})
    for source in stored(dataset):
        if isinstance(source, CocoDataset):
            known = KNOWN_KEYS if source.table.labels.states is None else _KEYS_WITH_STATES
            for file in source.annotation_files:
                lost.update(_unread(file, known))
    return {name: count for name, count in lost.items() if count}


def layout_like(dataset: Dataset) -> str:
    """The one of ``LAYOUTS`` that is closest to what a data set is stored in."""
    return "yolo" if isinstance(next(stored(dataset)), YoloDataset) else "coco"


def stored(dataset: Dataset) -> Iterator[Dataset]:
    """The data sets on disk that views show."""
    if isinstance(dataset, Joined):
        for part in dataset.parts.values():
            yield from stored(part)
    elif isinstance(dataset, DatasetView):
        yield from stored(dataset.dataset)
    else:
        yield dataset


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


def _more(labels: Labels) -> dict[str, int]:
    """Columns of annotations that COCO alone has a place for."""
    sides = labels.boxes_xywh_px[:, 2:].prod(axis=1)
    states, ids = labels.states, labels.annotation_ids
    return {
        "areas": int((~np.isclose(labels.areas, sides, rtol=_AREA_TOLERANCE)).sum()),
        "states": 0 if states is None else int((states >= 0).sum()),
        "annotation ids": 0 if ids is None else int((ids >= 0).sum()),
    }


def _shapes(labels: Labels) -> dict[str, int]:
    """What boxes alone have no place for."""
    kinds = annotation_kinds(labels)
    return {kind: kinds[kind] for kind in ("masks", "keypoints")}


def _own_ids(classes: ClassTable | None) -> int:
    return 0 if classes is None else sum(i != own for i, own in enumerate(classes.own_ids))


def _unread(annotations: Path, known: Mapping[str, frozenset[str]]) -> Iterator[str]:
    """A line for each key of a COCO file that is not read: ``categories.skeleton``, ``info``.

    ``known`` are the keys of its entries, by kind, that are.
    """
    # Odd entries, which are read with a warning or left out, have no keys or not these.
    data: Mapping[str, Any] = json.loads(read_json(annotations))  # unlike msgspec it takes NaN
    for kind, value in data.items():
        if kind not in known:
            yield kind
            continue
        for entry in value if isinstance(value, list) else ():
            keys = set(entry) if isinstance(entry, dict) else set()
            for key in keys - known[kind]:
                yield f"{kind}.{key}"
