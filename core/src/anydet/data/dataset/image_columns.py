"""Columns of images as wholes: their classes, class masks, cameras and the states of their parts."""

from __future__ import annotations

from collections.abc import Sequence
from typing import TYPE_CHECKING

import numpy as np

from anydet.data.record.class_mask import ClassMask, ClassMaskColumn
from anydet.errors import DatasetError
from anydet.types import FloatArray, ImageColumns, IntArray

if TYPE_CHECKING:
    from anydet.data.record.record import Record

CLASS_KEY = "classification"
"""Key of ``Record.extra``: the class of the image, ``{"class_id": 3}`` as in the predictions contract."""


def image_columns(
    *,
    class_ids: IntArray | None = None,
    class_masks: Sequence[ClassMask | None] | None = None,
    cameras: FloatArray | None = None,
    part_states: IntArray | None = None,
) -> ImageColumns | None:
    """Columns of I images, ``None`` where nothing is known of any of them.

    Evaluators run where their column is there, so one that is unknown for all images must not be.

    Args:
        class_ids: (I,) -1 where unknown.
        class_masks: one an image, or ``None`` where there is none.
        cameras: (I, 4) fx, fy, cx, cy, NaN where unknown.
        part_states: (I, C) negative where unknown.
    """
    columns = ImageColumns(
        class_ids=class_ids if class_ids is not None and (class_ids >= 0).any() else None,
        semantic_masks=ClassMaskColumn(tuple(class_masks)) if class_masks and any(class_masks) else None,
        cameras=cameras if cameras is not None and np.isfinite(cameras).any() else None,
        part_states=None if part_states is None else np.maximum(part_states, -1),
    )
    known = columns.class_ids, columns.semantic_masks, columns.cameras, columns.part_states
    return None if all(column is None for column in known) else columns


def image_class(record: Record) -> int:
    """What the image as a whole shows, -1 where unknown; raises ``DatasetError`` where it is malformed."""
    given = record.extra.get(CLASS_KEY)
    if given is None:
        return -1
    class_id = given.get("class_id") if isinstance(given, dict) else None
    if not isinstance(class_id, int) or isinstance(class_id, bool) or class_id < 0:
        raise DatasetError(
            f"image {record.key}: {CLASS_KEY}: {given!r} is not a class",
            fix=f'write "{CLASS_KEY}": {{"class_id": 3}} into its sidecar',
        )
    return class_id
