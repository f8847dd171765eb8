"""Write any ``Dataset`` as COCO: images and ``instances_<split>.json``."""

from __future__ import annotations

import json
from collections.abc import Iterable, Iterator, Sequence
from functools import partial
from pathlib import Path
from typing import Any

import numpy as np

from anydet.data.dataset.part_states import PART_STATES
from anydet.data.dataset.protocols import Dataset
from anydet.data.record.record import Record
from anydet.data.writing.images import Report, check_split, named_classes, write_images
from anydet.data.writing.splits import split_folder
from anydet.inputs import read_text
from anydet.types import RLE, ClassTable, Labels, Polygons


def write_coco(
    dataset: Dataset,
    root: Path,
    split: str = "val",
    *,
    keypoint_names: Sequence[str] = (),
    copy: bool = False,
    report: Report | None = None,
) -> None:
    """``images/<split>`` and ``annotations/instances_<split>.json``.

    Areas that the source does not state are width x height, which readers need. Objects with keypoints have
    none then, so that nobody computes OKS with an area that was invented.

    Args:
        dataset: what to write: boxes, areas, crowd flags, masks, keypoints and states, those of parts without
            a box, too; ids of images and annotations where all have one of their own.
        root: new or empty folder, or one that was written so and lacks this split.
        split: name of the split.
        keypoint_names: names for the categories, where the labels have keypoints.
        copy: copy image files byte for byte instead of writing pixels as PNG.
        report: called with 1 after each image.

    Raises:
        OptionError: ``root`` is a folder of something else, of other classes, or has the split.
    """
    names = named_classes(dataset).names
    check_split(split)
    parts = (f"images/{split}", _file(split))
    with split_folder(root, parts, names, partial(_names_there, root)) as folder:
        written = write_images(dataset, folder / "images" / split, report, copy)
        write_coco_labels(dataset, written, folder, split, keypoint_names=keypoint_names)


def _file(split: str) -> str:
    return f"annotations/instances_{split}.json"


def _names_there(root: Path) -> list[str] | None:
    """Classes of the first split of a folder that was written so."""
    file = min((root / "annotations").glob("instances_*.json"), default=None)
    if file is None:
        return None
    try:
        return [str(category["name"]) for category in json.loads(read_text(file))["categories"]]
    except (ValueError, KeyError, TypeError):  # of another tool, and not to be added to
        return []


def write_coco_labels(
    dataset: Dataset,
    records: Iterable[Record],
    folder: Path,
    split: str,
    *,
    keypoint_names: Sequence[str] = (),
) -> None:
    """``annotations/instances_<split>.json`` alone, of a data set whose records come as they are written.

    Raises ``DatasetError`` where the data set has no class names.
    """
    classes = named_classes(dataset)
    images: list[dict[str, Any]] = []
    annotations: list[dict[str, Any]] = []
    states = dataset.ground_truth(0).state_names
    for record in records:
        (width, height), own_id = record.size_wh, record.extra.get("image_id")
        image = {"id": own_id, "file_name": record.key, "width": width, "height": height}
        images.append(image | _part_states(record, states))
        for annotation in _annotations(record.labels, classes):
            annotations.append({"id": annotation.pop("id"), "image_id": len(images) - 1, **annotation})
    # Annotations refer to positions of images until here, as ids are known only when all are seen.
    for entries in (images, annotations):
        _number(entries)
    for annotation in annotations:
        annotation["image_id"] = images[annotation["image_id"]]["id"]
    points = {"keypoints": list(keypoint_names), "skeleton": []} if keypoint_names else {}
    categories = [
        {"id": source_id, "name": name, **points}
        for name, source_id in zip(classes.names, classes.own_ids, strict=True)
    ]
    document = {"images": images, "annotations": annotations, "categories": categories}
    if states:
        document["state_categories"] = [{"id": i, "name": name} for i, name in enumerate(states)]
    (folder / "annotations").mkdir(exist_ok=True)
    (folder / _file(split)).write_text(json.dumps(document), "utf-8")


def _part_states(record: Record, states: Sequence[str]) -> dict[str, Any]:
    """States of parts in an image's entry; none where states have no names."""
    return {PART_STATES: record.extra[PART_STATES]} if states and PART_STATES in record.extra else {}


def _number(entries: list[dict[str, Any]]) -> None:
    """Ids 1, 2, ... unless all have one of their own."""
    ids = {entry["id"] for entry in entries}
    if len(ids) < len(entries) or None in ids:
        for number, entry in enumerate(entries, start=1):
            entry["id"] = number


def _annotations(labels: Labels | None, classes: ClassTable) -> Iterator[dict[str, Any]]:
    if labels is not None:
        yield from (_annotation(labels, row, classes) for row in range(len(labels)))


def _annotation(labels: Labels, row: int, classes: ClassTable) -> dict[str, Any]:
    """One row as COCO has it, but for the id of its image."""
    segmentation = None if labels.segmentations is None else labels.segmentations[row]
    points = None if labels.keypoints is None else labels.keypoints[row]
    own_id = -1 if labels.annotation_ids is None else int(labels.annotation_ids[row])
    annotation: dict[str, Any] = {
        "id": own_id if own_id >= 0 else None,
        "category_id": classes.own_ids[labels.class_ids[row]],
        "bbox": labels.boxes_xywh_px[row].tolist(),
        "area": float(labels.areas[row]),
        "iscrowd": int(labels.iscrowd[row]),
    }
    if segmentation is not None:
        annotation["segmentation"] = _segmentation(segmentation)
    if labels.states is not None and labels.states[row] >= 0:
        annotation["state"] = int(labels.states[row])
    if (
        points is not None
        and np.isfinite(points := points[~np.isnan(points).all(axis=1)]).all()
        and len(points)
    ):
        flat = [int(v) if i % 3 == 2 else v for i, v in enumerate(points.ravel().tolist())]
        if labels.area_stated is not None and not labels.area_stated[row]:
            del annotation["area"]
        annotation |= {"keypoints": flat, "num_keypoints": int((points[:, 2] > 0).sum())}
    return annotation


def _segmentation(segmentation: RLE | Polygons) -> Any:
    if isinstance(segmentation, RLE):
        return {"size": list(segmentation.size_hw), "counts": segmentation.counts}
    return [list(ring) for ring in segmentation]
