"""Write any ``Dataset`` as YOLO: images, label files of boxes and ``data.yaml``."""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import replace
from pathlib import Path

import numpy as np
import yaml

from anydet.data.dataset.columns import no_labels
from anydet.data.dataset.protocols import Dataset
from anydet.data.record.record import Record
from anydet.data.writing.images import (
    Report,
    check_split,
    named_classes,
    require_own_places,
    write_images,
)
from anydet.outputs import new_folder
from anydet.types import BoolArray, FloatArray, Labels

_ROUNDING = 1e-6
"""By how much of the image's side a box may leave it and is written as it is: writers round."""


def write_yolo(
    dataset: Dataset, root: Path, split: str = "val", *, copy: bool = False, report: Report | None = None
) -> None:
    """``images/<split>``, ``labels/<split>/*.txt`` and ``data.yaml``.

    Boxes only, as ``yolo_labels`` has them: the format has no place for more. With ``copy``, image files are
    copied byte for byte.

    Raises:
        OptionError: ``root`` exists and is not an empty folder.
        DatasetError: two images would need the same label file.
    """
    named_classes(dataset)
    check_split(split)
    require_own_places(dataset.keys, ".txt")
    with new_folder(root) as folder:
        written = write_images(dataset, folder / "images" / split, report, copy)
        write_yolo_labels(dataset, written, folder, split)


def write_yolo_labels(dataset: Dataset, records: Iterable[Record], folder: Path, split: str) -> None:
    """Label files and ``data.yaml`` alone, of a data set whose records come as they are written.

    Raises ``DatasetError`` where the data set has no class names, or two images need the same label file.
    """
    classes = named_classes(dataset)
    require_own_places(dataset.keys, ".txt")
    for record in records:
        target = (folder / "labels" / split / record.key).with_suffix(".txt")
        target.parent.mkdir(parents=True, exist_ok=True)
        target.write_text(yolo_lines(record), "utf-8")
    layout = {split: f"images/{split}", "names": dict(enumerate(classes.names))}
    (folder / "data.yaml").write_text(yaml.safe_dump(layout, sort_keys=False), "utf-8")


def yolo_lines(record: Record) -> str:
    """``class cx cy w h`` a line, the box in fractions of the image's size."""
    labels = yolo_labels(record)
    if not len(labels):
        return ""
    scale = np.array([*record.size_wh, *record.size_wh], np.float64)
    corner, size = labels.boxes_xywh_px[:, :2], labels.boxes_xywh_px[:, 2:]
    boxes = np.concatenate([corner + size / 2, size], axis=1) / scale
    rows = zip(labels.class_ids.tolist(), boxes.tolist(), strict=True)
    return "".join(f"{class_id} {' '.join(f'{v:.10g}' for v in box)}\n" for class_id, box in rows)


def yolo_labels(record: Record) -> Labels:
    """The rows that label files hold: no crowds, no boxes without area in the image, others clipped to it.

    Readers refuse more: Ultralytics leaves an image out when one of its coordinates is beyond it.
    """
    labels = no_labels() if record.labels is None else record.labels.take(~record.labels.iscrowd)
    if not len(labels):
        return labels
    clipped = _clipped(labels.boxes_xywh_px, record.size_wh)
    inside: BoolArray = np.all(clipped[:, 2:] > 0, axis=1)
    return replace(labels, boxes_xywh_px=clipped).take(inside)


def box_losses(record: Record) -> dict[str, int]:
    """What ``yolo_labels`` leaves out or changes, by what it is called where losses are listed."""
    if record.labels is None or not len(record.labels):
        return {}
    boxes = record.labels.boxes_xywh_px[~record.labels.iscrowd]
    clipped = _clipped(boxes, record.size_wh)
    empty = np.any(boxes[:, 2:] <= 0, axis=1)
    outside = np.any(clipped[:, 2:] <= 0, axis=1) & ~empty
    cut = np.any(clipped != boxes, axis=1) & ~empty & ~outside
    return {
        "crowds": int(record.labels.iscrowd.sum()),
        "boxes without area": int(empty.sum()),
        "boxes outside of their image": int(outside.sum()),
        "parts of boxes beyond the edge": int(cut.sum()),
    }


def _clipped(boxes: FloatArray, size_wh: tuple[int, int]) -> FloatArray:
    """(N, 4) x, y, width, height inside the image; those that leave it by rounding alone as they are."""
    sides = np.array(size_wh, np.float64)
    low, high = boxes[:, :2], boxes[:, :2] + boxes[:, 2:]
    # A box without area keeps its size of 0; clipping must not give it one.
    inner = np.clip(low, 0.0, sides)
    cut: FloatArray = np.concatenate([inner, np.clip(high, 0.0, sides) - inner], axis=1)
    beyond = np.less(low, -_ROUNDING * sides) | np.greater(high, (1 + _ROUNDING) * sides)
    over: BoolArray = np.any(beyond, axis=1)
    return np.where(over[:, None], cut, boxes)
