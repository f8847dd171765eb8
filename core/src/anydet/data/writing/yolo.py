"""Write any ``Dataset`` as YOLO: images, label files of boxes and ``data.yaml``."""

from __future__ import annotations

from collections.abc import Iterable
from pathlib import Path

import numpy as np
import yaml

from anydet.data.dataset.protocols import Dataset
from anydet.data.record.record import Record
from anydet.data.writing.images import Report, check_split, named_classes, write_images
from anydet.outputs import new_folder


def write_yolo(
    dataset: Dataset, root: Path, split: str = "val", *, copy: bool = False, report: Report | None = None
) -> None:
    """``images/<split>``, ``labels/<split>/*.txt`` and ``data.yaml``.

    Boxes only, crowds left out: the format has no place for more. With ``copy``, image files are copied
    byte for byte. Raises ``OptionError`` where ``root`` exists and is not an empty folder.
    """
    named_classes(dataset)
    check_split(split)
    with new_folder(root) as folder:
        written = write_images(dataset, folder / "images" / split, report, copy)
        write_yolo_labels(dataset, written, folder, split)


def write_yolo_labels(dataset: Dataset, records: Iterable[Record], folder: Path, split: str) -> None:
    """Label files and ``data.yaml`` alone, of a data set whose records come as they are written.

    Raises ``DatasetError`` where the data set has no class names.
    """
    classes = named_classes(dataset)
    for record in records:
        target = (folder / "labels" / split / record.key).with_suffix(".txt")
        target.parent.mkdir(parents=True, exist_ok=True)
        target.write_text(yolo_lines(record), "utf-8")
    layout = {split: f"images/{split}", "names": dict(enumerate(classes.names))}
    (folder / "data.yaml").write_text(yaml.safe_dump(layout, sort_keys=False), "utf-8")


def yolo_lines(record: Record) -> str:
    """``class cx cy w h`` a line, the box in fractions of the image's size."""
    if record.labels is None:
        return ""
    scale = np.array([*record.size_wh, *record.size_wh], np.float64)
    labels = record.labels.take(~record.labels.iscrowd)
    corner, size = labels.boxes_xywh_px[:, :2], labels.boxes_xywh_px[:, 2:]
    boxes = np.concatenate([corner + size / 2, size], axis=1) / scale
    rows = zip(labels.class_ids.tolist(), boxes.tolist(), strict=True)
    return "".join(f"{class_id} {' '.join(f'{v:.10g}' for v in box)}\n" for class_id, box in rows)
