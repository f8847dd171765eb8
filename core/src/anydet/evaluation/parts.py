"""Whole images seen in parts, put together again: what makes evaluators mergeable."""

from __future__ import annotations

from collections import Counter
from collections.abc import Sequence
from dataclasses import replace
from itertools import chain
from typing import TypeAlias

import numpy as np

from anydet.columns import concatenate
from anydet.errors import EvaluationError
from anydet.types import DetectionColumns, GroundTruthColumns, IntArray

Part: TypeAlias = tuple[DetectionColumns, GroundTruthColumns]


def join_parts(parts: Sequence[Part]) -> Part:
    """One part with all images, in an order that does not depend on how they were split.

    Images are ordered by the source's image ids where all parts have them, as pycocotools orders them, else
    by key; rows of one image keep their order. Raises ``EvaluationError`` for an image seen twice.
    """
    truths = [truth for _, truth in parts]
    images = tuple(chain.from_iterable(truth.images for truth in truths))
    _refuse_duplicates(images)
    starts = np.cumsum([0, *(len(truth.images) for truth in truths)])
    ids = None
    if all(truth.image_ids is not None for truth in truths):
        ids = np.concatenate([truth.image_ids for truth in truths if truth.image_ids is not None])
    truth = replace(
        truths[0],
        images=images,
        sizes_wh=np.concatenate([truth.sizes_wh for truth in truths]),
        image_index=np.concatenate([t.image_index + s for t, s in zip(truths, starts, strict=False)]),
        labels=concatenate([truth.labels for truth in truths]),
        source="; ".join(dict.fromkeys(truth.source for truth in truths)),
        image_ids=ids,
    )
    shifted = [
        replace(found, image_index=found.image_index + start)
        for (found, _), start in zip(parts, starts, strict=False)
    ]
    found = replace(concatenate(shifted), images=images, sizes_wh=truth.sizes_wh)
    order = np.argsort(ids, kind="stable") if ids is not None else _by_key(images)
    return take_images(found, truth, order)


def take_images(found: DetectionColumns, truth: GroundTruthColumns, order: IntArray) -> Part:
    """Only the images at ``order``, in that order, with their rows; all others are dropped."""
    images = tuple(truth.images[i] for i in order.tolist())
    place = np.full(len(truth.images), -1, np.int64)
    place[order] = np.arange(len(order))
    sizes = truth.sizes_wh[order]
    rows, index = _sorted_rows(place[found.image_index])
    found = replace(found.take(rows), images=images, sizes_wh=sizes, image_index=index)
    rows, index = _sorted_rows(place[truth.image_index])
    ids = None if truth.image_ids is None else truth.image_ids[order]
    labels = truth.labels.take(rows)
    return found, replace(
        truth, images=images, sizes_wh=sizes, image_index=index, labels=labels, image_ids=ids
    )


def _sorted_rows(index: IntArray) -> tuple[IntArray, IntArray]:
    """Positions of the rows to keep (``index`` >= 0) by image, in their old order within one; and images."""
    order = np.argsort(index, kind="stable")
    order = order[np.count_nonzero(index < 0) :]
    return order, index[order]


def _by_key(images: Sequence[str]) -> IntArray:
    return np.array(sorted(range(len(images)), key=images.__getitem__), np.int64)


def _refuse_duplicates(images: Sequence[str]) -> None:
    twice = [image for image, count in Counter(images).items() if count > 1]
    if twice:
        raise EvaluationError(
            f"image {twice[0]!r} was added {Counter(images)[twice[0]]} times ({len(twice)} such images)",
            fix="add every image once; parts that are merged must not share images",
        )
