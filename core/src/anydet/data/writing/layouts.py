"""Write any ``Dataset`` to disk as YOLO or COCO; images as PNG, so that their pixels stay what they are.

The folder appears whole or not at all: it is filled under a temporary name beside its place and renamed.
"""

from __future__ import annotations

import json
import shutil
from collections.abc import Callable, Iterator, Sequence
from pathlib import Path
from typing import Any

import numpy as np
import yaml
from PIL import Image

from anydet.data.dataset.part_states import PART_STATES
from anydet.data.dataset.protocols import Dataset
from anydet.data.record.record import Record
from anydet.data.writing.new_folder import new_folder
from anydet.errors import DatasetError
from anydet.types import RLE, ClassTable, Labels, Polygons

Report = Callable[[int], None]
"""Called with 1 after each image."""


def write_yolo(
    dataset: Dataset, root: Path, split: str = "val", *, copy: bool = False, report: Report | None = None
) -> None:
    """``images/<split>``, ``labels/<split>/*.txt`` and ``data.yaml``.

    Boxes only, crowds left out: the format has no place for more. With ``copy``, image files are copied
    byte for byte. Raises ``OptionError`` where ``root`` exists and is not an empty folder.
    """
    classes = named_classes(dataset)
    check_split(split)
    with new_folder(root) as folder:
        for record in write_images(dataset, folder / "images" / split, report, copy):
            target = (folder / "labels" / split / record.key).with_suffix(".txt")
            target.parent.mkdir(parents=True, exist_ok=True)
            target.write_text(yolo_lines(record), "utf-8")
        layout = {split: f"images/{split}", "names": dict(enumerate(classes.names))}
        (folder / "data.yaml").write_text(yaml.safe_dump(layout, sort_keys=False), "utf-8")


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

    Args:
        dataset: what to write: boxes, areas, crowd flags, masks, keypoints and states, those of parts without
            a box, too; ids of images and annotations where all have one of their own.
        root: new or empty folder.
        split: name of the split.
        keypoint_names: names for the categories, where the labels have keypoints.
        copy: copy image files byte for byte instead of writing pixels as PNG.
        report: called with 1 after each image.

    Raises:
        OptionError: ``root`` exists and is not an empty folder.
    """
    classes = named_classes(dataset)
    images: list[dict[str, Any]] = []
    annotations: list[dict[str, Any]] = []
    check_split(split)
    states = dataset.ground_truth(0).state_names
    with new_folder(root) as folder:
        for record in write_images(dataset, folder / "images" / split, report, copy):
            (width, height), own_id = record.size_wh, record.extra.get("image_id")
            image = {"id": own_id, "file_name": record.key, "width": width, "height": height}
            images.append(image | _part_states(record, states))
            for annotation in _annotations(record.labels, classes):
                annotations.append({"id": annotation.pop("id"), "image_id": len(images) - 1, **annotation})
        for entries in (images, annotations):
            _number(entries)
        for annotation in annotations:
            annotation["image_id"] = images[annotation["image_id"]]["id"]
        points = {"keypoints": list(keypoint_names), "skeleton": []} if keypoint_names else {}
        categories = [
            {"id": source_id, "name": name, **points}
            for name, source_id in zip(classes.names, classes.source_ids, strict=True)
        ]
        document = {"images": images, "annotations": annotations, "categories": categories}
        if states:
            document["state_categories"] = [{"id": i, "name": name} for i, name in enumerate(states)]
        (folder / "annotations").mkdir()
        (folder / "annotations" / f"instances_{split}.json").write_text(json.dumps(document), "utf-8")


def _part_states(record: Record, states: Sequence[str]) -> dict[str, Any]:
    """What an image's entry says of its parts; nothing where states have no names."""
    return {PART_STATES: record.extra[PART_STATES]} if states and PART_STATES in record.extra else {}


def write_images(dataset: Dataset, folder: Path, report: Report | None, copy: bool) -> Iterator[Record]:
    """Write each record's pixels under its key, then hand the record on.

    With ``copy``, files are copied byte for byte; else pixels are written as PNG.
    """
    folder.mkdir(parents=True, exist_ok=True)
    for record in dataset:
        target = folder / record.key
        target.parent.mkdir(parents=True, exist_ok=True)
        if copy and record.path is not None:
            _copy_image(record, record.path, target)
        else:
            Image.fromarray(record.image()).save(target, format="PNG", compress_level=1)
        yield record
        if report is not None:
            report(1)


def _copy_image(record: Record, path: Path, target: Path) -> None:
    record.pixels.size_wh()  # refuses a name that leads outside the data set
    try:
        shutil.copyfile(path, target)
    except OSError as exc:
        raise DatasetError(f"{path}: cannot be copied: {exc.strerror}", fix="put the image there") from exc


def check_split(split: str) -> None:
    """Raise ``DatasetError`` for a split whose name could not be that of a file."""
    if split in {"", ".", ".."} or set(split) & set("/\\"):
        raise DatasetError(f"split {split!r} is not a plain name", fix="name it like val or train")


def named_classes(dataset: Dataset) -> ClassTable:
    """The class table of a data set; raises ``DatasetError`` where it has none."""
    if dataset.classes is None:
        raise DatasetError(f"{dataset.root}: has no class names", fix="give it a data.yaml or classes.txt")
    return dataset.classes


def yolo_lines(record: Record) -> str:
    """``class cx cy w h`` a line, the box in shares of the image's size."""
    if record.labels is None:
        return ""
    scale = np.array([*record.size_wh, *record.size_wh], np.float64)
    labels = record.labels.take(~record.labels.iscrowd)
    corner, size = labels.boxes_xywh_px[:, :2], labels.boxes_xywh_px[:, 2:]
    boxes = np.concatenate([corner + size / 2, size], axis=1) / scale
    rows = zip(labels.class_ids.tolist(), boxes.tolist(), strict=True)
    return "".join(f"{class_id} {' '.join(f'{v:.10g}' for v in box)}\n" for class_id, box in rows)


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
        "category_id": classes.source_ids[labels.class_ids[row]],
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
        annotation |= {"keypoints": flat, "num_keypoints": int((points[:, 2] > 0).sum())}
    return annotation


def _segmentation(segmentation: RLE | Polygons) -> Any:
    if isinstance(segmentation, RLE):
        return {"size": list(segmentation.size_hw), "counts": segmentation.counts}
    return [list(ring) for ring in segmentation]
