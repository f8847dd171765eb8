"""Layouts of files that say what their outputs mean; see ``plugins.export``."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass

import numpy as np

from anydet.geometry.boxes import cxcywh_to_xyxy
from anydet.geometry.pose_heads import PoseHeads
from anydet.plugins.export import NEEDED
from anydet.runtime.layouts.candidates import Array, Decoder, Outputs, sigmoid
from anydet.runtime.layouts.shapes import Signature
from anydet.types import FloatArray, IntArray, Size

Positions = Mapping[str, int]
"""Meaning -> position of the output."""


@dataclass(frozen=True, slots=True)
class Queries:
    """Class logits and normalized boxes of queries, and whatever other heads they have.

    Attributes:
        input_wh: input size in pixels.
        class_count: C.
        query_count: rows; so many pairs of query and class are results.
        at: where the outputs are.
    """

    input_wh: Size
    class_count: int
    query_count: int
    at: Positions

    def scores(self, outputs: Outputs) -> Array:
        """(N, C) sigmoids."""
        return sigmoid(outputs[self.at["class_logits"]])

    def boxes(self, outputs: Outputs, rows: IntArray) -> FloatArray:
        """Parts of the input to its pixels."""
        return cxcywh_to_xyxy(self._boxes_cxcywh(outputs, rows))

    def _boxes_cxcywh(self, outputs: Outputs, rows: IntArray) -> FloatArray:
        """(len(rows), 4) center and size in pixels of the input."""
        return _rows(outputs, self.at["boxes_cxcywh"], rows) * np.array(self.input_wh * 2, np.float64)

    @property
    def landmark_names(self) -> tuple[str, ...]:
        """The description has them."""
        return ()

    def landmarks(self, outputs: Outputs, rows: IntArray) -> FloatArray | None:
        """Points from the center of the box, in its widths and heights."""
        return _landmarks(outputs, self.at, rows, self._boxes_cxcywh(outputs, rows))

    def state_scores(self, outputs: Outputs, rows: IntArray) -> FloatArray | None:
        """(len(rows), S) probabilities."""
        return _optional(outputs, self.at, "state_scores", rows)

    def pose_heads(self, outputs: Outputs, rows: IntArray) -> PoseHeads | None:
        """Where there are any."""
        if not {"log_z", "rot6d", "offsets"} <= self.at.keys():
            return None
        single = ("log_z", "log_sigma_z", "log_sigma_rot")
        columns = {name: _rows(outputs, self.at[name], rows)[:, 0] for name in single if name in self.at}
        camera = self.at.get("camera_delta")
        return PoseHeads(
            rot6d=_rows(outputs, self.at["rot6d"], rows),
            offsets=_rows(outputs, self.at["offsets"], rows),
            camera_delta=None if camera is None else outputs[camera].astype(np.float64),
            **columns,
        )


@dataclass(frozen=True, slots=True)
class Detections:
    """(N, 4) corners in input pixels, (N,) scores and (N,) class ids; -1 where a row is padding.

    Attributes:
        at: where the outputs are.
    """

    at: Positions

    @property
    def class_count(self) -> int | None:
        """``None``: the outputs do not show it."""
        return None

    def scores(self, outputs: Outputs) -> Array:
        """(N, 1), without the padding."""
        scores: Array = outputs[self.at["scores"]][self._found(outputs), None]
        return scores

    def labels(self, outputs: Outputs, rows: IntArray) -> Array:
        """As they are."""
        labels: Array = outputs[self.at["labels"]][self._found(outputs)[rows]]
        return labels

    def boxes(self, outputs: Outputs, rows: IntArray) -> FloatArray:
        """Already decoded."""
        return _rows(outputs, self.at["boxes_xyxy_px"], self._found(outputs)[rows])

    @property
    def landmark_names(self) -> tuple[str, ...]:
        """The description has them."""
        return ()

    def landmarks(self, outputs: Outputs, rows: IntArray) -> FloatArray | None:
        """Points from the center of the box, in its widths and heights."""
        boxes = self.boxes(outputs, rows)
        centered = np.hstack([(boxes[:, :2] + boxes[:, 2:]) / 2, boxes[:, 2:] - boxes[:, :2]])
        return _landmarks(outputs, self.at, self._found(outputs)[rows], centered)

    def state_scores(self, outputs: Outputs, rows: IntArray) -> FloatArray | None:
        """(len(rows), S) probabilities."""
        return _optional(outputs, self.at, "state_scores", self._found(outputs)[rows])

    def _found(self, outputs: Outputs) -> IntArray:
        return np.flatnonzero(outputs[self.at["labels"]] >= 0)


@dataclass(frozen=True, slots=True)
class Pixels:
    """(C, H, W) logits of the classes of pixels and (C,) of the image.

    Attributes:
        class_count: C.
        at: where the outputs are.
    """

    class_count: int
    at: Positions

    def pixel_logits(self, outputs: Outputs) -> Array:
        """(C, H, W) of the input's pixels."""
        return outputs[self.at["pixel_logits"]]

    def image_scores(self, outputs: Outputs) -> FloatArray:
        """(C,) softmax."""
        logits = outputs[self.at["image_logits"]].astype(np.float64)
        weights = np.exp(logits - logits.max())
        scores: FloatArray = weights / weights.sum()
        return scores


def bind_queries(outputs: Signature, input_wh: Size) -> Decoder | None:
    """Boxes (N, 4) and class logits (N, C)."""
    at = _positions(outputs, "queries")
    if at is None:
        return None
    boxes, logits = (outputs.shapes[at[name]] for name in ("boxes_cxcywh", "class_logits"))
    if len(boxes) != 2 or len(logits) != 2 or boxes != (logits[0], 4):
        return None
    return Queries(input_wh, logits[1], logits[0], at)


def bind_detections(outputs: Signature, input_wh: Size) -> Decoder | None:
    """Boxes (N, 4), scores (N,) and labels (N,)."""
    at = _positions(outputs, "detections")
    if at is None:
        return None
    boxes, scores, labels = (outputs.shapes[at[name]] for name in ("boxes_xyxy_px", "scores", "labels"))
    fits = len(scores) == 1 and scores == labels and boxes == (*scores, 4)
    return Detections(at) if fits else None


def bind_pixels(outputs: Signature, input_wh: Size) -> Pixels | None:
    """Pixel logits (C, H, W) and image logits (C,)."""
    at = _positions(outputs, "pixels")
    if at is None:
        return None
    pixels, image = (outputs.shapes[at[name]] for name in ("pixel_logits", "image_logits"))
    return Pixels(image[0], at) if len(pixels) == 3 and image == pixels[:1] else None


def _positions(outputs: Signature, layout: str) -> Positions | None:
    """Where the outputs of each meaning are; ``None`` where one is missing that the layout needs."""
    at = {meaning: i for i, meaning in enumerate(outputs.meanings) if meaning}
    return at if at.keys() >= set(NEEDED[layout]) else None


def _rows(outputs: Outputs, position: int, rows: IntArray) -> FloatArray:
    values: FloatArray = outputs[position][rows].astype(np.float64)
    return values


def _optional(outputs: Outputs, at: Positions, meaning: str, rows: IntArray) -> FloatArray | None:
    return _rows(outputs, at[meaning], rows) if meaning in at else None


def _landmarks(
    outputs: Outputs, at: Positions, rows: IntArray, boxes_cxcywh: FloatArray
) -> FloatArray | None:
    """(len(rows), K, 3) x, y in input pixels and a score, of points relative to boxes; ``None`` without."""
    if "keypoints" not in at:
        return None
    points = _rows(outputs, at["keypoints"], rows).reshape(len(rows), -1, 3)
    boxes = boxes_cxcywh[:, None]
    places = boxes[..., :2] + points[..., :2] * boxes[..., 2:]
    return np.concatenate([places, sigmoid(points[..., 2:])], axis=-1)
