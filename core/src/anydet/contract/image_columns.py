"""Predictions for whole images, as columns."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import replace
from typing import Any, Protocol, TypeVar

import numpy as np

from anydet.types import (
    RLE,
    Classification,
    FloatArray,
    ImageColumns,
    IntArray,
    Intrinsics,
)


class AboutImage(Protocol):
    """What ``raw.ImageDetails`` and ``ImagePredictions`` have in common."""

    @property
    def classification(self) -> Classification | None:
        """What the image shows."""

    @property
    def semantic_mask(self) -> Mapping[int, RLE] | None:
        """All pixels of each class."""

    @property
    def intrinsics(self) -> Intrinsics | None:
        """The camera of the original image."""


def image_columns(about: Mapping[int, AboutImage], count: int) -> ImageColumns | None:
    """Columns over ``count`` images; ``None`` where no image has any of it.

    Args:
        about: what is predicted, by position of the image; images may be left out.
        count: number of images.
    """
    classes = {i: one.classification for i, one in about.items() if one.classification is not None}
    masks = {i: one.semantic_mask for i, one in about.items() if one.semantic_mask is not None}
    cameras = {i: one.intrinsics for i, one in about.items() if one.intrinsics is not None}
    if not classes and not masks and not cameras:
        return None
    return ImageColumns(
        class_ids=_integers(classes, count) if classes else None,
        confidences=_floats({i: (one.score,) for i, one in classes.items()}, count)[:, 0]
        if classes
        else None,
        class_scores=_class_scores(classes, count),
        semantic_masks=tuple(masks.get(i) for i in range(count)) if masks else None,
        cameras=_floats({i: (k.fx, k.fy, k.cx, k.cy) for i, k in cameras.items()}, count)
        if cameras
        else None,
    )


def about_image(about: ImageColumns | None, image: int) -> dict[str, Any]:
    """The fields of ``ImagePredictions`` that one image's row fills."""
    if about is None:
        return {}
    camera = None if about.cameras is None else about.cameras[image]
    return {
        "classification": _classification(about, image),
        "semantic_mask": None if about.semantic_masks is None else about.semantic_masks[image],
        "intrinsics": None if camera is None or np.isnan(camera).any() else Intrinsics(*camera.tolist()),
    }


def renumber_classes(about: ImageColumns, places: IntArray) -> ImageColumns:
    """The same with class ``i`` called ``places[i]``.

    Where an id has no place, images have classes of their own, and nothing is changed.
    """
    ids = [] if about.class_ids is None else about.class_ids.tolist()
    masks = about.semantic_masks or ()
    most = max([*ids, *(max(one, default=-1) for one in masks if one is not None)], default=-1)
    by_class = [column for column in (about.class_scores, about.part_states) if column is not None]
    if max([most + 1, *(column.shape[1] for column in by_class)]) > len(places):
        return about
    return replace(
        about,
        class_ids=None if about.class_ids is None else np.append(places, -1)[about.class_ids],
        class_scores=_placed(about.class_scores, places),
        part_states=_placed(about.part_states, places),
        semantic_masks=None
        if about.semantic_masks is None
        else tuple(
            one and {int(places[class_id]): mask for class_id, mask in one.items()}
            for one in about.semantic_masks
        ),
    )


_Column = TypeVar("_Column", FloatArray, IntArray)


def _placed(column: _Column | None, places: IntArray) -> _Column | None:
    """(I, C) with the column of class ``i`` at ``places[i]``; missing values elsewhere."""
    if column is None:
        return None
    blank = np.nan if column.dtype.kind == "f" else -1
    placed = np.full((len(column), len(places)), blank, column.dtype)
    placed[:, places[: column.shape[1]]] = column
    return placed


def _classification(about: ImageColumns, image: int) -> Classification | None:
    if about.class_ids is None or about.class_ids[image] < 0:
        return None
    scores = np.zeros(0) if about.class_scores is None else about.class_scores[image]
    known = tuple(scores[~np.isnan(scores)].tolist())
    confidence = np.nan if about.confidences is None else about.confidences[image]
    return Classification(int(about.class_ids[image]), float(confidence), known or None)


def _integers(classes: Mapping[int, Classification], count: int) -> IntArray:
    column = np.full(count, -1, np.int64)
    for i, one in classes.items():
        column[i] = one.class_id
    return column


def _class_scores(classes: Mapping[int, Classification], count: int) -> FloatArray | None:
    scores = {i: one.scores for i, one in classes.items() if one.scores is not None}
    return _floats(scores, count) if scores else None


def _floats(rows: Mapping[int, tuple[float, ...]], count: int) -> FloatArray:
    """(count, widest row), NaN where there is nothing."""
    column = np.full((count, max(map(len, rows.values()))), np.nan)
    for i, row in rows.items():
        column[i, : len(row)] = row
    return column
