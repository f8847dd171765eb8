"""``Cause``, a usual mistake and its undoing, and ``Explanation``, a cause that was found."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from dataclasses import asdict, replace
from functools import partial
from typing import Any, TypeAlias

import numpy as np

from anydet.dataclass import dataclass
from anydet.types import DetectionColumns, FloatArray, GroundTruthColumns

Undo: TypeAlias = Callable[[DetectionColumns, GroundTruthColumns], DetectionColumns]
"""Columns as they would be without the mistake; the ground truth gives class and image tables and sizes."""


@dataclass(frozen=True, slots=True)
class Cause:
    """A mistake that lowers AP.

    Attributes:
        family: causes of one family exclude each other; only the best is reported.
        name: what is wrong.
        what_to_do: how to put it right.
        undo: columns as they would be without it.
        across_images: whether detections move to other images.
        learned: whether ``undo`` is fitted to the ground truth, so that a cause with a name is preferred.
    """

    family: str
    name: str
    what_to_do: str
    undo: Undo
    across_images: bool = False
    learned: bool = False


@dataclass(frozen=True, slots=True)
class Explanation:
    """A cause that was found.

    Attributes:
        cause: what is wrong.
        what_to_do: how to put it right.
        evidence: what shows it.
        gain: AP gained when it is undone; ``None`` where it cannot be undone.
    """

    cause: str
    what_to_do: str
    evidence: str
    gain: float | None = None


@dataclass(frozen=True, slots=True)
class Diagnosis:
    """What was tried and found.

    Attributes:
        ap: AP of boxes on the images that were tried, or ``None`` where they have no annotation.
        images: how many images were tried.
        of_images: how many there are.
        tried: how many causes were tried.
        explanations: what was found: that the reference is better, where no mistake explains it; then the
            largest gain first, then those without one.
        reference_ap: AP of the reference on the images that were tried, or ``None`` without one.
    """

    ap: float | None
    images: int
    of_images: int
    tried: int
    explanations: Sequence[Explanation]
    reference_ap: float | None = None

    def as_dict(self) -> Mapping[str, Any]:
        """What ``--explain`` adds to ``--json``."""
        return {**asdict(self), "explanations": [asdict(one) for one in self.explanations]}


def with_boxes(detections: DetectionColumns, boxes_xywh_px: FloatArray) -> DetectionColumns:
    """The same detections with other boxes; sizes below zero, which a wrong undoing gives, become zero."""
    boxes = np.nan_to_num(boxes_xywh_px, posinf=0.0, neginf=0.0)
    boxes[:, 2:] = np.maximum(boxes[:, 2:], 0.0)
    return replace(detections, boxes_xywh_px=boxes, areas=boxes[:, 2] * boxes[:, 3])


def moved(move: Callable[..., FloatArray], *arguments: Any) -> Undo:
    """The undoing of a mistake that is in each box alone.

    Args:
        move: takes (N, 4) boxes as x, y, width, height, (N, 2) sizes of their images, and the arguments;
            gives the boxes put right.
        arguments: what ``move`` takes besides.
    """
    return partial(_move, move, arguments)


def _move(
    move: Callable[..., FloatArray],
    arguments: tuple[Any, ...],
    detections: DetectionColumns,
    _: GroundTruthColumns,
) -> DetectionColumns:
    sizes = detections.sizes_wh[detections.image_index].astype(np.float64)
    return with_boxes(detections, move(detections.boxes_xywh_px, sizes, *arguments))


def compose(first: Cause, second: Cause) -> Cause:
    """Two mistakes at once; the first is undone before the second."""
    return Cause(
        f"{first.family} and {second.family}",
        f"{first.name}; and {second.name}",
        f"{first.what_to_do}; and {second.what_to_do}",
        partial(_undo_both, first.undo, second.undo),
        across_images=first.across_images or second.across_images,
        learned=first.learned or second.learned,
    )


def _undo_both(
    first: Undo, second: Undo, detections: DetectionColumns, truth: GroundTruthColumns
) -> DetectionColumns:
    return second(first(detections, truth), truth)
