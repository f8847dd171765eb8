"""Outputs for one image to its predictions: best candidates, clipping, NMS, masks and keypoints."""

from __future__ import annotations

from dataclasses import dataclass

import cv2
import numpy as np

from anydet.data.record.record import Record
from anydet.geometry.boxes import area_xyxy, clip_xyxy, nms_by_class
from anydet.geometry.masks import from_polygons
from anydet.geometry.oriented import suppress_oriented
from anydet.geometry.placement import Placement
from anydet.runtime.classes import ModelClasses
from anydet.runtime.errors import ModelError
from anydet.runtime.layouts.candidates import (
    Array,
    Candidates,
    Decoder,
    Landmarked,
    Masked,
    Oriented,
    Outputs,
    Posed,
    SoftMasked,
    Stated,
    WholeMasked,
    select,
)
from anydet.runtime.masks import box_mask_codes, mask_codes, soft_mask_codes
from anydet.text import counted
from anydet.types import RLE, FloatArray, ImagePredictions, IntArray, Intrinsics, Poses

_CANDIDATES_EACH = 8
"""Candidates that are looked at first, for each detection that is wanted."""

_ZERO = 5e-5
"""Scores below it are printed as 0.0000."""
_FAR_PX = 1e5
"""A corner further out is drawn there: no image is that large, and painting takes a step a pixel."""


@dataclass(frozen=True, slots=True)
class Decoding:
    """How decoded rows become detections.

    Attributes:
        classes: what columns or labels mean.
        nms_iou: IoU above which class-wise NMS drops the lesser box; ``None`` for no NMS.
        score_floor: lowest score.
        limit: most candidates before NMS.
    """

    classes: ModelClasses
    nms_iou: float | None
    score_floor: float
    limit: int

    def result(
        self,
        record: Record,
        decoder: Decoder,
        outputs: Outputs,
        placement: Placement,
        *,
        most: int | None = None,
    ) -> ImagePredictions:
        """Detections of one image, in its own pixels.

        Args:
            record: the image, whose camera poses are relative to.
            decoder: how the outputs are read.
            outputs: of that image.
            placement: where it stands in the input.
            most: only so many of the best; ``None`` for all.

        Raises:
            ModelError: the outputs are not what the decoder takes them for.
        """
        found, boxes = self._kept(decoder, outputs, placement, most)
        states = decoder.state_scores(outputs, found.rows) if isinstance(decoder, Stated) else None
        poses, camera = _poses(decoder, outputs, found, placement, record.intrinsics)
        return ImagePredictions(
            record.key,
            placement.image_wh,
            boxes,
            found.scores,
            found.class_ids,
            states=None if states is None else states.argmax(axis=1),
            state_scores=states,
            masks=_masks(decoder, outputs, found, placement),
            keypoints=_keypoints(decoder, outputs, found, placement),
            poses=poses,
            intrinsics=camera,
        )

    def _kept(
        self, decoder: Decoder, outputs: Outputs, placement: Placement, most: int | None
    ) -> tuple[Candidates, FloatArray]:
        """What suppression keeps, and its (K, 4) boxes in pixels of the image."""
        # Where few are wanted they are mostly among the best candidates; the others are only decoded if not.
        few = self.limit if most is None else min(self.limit, _CANDIDATES_EACH * most)
        for limit in dict.fromkeys((few, self.limit)):
            found = select(
                decoder,
                outputs,
                self.classes,
                floor=self.score_floor,
                limit=limit,
                input_wh=placement.input_wh,
            )
            whole = placement.to_image(found.boxes_xyxy_px)
            boxes = clip_xyxy(whole, placement.image_wh)
            inside = np.flatnonzero(area_xyxy(boxes) > 0)  # what was found in the border alone is gone
            rest = found.scores[inside], found.class_ids[inside]
            # Whole boxes, as all families' own code does: cut at an edge, two of them overlap more.
            if isinstance(decoder, Oriented) and self.nms_iou is not None:
                turned = decoder.oriented(outputs, found.rows[inside])
                keep = inside[suppress_oriented(turned, *rest, self.nms_iou, most)]
            else:
                keep = inside[self._suppress(whole[inside], *rest, most)]
            enough = most is not None and len(keep) >= most
            # Half precision exceeds 1, which is cut: of more ones than were looked at, others may come first.
            if len(found.scores) < limit or (enough and found.scores.min() < 1):
                break
        return found.take(keep), boxes[keep]

    def _suppress(
        self, boxes: FloatArray, scores: FloatArray, class_ids: IntArray, most: int | None
    ) -> IntArray:
        if self.nms_iou is None:
            best: IntArray = np.argsort(-scores, kind="stable")[:most]
            return best
        return nms_by_class(boxes, scores, class_ids, self.nms_iou, most)


@dataclass(slots=True)
class SeenScores:
    """The highest score while nothing is found, to tell a silent model from pictures of nothing.

    Attributes:
        floor: lowest score that is kept.
        images: looked at.
        highest: of them; once something is found, it is no longer kept.
        found: whether anything was.
    """

    floor: float
    images: int = 0
    highest: float = 0.0
    found: bool = False

    def look(self, result: ImagePredictions, decoder: Decoder, outputs: Outputs) -> None:
        """Take in one image."""
        self.found = self.found or len(result) > 0
        if not self.found:
            self.images += 1
            self.highest = max(self.highest, float(decoder.scores(outputs).max(initial=0.0)))

    @property
    def silence(self) -> str:
        """What to say where nothing was found on any image; empty where something was, or there was none."""
        if self.found or not self.images:
            return ""
        text = f"nothing was found on {counted(self.images, 'image')}: highest score {self.highest:.4f}"
        if self.highest >= self.floor:
            return f"{text}, of boxes outside of the image"
        if self.highest < _ZERO:
            return f"{text}; a broken quantized or half-precision file gives that: compare its float model"
        return f"{text}, below {self.floor:g}, the lowest that is kept"


def _masks(
    decoder: Decoder, outputs: Outputs, found: Candidates, placement: Placement
) -> tuple[RLE, ...] | None:
    if isinstance(decoder, WholeMasked):
        logits = decoder.mask_logits(outputs, found.rows)
        _require_numbers(logits)
        return _whole_masks(logits, placement)
    if isinstance(decoder, SoftMasked):
        soft = decoder.soft_masks(outputs, found.rows)
        if soft is None:
            return None
        _require_numbers(soft)
        of_input = soft.shape[:0:-1] == placement.input_wh
        codes = soft_mask_codes if of_input else box_mask_codes
        return codes(soft.astype(np.float32), found.boxes_xyxy_px, placement)
    if isinstance(decoder, Oriented):
        return _polygon_masks(decoder.landmarks(outputs, found.rows), placement)
    if not isinstance(decoder, Masked) or (prototypes := decoder.prototypes(outputs)) is None:
        return None
    coefficients = decoder.coefficients(outputs, found.rows)
    _require_numbers(prototypes)
    _require_numbers(coefficients)
    return mask_codes(coefficients, prototypes, found.boxes_xyxy_px, placement)


def _require_numbers(masks: Array | None) -> None:
    """Raise ``ModelError`` for NaN, of which thresholds would make empty masks."""
    if masks is not None and np.isnan(masks).any():
        raise ModelError("masks have NaN", fix="check preset= and layout=, and the model's weights")


def _whole_masks(logits: Array | None, placement: Placement) -> tuple[RLE, ...] | None:
    """Where (K, h, w) logits over the input, scaled bilinearly, are positive."""
    if logits is None:
        return None
    everywhere = np.tile(np.array([0.0, 0.0, *placement.input_wh]), (len(logits), 1))
    # Above one half is what masks are of probabilities.
    return soft_mask_codes(logits.astype(np.float32) + 0.5, everywhere, placement)


def _polygon_masks(corners: FloatArray | None, placement: Placement) -> tuple[RLE, ...]:
    """What (N, 4, 3) corners in the input enclose, in pixels of the image."""
    assert corners is not None, "oriented boxes have corners"
    polygons = np.clip(placement.points_to_image(corners[..., :2]), -_FAR_PX, _FAR_PX)
    return tuple(from_polygons((tuple(p.ravel().tolist()),), placement.image_wh) for p in polygons)


def _keypoints(
    decoder: Decoder, outputs: Outputs, found: Candidates, placement: Placement
) -> FloatArray | None:
    """Landmarks in the image, each with its score."""
    points = decoder.landmarks(outputs, found.rows) if isinstance(decoder, Landmarked) else None
    if points is None:
        return None
    return np.concatenate([placement.points_to_image(points[..., :2]), points[..., 2:]], axis=-1)


def _poses(
    decoder: Decoder, outputs: Outputs, found: Candidates, placement: Placement, camera: Intrinsics | None
) -> tuple[Poses | None, Intrinsics | None]:
    """Poses, and the camera that they are relative to."""
    if not isinstance(decoder, Posed):
        return None, None
    heads = decoder.pose_heads(outputs, found.rows)
    return (None, camera) if heads is None else heads.poses(found.boxes_xyxy_px, placement, camera)


def class_probabilities(logits: Array, placement: Placement) -> Array:
    """(C, H, W) float32 of the image's pixels, of (C, h, w) logits of the input's.

    Logits are resized bilinearly, then a softmax makes them probabilities.
    """
    content = np.zeros((len(logits), *placement.content_wh[::-1]), np.float32)
    (rows, columns), (from_rows, from_columns) = placement.shown, placement.window
    content[:, rows, columns] = logits[:, from_rows, from_columns]
    if placement.content_wh != placement.image_wh:
        size, linear = placement.image_wh, cv2.INTER_LINEAR
        content = np.stack([cv2.resize(plane, size, interpolation=linear) for plane in content])
    weights = np.exp(content - content.max(axis=0))
    probabilities: Array = weights / weights.sum(axis=0)
    return probabilities
