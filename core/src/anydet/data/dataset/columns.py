"""Labels of single images, put together as columns over all images."""

from __future__ import annotations

from collections.abc import Iterable
from typing import Any

import numpy as np

from anydet.columns import concatenate
from anydet.types import ClassTable, FloatArray, GroundTruthColumns, IntArray, Labels, Size


def boxes_only(class_ids: IntArray, boxes_xywh_px: FloatArray, **optional: Any) -> Labels:
    """Labels of a source without areas and crowds: the area is width x height, nothing is a crowd."""
    areas = boxes_xywh_px[:, 2] * boxes_xywh_px[:, 3]
    return Labels(class_ids, boxes_xywh_px, areas, np.zeros(len(class_ids), np.bool_), **optional)


def no_labels() -> Labels:
    """The labels of an image that shows nothing."""
    return boxes_only(np.zeros(0, np.int64), np.zeros((0, 4)))


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
        classes=classes or numbered_classes(int(labels.class_ids.max(initial=-1)) + 1),
        source=source,
    )


def numbered_classes(count: int) -> ClassTable:
    """A table for a source without names: "0", "1", ..."""
    return ClassTable(tuple(str(i) for i in range(count)))
