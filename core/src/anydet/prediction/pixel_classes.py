"""Predictions of models that classify pixels or images: semantic mask, objects, class of the image."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import replace
from typing import Any

import numpy as np
from numpy.typing import NDArray

from anydet.data.record.class_mask import background_of, masks_of_classes
from anydet.geometry import masks
from anydet.geometry.objects import find_objects
from anydet.types import AdapterSettings, Classification, ClassTable, FloatArray, ImagePredictions, Size

_FEWEST = 100


def predictions_of_pixels(
    key: str,
    probabilities: NDArray[Any],
    image_scores: Sequence[float],
    classes: ClassTable | None,
    settings: AdapterSettings,
    *,
    min_area_px: int,
) -> ImagePredictions:
    """The likeliest class of every pixel, the regions that it makes, and the likeliest class of the image.

    Args:
        key: of the image.
        probabilities: (C, H, W) of the classes of each pixel of the original image.
        image_scores: (C,) probabilities of the image's classes.
        classes: of pixels and of images; regions of the class called background are no objects.
        settings: lowest score and most objects, of which there may always be 100.
        min_area_px: smaller regions are no objects; the semantic mask keeps them.
    """
    class_map = probabilities.argmax(axis=0).astype(np.int64)
    height, width = class_map.shape
    objects = find_objects(
        class_map,
        probabilities.max(axis=0).astype(np.float64),
        background_of(classes),
        min_area_px=min_area_px,
        score_floor=settings.score_floor,
        # COCO evaluates up to 100 detections an image: a cut below that would cost recall.
        limit=max(_FEWEST, settings.max_detections),
    )
    return ImagePredictions(
        key,
        (width, height),
        objects.boxes_xyxy_px,
        objects.scores,
        objects.class_ids,
        masks=tuple(masks.encode(objects.regions.index_map == row) for row in objects.rows.tolist()),
        classification=classification_of(image_scores),
        semantic_mask=masks_of_classes(class_map),
    )


def predictions_of_image(key: str, size_wh: Size, image_scores: FloatArray) -> ImagePredictions:
    """The likeliest class of an image of which nothing else is predicted, by (C,) probabilities."""
    return replace(
        ImagePredictions.empty(key, size_wh), classification=classification_of(image_scores.tolist())
    )


def classification_of(image_scores: Sequence[float]) -> Classification:
    """The likeliest class, of (C,) probabilities."""
    top = int(np.argmax(image_scores))
    return Classification(top, image_scores[top], tuple(image_scores))
