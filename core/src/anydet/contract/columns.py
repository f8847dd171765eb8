"""Images into columns and columns into images: one function each way."""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Mapping, Sequence
from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np

from anydet.columns import concatenate
from anydet.contract.documents import Entry
from anydet.contract.image_columns import about_image, image_columns
from anydet.contract.join import match_keys
from anydet.contract.raw import ImageDetails, RawPredictions
from anydet.contract.reading.entries import entries, read_meta
from anydet.contract.reading.opening import open_source
from anydet.contract.reading.source import Source
from anydet.contract.reading.table import Table
from anydet.errors import ContractError
from anydet.geometry.boxes import area_xyxy, xywh_to_xyxy, xyxy_to_xywh
from anydet.types import DetectionColumns, GroundTruthColumns, ImagePredictions, Size

NO_SIZE = "write width and height into the data set, or put its images where it looks for them"
"""What to do where even the data set does not know the size of an image."""
_SHARED = (
    "class_ids",
    "scores",
    "states",
    "state_scores",
    "masks",
    "keypoints",
    "keypoint_visibility",
    "poses",
)

_IN_FILE = (
    "class_ids",
    "boxes",
    "scores",
    "states",
    "state_scores",
    "masks",
    "keypoints",
    "keypoint_visibility",
    "detection_extra",
    "areas",
    "boxes_around",
)
"""Columns of ``RawPredictions`` with one entry a detection, but for ``image_index`` and ``poses``."""


def to_columns(images: Iterable[ImagePredictions], classes: Sequence[str] | None = None) -> DetectionColumns:
    """Columns over images; what a row lacks is filled with missing values.

    Args:
        images: results, each image once; a size of (0, 0) means unknown.
        classes: names of the class ids.
    """
    listed = list(images)
    sizes = np.array([p.size_wh for p in listed], np.int64).reshape(-1, 2)
    none = np.zeros(0)
    # There has to be a table even without images: `concatenate` takes the names of columns from the first.
    empty = ImagePredictions("", (0, 0), np.zeros((0, 4)), none, none.astype(np.int64))
    columns = concatenate([_rows(p, i) for i, p in enumerate(listed)] or [_rows(empty, 0)])
    return replace(
        columns,
        images=tuple(p.image for p in listed),
        # An unknown size is (0, 0) in results and -1 in columns.
        sizes_wh=np.where(sizes > 0, sizes, -1),
        classes=None if classes is None else tuple(classes),
        about=image_columns(dict(enumerate(listed)), len(listed)),
    )


def to_images(columns: DetectionColumns) -> Iterator[ImagePredictions]:
    """One result an image, in the order of ``columns.images``, empty ones too."""
    order = np.argsort(columns.image_index, kind="stable")
    stops = np.cumsum(np.bincount(columns.image_index, minlength=len(columns.images))).tolist()
    sizes = np.maximum(columns.sizes_wh, 0).tolist()
    start = 0
    for i, (image, size, stop) in enumerate(zip(columns.images, sizes, stops, strict=True)):
        rows = columns.take(order[start:stop])
        yield ImagePredictions(
            image=image,
            size_wh=(size[0], size[1]),
            boxes_xyxy_px=xywh_to_xyxy(rows.boxes_xywh_px),
            **{name: getattr(rows, name) for name in _SHARED},
            **about_image(columns.about, i),
        )
        start = stop


def read_images(
    path: Path | str, box_format: str | None = None, sizes_wh: Mapping[str, Size] | None = None
) -> Iterator[ImagePredictions]:
    """The images of a predictions file one at a time, complete: the inverse of ``encode_entry``.

    Memory holds the file's text and one image; of JSON Lines, one line.

    Args:
        path: a file of any shape but COCO results.
        box_format: one of ``BOX_FORMATS``, or ``None`` for what the file says of itself.
        sizes_wh: (width, height) by image key, where entries do not state it.

    Raises:
        ContractError: at the first entry that breaks the contract, or whose size is needed and unknown.
    """
    with open_source(path) as source:
        yield from images_of(source, box_format, sizes_wh)


def images_of(
    source: Source, box_format: str | None = None, sizes_wh: Mapping[str, Size] | None = None
) -> Iterator[ImagePredictions]:
    """As ``read_images``, of a file that is open already."""
    path = source.path
    meta, problems = read_meta(source)
    if problems:
        raise ContractError(f"{path}: {problems[0]}", fix=f"run 'anydet validate-predictions {path}'")
    for entry in entries(source):
        yield image_of_entry(entry, str(path), meta, box_format, (sizes_wh or {}).get(entry.image))


def image_of_entry(
    entry: Entry,
    path: str,
    meta: Mapping[str, Any] | None,
    box_format: str | None = None,
    known_wh: Size | None = None,
) -> ImagePredictions:
    """One entry as a result; arguments as in ``read_images``, ``known_wh`` wins over the entry's size."""
    table = Table()
    table.add(entry, 0)
    return _image(table.finish(path, "list", meta), box_format, known_wh)


def _image(raw: RawPredictions, box_format: str | None, known_wh: Size | None) -> ImagePredictions:
    sizes = np.array([known_wh], np.int64) if known_wh else raw.sizes_wh
    columns = raw.columns(box_format, sizes)
    (image,) = to_images(columns)
    return with_details(image, raw, raw.details.get(0, ImageDetails()))


def image_at(raw: RawPredictions, at: int, size_wh: Size, box_format: str | None = None) -> ImagePredictions:
    """One image of a file, complete.

    Args:
        raw: the file.
        at: position of the image's entry.
        size_wh: (width, height) of the image in pixels.
        box_format: one of ``BOX_FORMATS``, or ``None`` for what the file says of itself.
    """
    start, stop = np.searchsorted(raw.image_index, [at, at + 1]).tolist()
    details = raw.details.get(at, ImageDetails())
    columns = {name: getattr(raw, name) for name in _IN_FILE}
    cut: dict[str, Any] = {n: None if column is None else column[start:stop] for n, column in columns.items()}
    rows = replace(
        raw,
        images=(raw.images[at],),
        places=raw.places[at : at + 1],
        sizes_wh=np.array([size_wh], np.int64),
        details={},
        image_index=np.zeros(stop - start, np.int64),
        poses=None if raw.poses is None else raw.poses.take(np.arange(start, stop)),
        **cut,
    )
    (image,) = to_images(rows.columns(box_format))
    return with_details(image, rows, details)


def images_of_raw(
    raw: RawPredictions, truth: GroundTruthColumns | None = None, *, need_sizes: bool = False
) -> Iterator[ImagePredictions]:
    """The images of a file in columns, complete.

    Args:
        raw: the file.
        truth: the data set, which states sizes that the file does not.
        need_sizes: refuse images with detections and without a size, which no file of the contract can hold.

    Raises:
        ContractError: a size is needed and neither of them states it.
    """
    sizes = np.array(raw.sizes_wh, np.int64).reshape(-1, 2)
    if truth is not None:
        at, _ = match_keys(raw.images, truth.images)
        known = np.where((at >= 0)[:, None], truth.sizes_wh[np.maximum(at, 0)].reshape(-1, 2), -1)
        sizes = np.where(known > 0, known, sizes)
    for i, (width, height) in enumerate(np.maximum(sizes, 0).tolist()):
        image = image_at(raw, i, (width, height))
        if raw.box_format == "xyxy_abs":
            # As written: through width and height, the last bit may change.
            image = replace(image, boxes_xyxy_px=raw.boxes[raw.image_index == i])
        if need_sizes and len(image) and width <= 0:
            beside = "neither the file nor the data set states it" if truth else "the file does not state it"
            raise ContractError(
                f"{raw.path}: image {image.image}: its size is needed to write boxes as fractions, and "
                f"{beside}",
                fix=NO_SIZE if truth else "give the data set: --dataset",
            )
        yield image


def with_details(image: ImagePredictions, raw: RawPredictions, details: ImageDetails) -> ImagePredictions:
    """One image with what columns do not hold: its rows' free data, and what its entry has beside them.

    Args:
        image: made of the columns of ``raw``.
        raw: that image alone.
        details: of its entry.
    """
    return replace(
        image,
        detection_extra=raw.detection_extra,
        classification=details.classification,
        semantic_mask=details.semantic_mask,
        intrinsics=details.intrinsics,
        preprocess=details.preprocess,
        extra=details.extra,
    )


def _rows(p: ImagePredictions, index: int) -> DetectionColumns:
    return DetectionColumns(
        images=(),
        sizes_wh=np.zeros((0, 2), np.int64),
        image_index=np.full(len(p), index, np.int64),
        boxes_xywh_px=xyxy_to_xywh(p.boxes_xyxy_px),
        areas=area_xyxy(p.boxes_xyxy_px),
        **{name: getattr(p, name) for name in _SHARED},
    )
