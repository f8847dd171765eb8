"""Selections: some of the objects or images of a data set, with nothing changed.

Where objects are selected, all images stay, and the annotations that are not selected count neither way, as
crowds do: a detection of one is no false positive. So COCO measures its sizes. Where images are selected, the
others are left out.
"""

from __future__ import annotations

from dataclasses import dataclass, replace
from typing import ClassVar, Literal, Protocol

import numpy as np

from anydet.data.dataset.image_subset import take_images
from anydet.errors import EvaluationError
from anydet.types import BoolArray, DetectionColumns, FloatArray, GroundTruthColumns, IntArray


class Selection(Protocol):
    """Chooses annotations, as a frozen dataclass: its ``repr`` says all that decides which."""

    @property
    def of_images(self) -> bool:
        """Whether images with a chosen annotation are selected as wholes, and the others left out."""

    def chosen(self, truth: GroundTruthColumns) -> BoolArray:
        """(N,) which annotations are chosen.

        Raises ``EvaluationError`` where the data set does not say what is needed.
        """

    def alike(self, detections: DetectionColumns) -> BoolArray | None:
        """(N,) which detections look like chosen objects; others, unmatched, are no false positives.

        ``None`` where detections cannot be told apart by it: all of them count.
        """


class _Any:
    """Base of selections that do not tell detections apart."""

    __slots__ = ()
    of_images: ClassVar[bool] = False

    def alike(self, detections: DetectionColumns) -> None:
        """None: all detections count."""


@dataclass(frozen=True, slots=True)
class SmallObjects:
    """Objects up to an area, and detections up to it.

    Attributes:
        below_px: square pixels; below 32 x 32, objects are small in COCO's words.
    """

    of_images: ClassVar[bool] = False
    below_px: float = 1024.0

    def chosen(self, truth: GroundTruthColumns) -> BoolArray:
        """Annotations whose area, as the source counts it, is below the limit."""
        small: BoolArray = truth.labels.areas < self.below_px
        return small

    def alike(self, detections: DetectionColumns) -> BoolArray:
        """Detections whose area is below the limit."""
        small: BoolArray = detections.areas < self.below_px
        return small


@dataclass(frozen=True, slots=True)
class Truncated:
    """Objects that the border of the image cuts off, as far as their boxes show: they reach it.

    Attributes:
        margin_px: how near the border a box must come.
    """

    of_images: ClassVar[bool] = False
    margin_px: float = 1.0

    def chosen(self, truth: GroundTruthColumns) -> BoolArray:
        """Annotations whose box reaches the border; needs sizes of images."""
        if len(truth) and (truth.sizes_wh[truth.image_index] <= 0).any():
            raise EvaluationError(
                "sizes of images are unknown, by which truncated objects are found",
                fix="leave truncated out of the setting, or give a data set that states them",
            )
        return self._reaching(truth.labels.boxes_xywh_px, truth.sizes_wh[truth.image_index])

    def alike(self, detections: DetectionColumns) -> BoolArray:
        """Detections whose box reaches the border."""
        return self._reaching(detections.boxes_xywh_px, detections.sizes_wh[detections.image_index])

    def _reaching(self, boxes_xywh_px: FloatArray, sizes_wh: IntArray) -> BoolArray:
        last = boxes_xywh_px[:, :2] + boxes_xywh_px[:, 2:]
        beyond = np.concatenate([-boxes_xywh_px[:, :2], last - sizes_wh], axis=1)
        reaching: BoolArray = beyond.max(axis=1) >= -self.margin_px
        return reaching


@dataclass(frozen=True, slots=True)
class Crowded(_Any):
    """Images with many objects.

    Attributes:
        objects: least number of annotations that are no crowds.
    """

    of_images: ClassVar[bool] = True
    objects: int = 10

    def chosen(self, truth: GroundTruthColumns) -> BoolArray:
        """All annotations of such images."""
        counted = truth.image_index[~truth.labels.iscrowd]
        many = np.bincount(counted, minlength=len(truth.images)) >= self.objects
        return many[truth.image_index]


@dataclass(frozen=True, slots=True)
class Symmetric(_Any):
    """Objects of classes whose models look the same in more than one pose, or of those that do not.

    Attributes:
        keep: "symmetric" or "asymmetric".
    """

    keep: Literal["symmetric", "asymmetric"] = "symmetric"

    def chosen(self, truth: GroundTruthColumns) -> BoolArray:
        """Annotations of these classes; needs models of the objects."""
        if not truth.objects:
            raise EvaluationError(
                "the data set has no models of its objects, which say what is symmetric",
                fix="leave symmetric out of the setting, or give a data set with models (BOP)",
            )
        wanted = self.keep == "symmetric"
        ids = [name for name, model in truth.objects.items() if model.symmetric == wanted]
        return np.isin(truth.labels.class_ids, ids)


@dataclass(frozen=True, slots=True)
class ExtremeDepth(_Any):
    """The nearest and the farthest objects.

    Attributes:
        fraction: of all objects with a depth, at each end.
    """

    fraction: float = 0.1

    def chosen(self, truth: GroundTruthColumns) -> BoolArray:
        """Annotations at both ends of the depths; needs poses."""
        depth = _depth_m(truth)
        known = np.isfinite(depth)
        if not known.any():
            raise EvaluationError(
                "no annotation has a depth", fix="leave extreme_depth out of the setting, or give poses"
            )
        near, far = np.quantile(depth[known], [self.fraction, 1 - self.fraction])
        with np.errstate(invalid="ignore"):
            extreme: BoolArray = (depth <= near) | (depth >= far)
        return extreme


def select(
    detections: DetectionColumns, truth: GroundTruthColumns, selection: Selection
) -> tuple[DetectionColumns, GroundTruthColumns]:
    """Both sides with what is not selected left out of the count; raises as ``Selection.chosen``.

    Args:
        detections: over ``truth.images``.
        truth: the annotations.
        selection: what counts.
    """
    chosen = selection.chosen(truth)
    if selection.of_images:
        kept = np.unique(truth.image_index[chosen])
        return take_images(detections, truth, kept)
    crowd = truth.labels.iscrowd | ~chosen
    truth = replace(truth, labels=replace(truth.labels, iscrowd=crowd))
    alike = selection.alike(detections)
    if alike is not None:
        lenient = ~alike if detections.lenient is None else detections.lenient | ~alike
        detections = replace(detections, lenient=lenient)
    return detections, truth


def _depth_m(truth: GroundTruthColumns) -> FloatArray:
    """(N,) along the camera's axis, NaN where unknown."""
    poses = truth.labels.poses
    depth = np.full(len(truth), np.nan)
    if poses is None:
        return depth
    if poses.log_z is not None:
        depth = np.exp(poses.log_z)
    if poses.translations_m is not None:
        stated = poses.translations_m[:, 2]
        depth = np.where(np.isfinite(stated), stated, depth)
    return depth
