"""A data set on disk as YOLO or COCO, with a list of what got lost."""

from __future__ import annotations

from pathlib import Path

from anydet.data.dataset import Dataset
from anydet.data.writers import write_coco, write_yolo


def convert_dataset(dataset: Dataset, out: Path, layout: str) -> dict[str, int]:
    """Write a split as ``yolo`` or ``coco``, image files byte for byte; gives field -> labels that lost it.

    Raises:
        DatasetError: ``out`` is there and not empty, or the data set has no class names.
    """
    split = dataset.split or "val"
    labels = dataset.ground_truth().labels
    kept = labels.take(~labels.iscrowd) if layout == "yolo" else labels
    lost = {"poses": 0 if kept.poses is None else len(kept), "states": 0}
    if kept.states is not None:
        lost["states"] = int((kept.states >= 0).sum())
    if layout == "yolo":
        write_yolo(dataset, out, split, copy=True)
        lost["crowds"] = int(labels.iscrowd.sum())
        lost["masks"] = sum(bool(s) for s in kept.segmentations or ())
        lost["keypoints"] = 0 if kept.keypoints is None else len(kept)
    else:
        write_coco(dataset, out, split, copy=True)
    return {name: count for name, count in lost.items() if count}
