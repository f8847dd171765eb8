"""Results of several views of one image, joined."""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np

from anydet.columns import concatenate
from anydet.geometry.boxes import nms_by_class
from anydet.types import ImagePredictions


def fuse_nms(results: Sequence[ImagePredictions], iou_threshold: float = 0.6) -> ImagePredictions:
    """Everything that any view found, less what class-wise non-maximum suppression finds twice.

    Args:
        results: one per view, all in pixels of the original image.
        iou_threshold: overlap from which two boxes of one class are the same object.
    """
    merged = concatenate(results)
    keep = nms_by_class(merged.boxes_xyxy_px, merged.scores, merged.class_ids, iou_threshold)
    return merged.take(np.asarray(keep, np.int64))
