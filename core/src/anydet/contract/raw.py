"""Predictions as a file has them: columns in the file's own units."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import field
from typing import Any

import numpy as np

from anydet.contract.hints import hint_formats
from anydet.contract.image_columns import image_columns
from anydet.contract.locations import Place, Shape
from anydet.dataclass import dataclass
from anydet.errors import ContractError, OptionError
from anydet.geometry.boxes import BOX_FORMATS, area_xywh, to_xywh_px
from anydet.types import (
    RLE,
    BoolArray,
    Classification,
    DetectionColumns,
    FloatArray,
    ImageColumns,
    IntArray,
    Intrinsics,
    Poses,
    Size,
)


@dataclass(frozen=True, slots=True)
class ImageDetails:
    """What an entry has beside its detections; as in ``ImagePredictions``."""

    classification: Classification | None = None
    semantic_mask: Mapping[int, RLE] | None = None
    intrinsics: Intrinsics | None = None
    preprocess: Mapping[str, Any] | None = None
    extra: Mapping[str, Any] = field(default_factory=dict)


@dataclass(frozen=True, slots=True, eq=False)
class RawPredictions:
    """A predictions file as columns, one row a detection; optional ones are ``None`` where no row has any.

    Attributes:
        path: the file.
        shape: which of the contract's shapes it has.
        images: (I) keys, in the order of the file.
        places: (I) number of each image's entry in the file: a line in JSON Lines, else a position.
        sizes_wh: (I, 2) int64 original sizes in pixels, -1 where the file does not say.
        details: what entries say of their image beside the detections, by image index; sparse.
        image_index: (N,) int64 into ``images``; ascending.
        class_ids: (N,) int64.
        boxes: (N, 4) float64 as written, in the order of the file's four numbers.
        scores: (N,) float64.
        states: (N,) int64, -1 where unknown.
        state_scores: (N, S) float64, NaN where unknown.
        masks: RLE or ``None`` a row.
        keypoints: (N, K, 3) x, y as fractions of the image (in pixels for COCO results), and score; NaN
            where missing.
        keypoint_visibility: (N, K) int64, -1 where unknown.
        poses: 6-DoF poses; ``rot6d`` holds columns whatever the file stacks.
        detection_extra: free data a row, or ``None``.
        meta: the file's ``meta``, or ``None``.
        classes: names that ``meta`` states, or ``None``.
        box_format: what the file's conventions say of ``boxes``, or the contract's default.
        keypoints_in_pixels: true for COCO results.
        areas: (N,) square pixels where the file's rules say them (COCO results), else ``None``.
        boxes_around: (N,) which boxes no result states: they lie around its mask or keypoints, as x, y,
            width, height; ``None`` where all are stated.
        notes: what was assumed where the file does not say it.
        about: ``details`` of columns in memory, one row an image.
        oddities: what was left out because the file has it wrong, a line each kind with count, first example
            and effect: a warning where the file is read, and refused with ``--strict``.
    """

    path: str
    shape: Shape
    images: tuple[str, ...]
    places: IntArray
    sizes_wh: IntArray
    details: Mapping[int, ImageDetails]
    image_index: IntArray
    class_ids: IntArray
    boxes: FloatArray
    scores: FloatArray
    states: IntArray | None = None
    state_scores: FloatArray | None = None
    masks: Sequence[RLE | None] | None = None
    keypoints: FloatArray | None = None
    keypoint_visibility: IntArray | None = None
    poses: Poses | None = None
    detection_extra: tuple[Mapping[str, Any] | None, ...] | None = None
    meta: Mapping[str, Any] | None = None
    classes: tuple[str, ...] | None = None
    box_format: str = "cxcywh_norm"
    keypoints_in_pixels: bool = False
    areas: FloatArray | None = None
    boxes_around: BoolArray | None = None
    notes: tuple[str, ...] = ()
    about: ImageColumns | None = None
    oddities: tuple[str, ...] = ()

    def __len__(self) -> int:
        return len(self.scores)

    def format_used(self, given: str | None) -> str:
        """What the boxes are read as, where a user may name it; "" where the file does not say it either.

        Raises ``OptionError`` where there is no such format, or no box that can be in it: in files of other
        tools they are in the format of the tool, and those around masks and keypoints are stated nowhere.
        """
        if given in (None, self.box_format):
            return self.box_format
        if given not in BOX_FORMATS:
            raise OptionError(f"unknown box format {given!r}", fix=f"use one of {', '.join(BOX_FORMATS)}")
        fixed = ""
        if self.shape == "other" and self.box_format:
            fixed = f"those of this format are {self.box_format}"
        elif self.boxes_around is not None and self.boxes_around.all():
            fixed = "its results state none: they are around masks or keypoints"
        if fixed:
            raise OptionError(
                f"{self.path}: its boxes cannot be {given}: {fixed}", fix="leave out --bbox-format"
            )
        return given

    def place(self, image: int) -> Place:
        """Where the entry of an image stands in the file."""
        return Place(self.shape, int(self.places[image]), self.images[image])

    def describe(self, row: int, field: str) -> str:
        """Where a field of a detection stands: ``predictions[17].detections[3].score``."""
        image = int(self.image_index[row])
        first = int(np.searchsorted(self.image_index, image))
        return self.place(image).at(("detections", row - first, field))

    def columns(self, box_format: str | None = None, sizes_wh: IntArray | None = None) -> DetectionColumns:
        """The same detections in pixels of the original images.

        Args:
            box_format: one of ``BOX_FORMATS``; what the file says of itself by default.
            sizes_wh: (I, 2) sizes that win over the file's; -1 where unknown.

        Raises:
            ContractError: a size is needed and not known, or a box has a negative size in this
                format; names the image.
        """
        box_format = box_format or self.box_format
        if not box_format:
            raise ContractError(
                f"{self.path}: it does not say what the four numbers of a box are: x and y may be a "
                "corner or the center",
                fix="add --bbox-format xywh_abs (left, top), cxcywh_abs (center) or cxcywh_norm (fractions)",
            )
        if box_format not in BOX_FORMATS:
            raise ContractError(
                f"unknown box format {box_format!r}", fix=f"use one of {', '.join(BOX_FORMATS)}"
            )
        sizes = self.sizes_wh if sizes_wh is None else np.where(sizes_wh > 0, sizes_wh, self.sizes_wh)
        if box_format == "cxcywh_norm" or (self.keypoints is not None and not self.keypoints_in_pixels):
            self._need_sizes(sizes)
        absolute = box_format != "cxcywh_norm" and (self.keypoints is None or self.keypoints_in_pixels)
        row_sizes = np.zeros(2, np.int64) if absolute else sizes[self.image_index]
        with np.errstate(over="ignore", invalid="ignore"):
            boxes = to_xywh_px(self.boxes, box_format, row_sizes)
            if self.boxes_around is not None:
                boxes = np.where(self.boxes_around[:, None], self.boxes, boxes)
            areas = self._areas(boxes, box_format)
            # NaN and infinity survive a sum, and one sum is cheaper than a mask over all boxes.
            within = np.isfinite(boxes.sum())
        if self.shape == "coco" and box_format == self.box_format and boxes[:, 2:].min(initial=0) < 0:
            # They overlap nothing either way, and their areas are those that the file's rules say.
            boxes = np.concatenate([boxes[:, :2], np.maximum(boxes[:, 2:], 0)], axis=1)
        if not within:
            self._refuse(~np.isfinite(boxes).all(axis=1), "is too large for pixels")
        if boxes[:, 2:].min(initial=0) < 0:
            self._refuse((boxes[:, 2:] < 0).any(axis=1), f"has a negative size as {box_format}")
        return DetectionColumns(
            images=self.images,
            sizes_wh=sizes,
            image_index=self.image_index,
            class_ids=self.class_ids,
            boxes_xywh_px=boxes,
            scores=self.scores,
            areas=areas,
            areas_stated=self.areas is not None,
            classes=self.classes,
            states=self.states,
            state_scores=self.state_scores,
            masks=self.masks,
            keypoints=self._keypoints_px(row_sizes),
            poses=self.poses,
            keypoint_visibility=self.keypoint_visibility,
            about=self.about or image_columns(self.details, len(self.images)),
        )

    def _areas(self, boxes_xywh: FloatArray, box_format: str) -> FloatArray:
        """(N,) areas: those that the file's rules say are of boxes in its own format."""
        if self.areas is not None and box_format == self.box_format:
            return self.areas
        areas = area_xywh(boxes_xywh)
        if self.areas is None or self.boxes_around is None:
            return areas
        return np.where(self.boxes_around, self.areas, areas)

    def _keypoints_px(self, row_sizes: IntArray) -> FloatArray | None:
        if self.keypoints is None or self.keypoints_in_pixels:
            return self.keypoints
        # The third number is a score and not a coordinate.
        scale = np.concatenate([row_sizes, np.ones((len(self), 1))], axis=1)
        scaled: FloatArray = self.keypoints * scale[:, None, :]
        return scaled

    def _need_sizes(self, sizes: IntArray) -> None:
        rows = (sizes[self.image_index] <= 0).any(axis=1)
        if rows.any():
            image = self.images[int(self.image_index[np.argmax(rows)])]
            raise ContractError(
                f"{self.path}: image {image}: its size is needed to turn fractions into pixels, and neither "
                "the file nor the data set states it",
                fix="write image_size into the entries, or use absolute boxes and --bbox-format",
            )

    def _refuse(self, wrong: Any, what: str) -> None:
        if wrong.any():
            row = int(np.argmax(wrong))
            hint = hint_formats(self.boxes, self.sizes_wh[self.image_index])
            image = self.images[int(self.image_index[row])]
            where, box = self.describe(row, "bbox"), self.boxes[row].tolist()
            raise ContractError(
                f"{self.path}: {where}: {box} {what} (image {image})",
                fix=f"{hint}state which format the boxes have: --bbox-format {', '.join(BOX_FORMATS)}",
            )


def size_of(raw: RawPredictions, image: int) -> Size:
    """(width, height) of one image as the file states it, (0, 0) where it does not."""
    width, height = np.maximum(raw.sizes_wh[image], 0).tolist()
    return width, height


@dataclass(frozen=True, slots=True, eq=False)
class Scan:
    """A file read once.

    Attributes:
        predictions: everything in it that is valid.
        errors: everything in it that is not, as text with file, place and image.
        fix: what to type next where there are errors, "" for what is usual for files of the contract.
    """

    predictions: RawPredictions
    errors: tuple[str, ...]
    fix: str = ""
