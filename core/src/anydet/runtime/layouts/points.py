"""Ultralytics' models of more than boxes: keypoints, and oriented boxes, before NMS and with NMS inside."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np

from anydet.geometry.boxes import cxcywh_to_xyxy
from anydet.geometry.oriented import CORNERS, corners_of, enclosing_xyxy
from anydet.runtime.errors import ModelError
from anydet.runtime.layouts.candidates import Array, Decoder, Outputs, check_probabilities
from anydet.runtime.layouts.shapes import Signature
from anydet.runtime.layouts.yolo import ultralytics_cells
from anydet.runtime.metadata import HeadFacts
from anydet.types import FloatArray, IntArray, Size

_COCO_POINTS = (17, 3)
"""Keypoints of a person in COCO, each with a score."""
_COCO_NAMES = (
    "nose",
    *(
        f"{side}_{part}"
        for part in ("eye", "ear", "shoulder", "elbow", "wrist")
        for side in ("left", "right")
    ),
    *(f"{side}_{part}" for part in ("hip", "knee", "ankle") for side in ("left", "right")),
)
_TURN = 2 * np.pi
"""Angles beyond it are no angles."""


@dataclass(frozen=True, slots=True)
class Rows:
    """Rows of an output that has a row an anchor, or a column an anchor as Ultralytics' heads have it.

    Attributes:
        class_count: C of heads before NMS; ``None`` with NMS inside, where a row is box, score and class.
    """

    class_count: int | None

    def matrix(self, outputs: Outputs) -> Array:
        """(N, columns)."""
        rows: Array = outputs[0] if self.class_count is None else outputs[0].T
        return rows

    @property
    def extra(self) -> int:
        """The first column behind boxes, scores and classes."""
        return 6 if self.class_count is None else 4 + self.class_count

    def scores(self, outputs: Outputs) -> Array:
        """(N, C), or (N, 1) with NMS inside."""
        scores: Array = self.matrix(outputs)[:, 4 : 5 if self.class_count is None else self.extra]
        return scores


@dataclass(frozen=True, slots=True)
class Pose(Rows):
    """(4 + C + K x D, N): center and size in input pixels, class probabilities, keypoints in input pixels.

    Attributes:
        shape: K and D, 2 numbers a keypoint or 3 with its score.
        landmark_names: of the keypoints, or none.
    """

    shape: tuple[int, int]
    landmark_names: tuple[str, ...]

    def boxes(self, outputs: Outputs, rows: IntArray) -> FloatArray:
        """Already decoded."""
        return cxcywh_to_xyxy(self.matrix(outputs)[rows, :4].astype(np.float64))

    def landmarks(self, outputs: Outputs, rows: IntArray) -> FloatArray:
        """Already decoded; raises ``ModelError`` where the scores are none."""
        count, numbers = self.shape
        points = (
            self.matrix(outputs)[rows, self.extra :].astype(np.float64).reshape(len(rows), count, numbers)
        )
        if numbers == 2:
            return np.concatenate([points, np.full((len(rows), count, 1), np.nan)], axis=2)
        check_probabilities(points[..., 2])
        return np.concatenate([points[..., :2], np.clip(points[..., 2:], 0, 1)], axis=2)


@dataclass(frozen=True, slots=True)
class PoseEnd2end(Pose):
    """(N, 6 + K x D): x1, y1, x2, y2 in input pixels, score, class, and keypoints."""

    def boxes(self, outputs: Outputs, rows: IntArray) -> FloatArray:
        """Already decoded."""
        boxes: FloatArray = self.matrix(outputs)[rows, :4].astype(np.float64)
        return boxes

    def labels(self, outputs: Outputs, rows: IntArray) -> Array:
        """The sixth column."""
        labels: Array = self.matrix(outputs)[rows, 5]
        return labels


@dataclass(frozen=True, slots=True)
class OrientedBoxes(Rows):
    """(4 + C + 1, N): center and size in input pixels, class probabilities, and the angle in radians."""

    @property
    def landmark_names(self) -> tuple[str, ...]:
        """The corners: what places a detection exactly, whatever view of the image it is of."""
        return CORNERS

    def oriented(self, outputs: Outputs, rows: IntArray) -> FloatArray:
        """(K, 5) center, size and angle; raises ``ModelError`` where angles are none."""
        table = self.matrix(outputs)[rows]
        angles = table[:, self.extra]
        if not (np.abs(angles) <= _TURN).all():
            raise ModelError(
                f"angles run from {angles.min():.4g} to {angles.max():.4g} where radians were expected",
                fix="check preset= and layout=",
            )
        return np.concatenate([table[:, :4], angles[:, None]], axis=1).astype(np.float64)

    def boxes(self, outputs: Outputs, rows: IntArray) -> FloatArray:
        """The smallest upright ones around them."""
        return enclosing_xyxy(corners_of(self.oriented(outputs, rows)))

    def landmarks(self, outputs: Outputs, rows: IntArray) -> FloatArray:
        """The corners."""
        corners = corners_of(self.oriented(outputs, rows))
        return np.concatenate([corners, np.full((len(rows), len(CORNERS), 1), np.nan)], axis=2)


@dataclass(frozen=True, slots=True)
class OrientedEnd2end(OrientedBoxes):
    """(N, 7): center and size in input pixels, score, class, and the angle in radians."""

    def labels(self, outputs: Outputs, rows: IntArray) -> Array:
        """The sixth column."""
        labels: Array = self.matrix(outputs)[rows, 5]
        return labels


def bind_pose(outputs: Signature, input_wh: Size) -> Decoder | None:
    """(4 + C + K x D, cells): K and D as the file has them, else those of COCO's persons."""
    columns = ultralytics_cells(outputs, input_wh)
    count, numbers = shape = outputs.facts.keypoints or _COCO_POINTS
    classes = columns - 4 - count * numbers
    if classes < 1 or (outputs.facts.keypoints is None and classes != 1):
        return None
    return Pose(classes, shape, _names(outputs.facts))


def bind_pose_end2end(outputs: Signature, input_wh: Size) -> Decoder | None:
    """(N, 6 + K x D)."""
    count, numbers = shape = outputs.facts.keypoints or _COCO_POINTS
    fits = len(outputs) == 1 and len(outputs.shapes[0]) == 2 and outputs.shapes[0][1] == 6 + count * numbers
    return PoseEnd2end(None, shape, _names(outputs.facts)) if fits else None


def bind_oriented(outputs: Signature, input_wh: Size) -> Decoder | None:
    """(4 + C + 1, cells)."""
    classes = ultralytics_cells(outputs, input_wh) - 5
    return OrientedBoxes(classes) if classes > 0 else None


def bind_oriented_end2end(outputs: Signature, input_wh: Size) -> Decoder | None:
    """(N, 7)."""
    fits = len(outputs) == 1 and len(outputs.shapes[0]) == 2 and outputs.shapes[0][1] == 7
    return OrientedEnd2end(None) if fits else None


def _names(facts: HeadFacts) -> tuple[str, ...]:
    """As the file has them; COCO's where there are as many."""
    if facts.keypoint_names:
        return facts.keypoint_names
    count, _ = facts.keypoints or _COCO_POINTS
    return _COCO_NAMES if count == len(_COCO_NAMES) else ()
