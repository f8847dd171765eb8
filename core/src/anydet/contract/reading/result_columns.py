"""COCO results as columns."""

from __future__ import annotations

from typing import ClassVar

import numpy as np

from anydet.columns import Columns
from anydet.dataclass import dataclass
from anydet.mask_columns import MaskColumn
from anydet.types import BoolArray, FloatArray, IntArray


@dataclass(frozen=True, slots=True, eq=False)
class ResultColumns(Columns):
    """Results, one row each; boxes are filled in where the file has none.

    ``image_ids`` and ``category_ids`` are arrays of objects where some are text or integers of more than 64
    bits; ``file_names`` is ``None`` where no result names a file, or nobody looked. ``boxes_around`` and
    ``oddities`` are as in ``RawPredictions``.
    """

    ROWS: ClassVar = (
        "image_ids",
        "category_ids",
        "scores",
        "boxes",
        "areas",
        "masks",
        "keypoints",
        "file_names",
        "boxes_around",
    )

    image_ids: IntArray
    category_ids: IntArray
    scores: FloatArray
    boxes: FloatArray
    areas: FloatArray
    masks: MaskColumn | None
    keypoints: FloatArray | None
    file_names: tuple[str | None, ...] | None = None
    boxes_around: BoolArray | None = None
    oddities: tuple[str, ...] = ()


def box_keypoints(boxes: FloatArray, keypoints: FloatArray) -> FloatArray:
    """The boxes, those that are NaN around the keypoints of their row."""
    lacking = np.flatnonzero(np.isnan(boxes[:, 0]))
    if not len(lacking):
        return boxes
    points = keypoints[lacking, :, :2]
    low, high = np.nanmin(points, axis=1), np.nanmax(points, axis=1)
    whole: FloatArray = boxes.copy()
    whole[lacking] = np.concatenate([low, high - low], axis=1)
    return whole
