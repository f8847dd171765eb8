"""Labels of single images and columns over all images, one into the other."""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from dataclasses import fields
from typing import Any

import numpy as np

from anydet.types import ClassTable, FloatArray, GroundTruthColumns, IntArray, Labels, Poses, Size


def boxes_only(class_ids: IntArray, boxes_xywh_px: FloatArray, **optional: Any) -> Labels:
    """Labels of a source without areas and crowds: the area is width x height, nothing is a crowd."""
    areas = boxes_xywh_px[:, 2] * boxes_xywh_px[:, 3]
    return Labels(class_ids, boxes_xywh_px, areas, np.zeros(len(class_ids), np.bool_), **optional)


def no_labels() -> Labels:
    """The labels of an image that shows nothing."""
    return boxes_only(np.zeros(0, np.int64), np.zeros((0, 4)))


def concatenate(labels: Sequence[Labels]) -> Labels:
    """The rows of all, in order; what only some have is missing (NaN, -1, ``None``) in the others.

    Keypoints are padded with NaN to the largest number of points.
    """
    if not labels:
        return no_labels()
    counts = [len(one) for one in labels]
    return Labels(
        class_ids=np.concatenate([one.class_ids for one in labels]),
        boxes_xywh_px=np.concatenate([one.boxes_xywh_px for one in labels]),
        areas=np.concatenate([one.areas for one in labels]),
        iscrowd=np.concatenate([one.iscrowd for one in labels]),
        annotation_ids=_stack([one.annotation_ids for one in labels], counts),
        segmentations=_chain([one.segmentations for one in labels], counts),
        keypoints=_stack(_padded([one.keypoints for one in labels]), counts),
        states=_stack([one.states for one in labels], counts),
        poses=_stack_poses([one.poses for one in labels], counts),
    )


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
    labels = concatenate([one for _, _, one in images])
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


def _stack(columns: Sequence[Any], counts: Sequence[int]) -> Any:
    """Concatenate arrays of which some may be ``None``."""
    like = next((column for column in columns if column is not None), None)
    if like is None:
        return None
    missing = np.nan if like.dtype.kind == "f" else -1

    def filled(column: Any, count: int) -> Any:
        return np.full((count, *like.shape[1:]), missing, like.dtype) if column is None else column

    return np.concatenate([filled(*pair) for pair in zip(columns, counts, strict=True)])


def _chain(columns: Sequence[tuple[Any, ...] | None], counts: Sequence[int]) -> tuple[Any, ...] | None:
    if all(column is None for column in columns):
        return None
    pairs = zip(columns, counts, strict=True)
    return tuple(row for column, count in pairs for row in ((None,) * count if column is None else column))


def _padded(columns: Sequence[FloatArray | None]) -> list[FloatArray | None]:
    points = max((column.shape[1] for column in columns if column is not None), default=0)

    def pad(column: FloatArray) -> FloatArray:
        return np.pad(column, ((0, 0), (0, points - column.shape[1]), (0, 0)), constant_values=np.nan)

    return [None if column is None else pad(column) for column in columns]


def _stack_poses(columns: Sequence[Poses | None], counts: Sequence[int]) -> Poses | None:
    if all(column is None for column in columns):
        return None
    parts = {
        field.name: _stack([None if p is None else getattr(p, field.name) for p in columns], counts)
        for field in fields(Poses)
    }
    return Poses(**parts)
