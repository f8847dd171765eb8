"""Columns of some of the images of a data set, in any order."""

from __future__ import annotations

from dataclasses import replace

import numpy as np

from anydet.types import DetectionColumns, Federation, GroundTruthColumns, IntArray


def take_images(
    found: DetectionColumns, truth: GroundTruthColumns, order: IntArray
) -> tuple[DetectionColumns, GroundTruthColumns]:
    """Only the images at ``order``, in that order, with their rows; all others are dropped."""
    found = take_detections(replace(found, images=truth.images, sizes_wh=truth.sizes_wh), order)
    return found, take_truth(truth, order)


def take_detections(found: DetectionColumns, order: IntArray) -> DetectionColumns:
    """Detections of the images at ``order``, in that order."""
    place = np.full(len(found.images), -1, np.int64)
    place[order] = np.arange(len(order))
    rows, index = _sorted_rows(place[found.image_index])
    return replace(
        found.take(rows),
        images=tuple(found.images[i] for i in order.tolist()),
        sizes_wh=found.sizes_wh[order],
        image_index=index,
        about=None if found.about is None else found.about.take(order),
    )


def take_truth(truth: GroundTruthColumns, order: IntArray) -> GroundTruthColumns:
    """Ground truth of the images at ``order``, in that order."""
    place = np.full(len(truth.images), -1, np.int64)
    place[order] = np.arange(len(order))
    rows, index = _sorted_rows(place[truth.image_index])
    return replace(
        truth,
        images=tuple(truth.images[i] for i in order.tolist()),
        sizes_wh=truth.sizes_wh[order],
        image_index=index,
        labels=truth.labels.take(rows),
        image_ids=None if truth.image_ids is None else truth.image_ids[order],
        image_names=None
        if truth.image_names is None
        else tuple(truth.image_names[i] for i in order.tolist()),
        federation=None if truth.federation is None else _taken(truth.federation, place),
        about=None if truth.about is None else truth.about.take(order),
    )


def _taken(federation: Federation, place: IntArray) -> Federation:
    """The pairs whose images have a place."""
    absent, incomplete = (
        np.stack([place[pairs[:, 0]], pairs[:, 1]], axis=1)[place[pairs[:, 0]] >= 0]
        for pairs in (federation.absent, federation.incomplete)
    )
    return replace(federation, absent=absent, incomplete=incomplete)


def _sorted_rows(index: IntArray) -> tuple[IntArray, IntArray]:
    """Positions of the rows to keep (``index`` >= 0) by image, in their old order within one; and images."""
    order = np.argsort(index, kind="stable")
    order = order[np.count_nonzero(index < 0) :]
    return order, index[order]
