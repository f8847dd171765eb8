"""Write any ``Dataset`` as YOLO: images, label files and ``data.yaml``.

Label files have one kind of lines, by their task (Ultralytics): boxes (``detect``), polygons (``segment``),
or boxes with keypoints (``pose``). A polygon is one ring: parts of a mask are joined by bridges without
area, and holes are filled. In a file of polygons, a line with a box would be read as two points, so that an
object without a mask is the rectangle of its box.
"""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterable, Sequence
from contextlib import AbstractContextManager
from dataclasses import replace
from functools import partial
from pathlib import Path
from typing import Literal

import numpy as np

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
from anydet.data.writing.splits import split_folder
from anydet.data.yolo.data_yaml import DataYaml, read_data_yaml, yaml_text
from anydet.errors import DatasetError
from anydet.geometry import masks
from anydet.geometry.outlines import joined, outlines
from anydet.types import RLE, BoolArray, FloatArray, Labels, Size

Task = Literal["detect", "segment", "pose"]
_SAME_PX = 0.01
"""By how much the bounds of a polygon may differ from its box, which they replace, uncounted."""
_ROUNDING = 1e-6
"""By how much of the image's side a box may leave it and is written as it is: writers round."""


def write_yolo(
    dataset: Dataset,
    root: Path,
    split: str = "val",
    *,
    task: Task = "detect",
    copy: bool = False,
    report: Report | None = None,
) -> None:
    """``images/<split>``, ``labels/<split>/*.txt`` and ``data.yaml``.

    Args:
        dataset: what to write, as ``yolo_labels`` has it.
        root: new or empty folder, or one that was written so and lacks this split.
        split: name of the split.
        task: what the lines have.
        copy: copy image files byte for byte.
        report: called with 1 after each image.

    Raises:
        OptionError: ``root`` is a folder of something else, of other classes or keypoints, or has the split.
        DatasetError: two images would need the same label file.
    """
    names = named_classes(dataset).names
    check_split(split)
    require_own_places(dataset.keys, ".txt")
    with yolo_split(root, split, names) as folder:
        written = write_images(dataset, folder / "images" / split, report, copy)
        write_yolo_labels(dataset, written, folder, split, task=task, beside=root)


def yolo_split(root: Path, split: str, names: Sequence[str], *others: str) -> AbstractContextManager[Path]:
    """A folder to fill with a split in YOLO's layout, as ``split_folder`` gives it.

    Args:
        root: of the data set.
        split: its name.
        names: of the classes.
        others: folders that have one for each split, beside ``images`` and ``labels``.
    """
    parts = [f"{kind}/{split}" for kind in ("images", "labels", *others)]
    return split_folder(root, parts, names, partial(_names_there, root), common=("data.yaml",))


def _names_there(root: Path) -> tuple[str, ...] | None:
    """Classes of a folder that was written so."""
    if not (root / "data.yaml").is_file():
        return None
    there = read_data_yaml(root / "data.yaml").classes
    return () if there is None else there.names


def write_yolo_labels(
    dataset: Dataset,
    records: Iterable[Record],
    folder: Path,
    split: str,
    *,
    task: Task = "detect",
    beside: Path | None = None,
) -> None:
    """Label files and ``data.yaml`` alone, of a data set whose records come as they are written.

    Args:
        dataset: gives the classes.
        records: of its images.
        folder: where the files go.
        split: name of the split.
        task: what the lines have.
        beside: folder of a data set whose ``data.yaml`` gets this split, too.

    Raises:
        DatasetError: the data set has no class names, or two images need the same label file.
        OptionError: the data set beside has other keypoints.
    """
    classes = named_classes(dataset)
    require_own_places(dataset.keys, ".txt")
    points = most_points(dataset) if task == "pose" else 0
    for record in records:
        target = (folder / "labels" / split / record.key).with_suffix(".txt")
        target.parent.mkdir(parents=True, exist_ok=True)
        target.write_text(yolo_lines(record, task, points), "utf-8")
    names = DataYaml(folder / "data.yaml", classes=classes)
    if task == "pose":
        names = replace(names, keypoint_shape=(points, 3), flip_indices=_flip_indices(dataset, points))
    names.file.write_text(yaml_text(split, names, beside), "utf-8")


def _flip_indices(dataset: Dataset, points: int) -> tuple[int, ...]:
    """Which keypoint each one is in the mirror, where the data set says so; else ()."""
    pairs = getattr(dataset, "keypoint_pairs", ())
    mirror = {**dict(pairs), **{right: left for left, right in pairs}}
    return tuple(mirror.get(point, point) for point in range(points)) if pairs else ()


def yolo_task(dataset: Dataset) -> Task:
    """What keeps most: ``pose`` where there are keypoints, ``segment`` where all objects have masks."""
    masked = objects = 0
    for record in dataset:
        if record.labels is None:
            continue
        labels = record.labels.take(np.flatnonzero(~record.labels.iscrowd))
        if labels.keypoints is not None and _labeled(labels.keypoints).any():
            return "pose"
        objects += len(labels)
        masked += sum(bool(one) for one in labels.segmentations or ())
    return "segment" if objects and masked == objects else "detect"


def most_points(dataset: Dataset) -> int:
    """How many keypoints an object has; raises ``DatasetError`` where none has any."""
    columns = (record.labels.keypoints for record in dataset if record.labels is not None)
    count = max((points.shape[1] for points in columns if points is not None), default=0)
    if not count:
        raise DatasetError(f"{dataset.root}: no keypoints", fix="write boxes instead (--to yolo-detect)")
    return count


def yolo_lines(record: Record, task: Task = "detect", points: int = 0) -> str:
    """One object a line, in fractions of the image's size.

    Args:
        record: the image.
        task: ``class cx cy w h``, with ``x y visibility`` of each keypoint (``pose``), or ``class x1 y1 x2 y2
            ...`` (``segment``).
        points: keypoints a line.
    """
    labels = yolo_labels(record)
    if not len(labels):
        return ""
    width, height = map(float, record.size_wh)
    if task == "segment":
        rows: list[Sequence[float]] = [
            [value / (height if i % 2 else width) for i, value in enumerate(ring)]
            for ring in (_ring(labels, row, record.size_wh)[0] for row in range(len(labels)))
        ]
    else:
        corner, size = labels.boxes_xywh_px[:, :2], labels.boxes_xywh_px[:, 2:]
        boxes = np.concatenate([corner + size / 2, size], axis=1) / [width, height, width, height]
        poses = _poses(labels, points, record.size_wh) / [width, height, 1.0]
        rows = np.concatenate([boxes, poses.reshape(len(labels), -1)], axis=1).tolist()
    lines = zip(labels.class_ids.tolist(), rows, strict=True)
    return "".join(f"{class_id} {' '.join(f'{v:.10g}' for v in row)}\n" for class_id, row in lines)


def _poses(labels: Labels, points: int, size_wh: Size) -> FloatArray:
    """(N, points, 3) x, y in pixels and visibility; zeros where not labeled or beyond the image."""
    poses = np.zeros((len(labels), points, 3))
    if points and labels.keypoints is not None:
        given = labels.keypoints
        shown = _labeled(given) & ~_beyond(given, size_wh)
        poses[:, : given.shape[1]][shown] = given[shown]
    return poses


def _labeled(points: FloatArray) -> BoolArray:
    """(N, K) which keypoints are labeled."""
    labeled: BoolArray = np.isfinite(points).all(axis=2) & (np.nan_to_num(points[..., 2]) > 0)
    return labeled


def _beyond(points: FloatArray, size_wh: Size) -> BoolArray:
    """(N, K) which keypoints are outside of the image by more than rounding, which readers refuse."""
    sides = np.array(size_wh, np.float64)
    places = np.nan_to_num(points[..., :2])
    over = np.less(places, -_ROUNDING * sides) | np.greater(places, (1 + _ROUNDING) * sides)
    beyond: BoolArray = np.any(over, axis=2)
    return beyond


def _ring(labels: Labels, row: int, size_wh: Size) -> tuple[tuple[float, ...], dict[str, int]]:
    """The polygon of an object, and what of it is changed."""
    box = labels.boxes_xywh_px[row]
    segmentation = None if labels.segmentations is None else labels.segmentations[row]
    holes = 0
    if isinstance(segmentation, RLE):
        rings, holes = outlines(masks.decode(segmentation))
    else:
        rings = segmentation or ()
    ring = joined(rings) if rings else ()
    inside = np.clip(np.array(ring).reshape(-1, 2), 0.0, np.array(size_wh, np.float64))
    if not len(inside) or (np.ptp(inside, axis=0) <= 0).any():
        lost = "masks" if segmentation else "objects without a mask among those with one"
        (x1, y1), (x2, y2) = box[:2].tolist(), (box[:2] + box[2:]).tolist()
        return (x1, y1, x2, y1, x2, y2, x1, y2), {lost: 1}
    low, high = inside.min(axis=0), inside.max(axis=0)
    moved = np.abs(np.concatenate([low, high]) - np.concatenate([box[:2], box[:2] + box[2:]])) > _SAME_PX
    return tuple(inside.ravel().tolist()), {
        "separate parts of masks": len(rings) - 1,
        "holes of masks": holes,
        "parts of masks beyond the edge": int((np.abs(inside.ravel() - ring) > _SAME_PX).any()),
        "boxes other than the bounds of the mask": int(moved.any()),
    }


def shape_losses(record: Record, task: Task) -> dict[str, int]:
    """What lines of a task change of masks and keypoints, by what it is called where losses are listed."""
    labels, lost = yolo_labels(record), Counter[str]()
    if task == "segment":
        for row in range(len(labels)):
            lost.update(_ring(labels, row, record.size_wh)[1])
    else:
        lost["masks"] = sum(bool(one) for one in labels.segmentations or ())
    if labels.keypoints is not None and len(labels):
        labeled = _labeled(labels.keypoints)
        if task == "pose":
            beyond = labeled & _beyond(labels.keypoints, record.size_wh)
            lost["keypoints beyond the edge"] = int(beyond.sum())
        else:
            lost["keypoints"] = int(np.isfinite(labels.keypoints).any(axis=(1, 2)).sum())
    return lost


def yolo_labels(record: Record) -> Labels:
    """The rows that label files hold: no crowds, no boxes without area in the image, others clipped to it.

    Readers refuse more: Ultralytics leaves an image out when one of its coordinates is beyond it.
    """
    labels = (
        no_labels() if record.labels is None else record.labels.take(np.flatnonzero(~record.labels.iscrowd))
    )
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
