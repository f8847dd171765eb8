"""Results as ``supervision.Detections`` and back: boxes, scores, classes and masks."""

from __future__ import annotations

from typing import Any

import numpy as np

from anydet.errors import AnydetError
from anydet.geometry.masks import decode, encode
from anydet.types import ImagePredictions, Size


def to_supervision(predictions: ImagePredictions) -> Any:
    """A ``supervision.Detections``; masks become (N, H, W) bool, empty where a detection has none.

    Raises:
        AnydetError: the package supervision is not installed.
    """
    try:
        import supervision
    except ImportError as exc:
        raise AnydetError("supervision is not installed", fix="pip install supervision") from exc
    masks = None
    if predictions.masks is not None and len(predictions):
        width, height = predictions.size_wh
        empty = np.zeros((height, width), np.bool_)
        masks = np.stack([empty if m is None else decode(m).astype(np.bool_) for m in predictions.masks])
    return supervision.Detections(
        xyxy=predictions.boxes_xyxy_px.copy(),
        confidence=predictions.scores.copy(),
        class_id=predictions.class_ids.copy(),
        mask=masks,
    )


def from_supervision(detections: Any, image: str, size_wh: Size) -> ImagePredictions:
    """A result from a ``supervision.Detections``; a score that is missing is 1, a class that is missing 0."""
    count = len(detections)
    scores, class_ids, masks = detections.confidence, detections.class_id, detections.mask
    return ImagePredictions(
        image,
        size_wh,
        np.asarray(detections.xyxy, np.float64).reshape(-1, 4),
        np.ones(count) if scores is None else np.asarray(scores, np.float64),
        np.zeros(count, np.int64) if class_ids is None else np.asarray(class_ids, np.int64),
        masks=None if masks is None else tuple(encode(m) if m.any() else None for m in np.asarray(masks)),
    )
