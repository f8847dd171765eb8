"""Labels of single images, put together as columns over all images."""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import replace
from typing import TYPE_CHECKING, Any

import numpy as np

from anydet.columns import concatenate
from anydet.data.dataset.image_columns import image_class, image_columns
from anydet.geometry.boxes import area_xywh
from anydet.types import ClassTable, FloatArray, GroundTruthColumns, IntArray, Labels, Size

if TYPE_CHECKING:
    from anydet.data.record.class_mask import ClassMask
    from anydet.data.record.record import Record


def boxes_only(class_ids: IntArray, boxes_xywh_px: FloatArray, **optional: Any) -> Labels:
    """Labels of a source without areas and crowds: the area is width x height, nothing is a crowd."""
    areas = area_xywh(boxes_xywh_px)
    no = np.zeros(len(class_ids), np.bool_)
    return Labels(class_ids, boxes_xywh_px, areas, no, area_stated=no.copy(), **optional)


def no_labels() -> Labels:
    """The labels of an image that shows nothing."""
    return boxes_only(np.zeros(0, np.int64), np.zeros((0, 4)))


def columns_of_records(
    records: Iterable[tuple[Record, Size]], classes: ClassTable | None, source: str
) -> GroundTruthColumns:
    """Columns over images whose annotations are stored image by image.

    Args:
        records: each with the (width, height) of its image, which a record alone might open a file for.
        classes: class table; without one, classes are called "0", "1", ... up to the highest that occurs.
        source: where the labels come from.

    Raises:
        DatasetError: the class of an image is malformed.
    """
    rows: list[tuple[str, Size, Labels]] = []
    class_ids: list[int] = []
    class_masks: list[ClassMask | None] = []
    cameras: list[tuple[float, ...]] = []
    for record, size in records:
        rows.append((record.key, size, no_labels() if record.labels is None else record.labels))
        class_ids.append(image_class(record))
        class_masks.append(record.class_mask)
        camera = record.camera
        cameras.append((camera.fx, camera.fy, camera.cx, camera.cy) if camera else (np.nan,) * 4)
    whole_images = image_columns(
        class_ids=np.array(class_ids, np.int64),
        class_masks=class_masks,
        cameras=np.array(cameras).reshape(-1, 4),
    )
    return replace(ground_truth_columns(rows, classes, source), about=whole_images)


def ground_truth_columns(
    rows: Iterable[tuple[str, Size | None, Labels]], classes: ClassTable | None, source: str
) -> GroundTruthColumns:
    """Columns over images.

    Args:
        rows: key, (width, height) or ``None`` where unknown, and labels of each image.
        classes: class table; without one, classes are called "0", "1", ... up to the highest that occurs.
        source: where the labels come from.
    """
    images = list(rows)
    labels = concatenate([one for _, _, one in images] or [no_labels()])
    sizes = np.array([size or (-1, -1) for _, size, _ in images], np.int64).reshape(-1, 2)
    return GroundTruthColumns(
        images=tuple(key for key, _, _ in images),
        sizes_wh=sizes,
        image_index=np.repeat(np.arange(len(images)), [len(one) for _, _, one in images]),
        labels=labels,
        classes=classes or numbered_classes(labels),
        source=source,
    )


def numbered_classes(labels: Labels) -> ClassTable:
    """A table for a source without names: "0", "1", ... up to the highest class of these labels."""
    return ClassTable(tuple(map(str, range(int(labels.class_ids.max(initial=-1)) + 1))))
