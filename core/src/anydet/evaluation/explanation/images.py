"""Predictions under the key of another image: shifted, sorted otherwise, or mixed up."""

from __future__ import annotations

import re
from collections.abc import Iterator, Sequence
from dataclasses import replace
from functools import partial

import numpy as np
from numpy.typing import NDArray

from anydet.evaluation.explanation.cause import Cause, with_boxes
from anydet.types import DetectionColumns, FloatArray, GroundTruthColumns, IntArray

_PAIR_UP = "write each image's own key beside its predictions; do not pair two lists up by position"
_MOST_IMAGES = 20_000
_GRID, _BINS = 4, 1021
"""Cells a side and a prime number of bins in which the contents of an image are counted."""


def image_causes(images: Sequence[str]) -> Iterator[Cause]:
    """What may have happened to the keys of these images, with boxes in pixels and in fractions."""
    orders = {
        "": np.arange(len(images)),
        ", in alphabetical order": _order(sorted(range(len(images)), key=images.__getitem__)),
        ", in the order of the numbers in their names": _order(
            sorted(range(len(images)), key=lambda i: _numbers(images[i]))
        ),
    }
    for where, order in orders.items():
        yield from _moved(
            f"predictions are under the key of the next image{where}", np.roll(order, -1), order
        )
        yield from _moved(
            f"predictions are under the key of the image before{where}", np.roll(order, 1), order
        )
    for where, order in list(orders.items())[1:]:
        listed = "the images' list" + where.replace(", in", " was in")
        yield from _moved(f"{listed}, and keys are not", orders[""], order)
        yield from _moved(
            f"keys are{where.removeprefix(',')}, and the images' list was not", order, orders[""]
        )
    yield from _moved("keys are in reversed order", orders[""], orders[""][::-1])
    if len(images) <= _MOST_IMAGES:
        for fractions in (False, True):
            undo = partial(_learn_images, fractions)
            name = "predictions are under keys of other images"
            yield Cause("images", name, _PAIR_UP, undo, across_images=True, learned=True)


def _order(positions: list[int]) -> IntArray:
    return np.array(positions, np.int64)


def _numbers(key: str) -> list[tuple[int, str]]:
    """A key to sort by, so that 2.jpg stands before 10.jpg."""
    return [(int(part), "") if part.isdecimal() else (-1, part) for part in re.split(r"([0-9]+)", key)]


def _moved(name: str, keys: IntArray, owners: IntArray) -> Iterator[Cause]:
    """Predictions of ``owners[k]`` stand under ``keys[k]``."""
    home = np.empty(len(keys), np.int64)
    home[keys] = owners
    if not (home == np.arange(len(home))).all():
        for fractions in (False, True):
            yield Cause("images", name, _PAIR_UP, partial(_move, home, fractions), across_images=True)


def _move(
    home: IntArray, fractions: bool, detections: DetectionColumns, _: GroundTruthColumns
) -> DetectionColumns:
    """Detections on other images, -1 for none; ``fractions`` of an image's size stay the same."""
    old, new = detections.image_index, home[detections.image_index]
    found = replace(detections, image_index=new)
    if fractions:
        sizes = np.maximum(detections.sizes_wh, 1).astype(np.float64)
        found = with_boxes(found, found.boxes_xywh_px * np.tile(sizes[new] / sizes[old], 2))
    return found.take(new >= 0)


def _learn_images(
    fractions: bool, detections: DetectionColumns, truth: GroundTruthColumns
) -> DetectionColumns:
    """To each annotated image the predictions that are most like its annotations, one to one."""
    labels = truth.labels
    annotated = np.unique(truth.image_index)
    true = _contents(truth, truth.image_index, labels.class_ids, labels.boxes_xywh_px, np.ones(len(truth)))
    found = _contents(
        detections,
        detections.image_index,
        detections.class_ids,
        detections.boxes_xywh_px,
        detections.scores.clip(0.0, None),
    )
    alike = true[annotated] @ found.T
    home, free = np.full(len(truth.images), -1, np.int64), np.ones(len(annotated), np.bool_)
    for place in np.argsort(-alike, axis=None, kind="stable").tolist():
        row, image = divmod(place, alike.shape[1])
        if free[row] and home[image] < 0 and alike[row, image] > 0:
            home[image], free[row] = annotated[row], False
            if not free.any():
                break
    return _move(home, fractions, detections, truth)


def _contents(
    columns: DetectionColumns | GroundTruthColumns,
    image_index: IntArray,
    class_ids: IntArray,
    boxes: FloatArray,
    weights: FloatArray,
) -> NDArray[np.float32]:
    """(I, bins) of length one: where objects are, by class, place and size, in fractions of the image."""
    sizes = np.maximum(columns.sizes_wh[image_index], 1)
    center = (boxes[:, :2] + boxes[:, 2:] / 2) / sizes
    cells = np.clip(center * _GRID, 0, _GRID - 1).astype(np.int64)
    area = np.clip(np.log2(np.maximum((boxes[:, 2:] / sizes).prod(axis=1), 1e-9)) / 2 + 5, 0, 5)
    bins = ((class_ids * 6 + area.astype(np.int64)) * _GRID + cells[:, 0]) * _GRID + cells[:, 1]
    contents = np.zeros((len(columns.images), _BINS), np.float32)
    np.add.at(contents, (image_index, bins % _BINS), weights)
    length = np.linalg.norm(contents, axis=1, keepdims=True)
    unit: NDArray[np.float32] = (contents / np.maximum(length, 1e-9)).astype(np.float32)
    return unit
