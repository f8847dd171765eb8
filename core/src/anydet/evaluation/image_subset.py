"""Detections and ground truth of some of the images of a data set, in any order."""

from __future__ import annotations

from dataclasses import replace

import numpy as np

from anydet.data.dataset.truth_subset import sorted_rows, take_truth
from anydet.types import DetectionColumns, GroundTruthColumns, IntArray


def take_images(
    found: DetectionColumns, truth: GroundTruthColumns, order: IntArray
) -> tuple[DetectionColumns, GroundTruthColumns]:
    """Only the images at ``order``, in that order, with their rows; all others are dropped."""
    images = tuple(truth.images[i] for i in order.tolist())
    place = np.full(len(truth.images), -1, np.int64)
    place[order] = np.arange(len(order))
    sizes = truth.sizes_wh[order]
    rows, index = sorted_rows(place[found.image_index])
    about = None if found.about is None else found.about.take(order)
    found = replace(found.take(rows), images=images, sizes_wh=sizes, image_index=index, about=about)
    return found, take_truth(truth, order)
