"""Detections of which a few have no mask, or one of another size, where masks are scored."""

from __future__ import annotations

import warnings
from dataclasses import replace

import numpy as np

from anydet.errors import AnydetWarning
from anydet.geometry.masks import FAR_PX, from_polygons, from_uncompressed
from anydet.mask_columns import MaskColumn
from anydet.text import shortened
from anydet.types import RLE, BoolArray, DetectionColumns, IntArray

_BOXED = "scored as if their boxes were their masks, as pycocotools scores results without a segmentation"
_LOST = "left out: pycocotools fails at them"
_EMPTY = "they match nothing, as in pycocotools"


def filled(
    detections: DetectionColumns, masks: MaskColumn, sizes_wh: IntArray, other: BoolArray
) -> DetectionColumns:
    """The detections with a mask each, counted as pycocotools counts them, with a warning a kind.

    Source: ``COCO.loadRes``, which makes a polygon of the box, and ``maskApi.rleIou``, -1 for other sizes.

    Args:
        detections: all.
        masks: theirs.
        sizes_wh: (N, 2) width and height of their images, -1 where unknown.
        other: (N,) whose mask has another size.
    """
    near = (np.abs(detections.boxes_xywh_px) < FAR_PX / 2).all(axis=1)
    boxed = masks.missing & ~masks.unreadable & (sizes_wh > 0).all(axis=1) & near
    lost = masks.missing & ~boxed
    for rows, what, effect in (
        (boxed, "have no mask", _BOXED),
        (lost, "have no mask that can be read", _LOST),
        (other, "have a mask of another size than their image", _EMPTY),
    ):
        if rows.any():
            first = shortened(detections.images[detections.image_index[np.argmax(rows)]])
            warnings.warn(
                f"{np.count_nonzero(rows)} of {len(rows)} detections {what} (first in image {first}); "
                f"{effect}",
                AnydetWarning,
                stacklevel=4,
            )
    made: list[RLE | None] = []
    at = np.arange(len(masks))
    for row in np.flatnonzero(boxed | other).tolist():
        width, height = sizes_wh[row].tolist()
        x, y, w, h = detections.boxes_xywh_px[row].tolist()
        at[row] = len(masks) + len(made)
        ring = (x, y, x, y + h, x + w, y + h, x + w, y)
        made.append(
            from_polygons((ring,), (width, height))
            if boxed[row]
            else from_uncompressed([width * height], (height, width))
        )
    whole = MaskColumn.join([masks, MaskColumn.of(made)]).take(at)
    return replace(detections, masks=whole).take(np.flatnonzero(~lost))
