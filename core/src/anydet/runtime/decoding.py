"""Outputs for one image to its predictions: best candidates, clipping, NMS, masks and keypoints."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np

from anydet.geometry.boxes import area_xyxy, clip_xyxy, nms_by_class
from anydet.geometry.placement import Placement
from anydet.runtime.classes import ModelClasses
from anydet.runtime.layouts.candidates import Candidates, Decoder, Landmarked, Masked, Outputs, select
from anydet.runtime.masks import mask_codes
from anydet.types import RLE, FloatArray, ImagePredictions, IntArray


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

    def result(self, key: str, decoder: Decoder, outputs: Outputs, placement: Placement) -> ImagePredictions:
        """Detections of one image, in its own pixels.

        Args:
            key: of the image.
            decoder: how the outputs are read.
            outputs: of that image.
            placement: where it stands in the input.

        Raises:
            ModelError: the outputs are not what the decoder takes them for.
        """
        found = self._candidates(decoder, outputs, placement)
        boxes = clip_xyxy(placement.to_image(found.boxes_xyxy_px), placement.image_wh)
        inside = np.flatnonzero(area_xyxy(boxes) > 0)  # what was found in the border alone is gone
        keep = inside[self._suppress(boxes[inside], found.scores[inside], found.class_ids[inside])]
        found = found.take(keep)
        return ImagePredictions(
            key,
            placement.image_wh,
            boxes[keep],
            found.scores,
            found.class_ids,
            masks=_masks(decoder, outputs, found, placement),
            keypoints=_keypoints(decoder, outputs, found, placement),
        )

    def _candidates(self, decoder: Decoder, outputs: Outputs, placement: Placement) -> Candidates:
        return select(
            decoder,
            outputs,
            self.classes,
            floor=self.score_floor,
            limit=self.limit,
            input_wh=placement.input_wh,
        )

    def _suppress(self, boxes: FloatArray, scores: FloatArray, class_ids: IntArray) -> IntArray:
        if self.nms_iou is None:
            return np.argsort(-scores, kind="stable")
        return nms_by_class(boxes, scores, class_ids, self.nms_iou)


def _masks(
    decoder: Decoder, outputs: Outputs, found: Candidates, placement: Placement
) -> tuple[RLE, ...] | None:
    prototypes = decoder.prototypes(outputs) if isinstance(decoder, Masked) else None
    if prototypes is None or not isinstance(decoder, Masked):
        return None
    return mask_codes(decoder.coefficients(outputs, found.rows), prototypes, found.boxes_xyxy_px, placement)


def _keypoints(
    decoder: Decoder, outputs: Outputs, found: Candidates, placement: Placement
) -> FloatArray | None:
    """Landmarks in the image, each with its score."""
    if not isinstance(decoder, Landmarked) or not decoder.landmark_names:
        return None
    points = decoder.landmarks(outputs, found.rows)
    return np.concatenate([placement.points_to_image(points[..., :2]), points[..., 2:]], axis=-1)
