"""Records to predictions: what the bare model finds, in the form of the contract."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
from torch import Tensor
from torchvision.models.detection.image_list import ImageList
from torchvision.models.detection.roi_heads import expand_boxes, expand_masks, paste_mask_in_image

from anydet.geometry.boxes import area_xyxy, clip_xyxy
from anydet.geometry.masks import encode
from anydet.training.detectors.inputs import BySize, Prepared
from anydet.types import RLE, FloatArray, ImagePredictions, IntArray, Size
from anydet_torchvision.model import Detections, Detector

MASK_THRESHOLD = 0.5
"""Probability above which a pixel is of the object, as in torchvision's references and examples."""


@dataclass(frozen=True, eq=False)
class Predictor(BySize):
    """Detections of a ``Detector``, as its bare model gives them for the images of a batch.

    Attributes:
        detections: most detections of an image; ``None`` for as many as torchvision gives, and no fewer than
            the settings' hint.
    """

    model: Detector
    detections: int | None = None

    @property
    def most(self) -> int:
        """Detections of an image."""
        return self.detections or max(self.model.usual_detections, self.settings.max_detections)

    def forward(self, batch: list[Prepared], images: Tensor) -> list[Detections]:
        """Detections in pixels of the inputs."""
        # the model is shared with training and with other predictors, so its limits are set each time
        self.model.limit(self.settings.score_floor, self.most)
        return self.model.detect(ImageList(images, [image.input_hw for image in batch]))

    def results(self, batch: list[Prepared], outputs: list[Detections]) -> list[ImagePredictions]:
        """Boxes in pixels of the images, clipped; those without area, and of no class, are dropped."""
        return [self._result(*pair) for pair in zip(batch, outputs, strict=True)]

    def _result(self, image: Prepared, found: Detections) -> ImagePredictions:
        width, height = image.size_wh
        masks = found.pop("masks", None)
        (placed,) = self.model.transform.postprocess([found], [image.input_hw], [(height, width)])
        class_ids = self._class_ids(placed["labels"])
        boxes = clip_xyxy(_float64(placed["boxes"]), image.size_wh)
        keep = np.flatnonzero((class_ids >= 0) & (area_xyxy(boxes) > 0))
        return ImagePredictions(
            image.key,
            image.size_wh,
            boxes[keep],
            _float64(placed["scores"])[keep],
            class_ids[keep],
            masks=None if masks is None else _masks(masks[keep], placed["boxes"][keep], image.size_wh),
            keypoints=_keypoints(placed)[keep] if "keypoints" in placed else None,
        )

    def _class_ids(self, labels: Tensor) -> IntArray:
        """Contiguous; -1 of labels that are no class, the background's among them."""
        about = self.model.about
        ids = np.full(len(about.rows) + 1, -1)
        ids[list(about.labels)] = np.arange(len(about.labels))
        found: IntArray = ids[labels.cpu().numpy()].astype(np.int64)
        return found


def _masks(masks: Tensor, boxes: Tensor, size_wh: Size) -> tuple[RLE, ...]:
    """(N, 1, 28, 28) probabilities in boxes as masks of the image: where they are above one half."""
    # As torchvision's paste_masks_in_image does, but one at a time: all of them would take a number for each
    # pixel of the image and each detection.
    width, height = size_wh
    padded, scale = expand_masks(masks.cpu(), 1)
    places = expand_boxes(boxes.cpu(), scale).long()
    return tuple(
        encode((paste_mask_in_image(mask[0], box, height, width) > MASK_THRESHOLD).numpy())
        for mask, box in zip(padded, places, strict=True)
    )


def _keypoints(found: Detections) -> FloatArray:
    """(N, K, 3) x, y and score: torchvision's visibility is 1 of all, and its scores are logits."""
    scores = found["keypoints_scores"].sigmoid()
    return np.concatenate([_float64(found["keypoints"][..., :2]), _float64(scores)[..., None]], axis=-1)


def _float64(tensor: Tensor) -> FloatArray:
    return tensor.detach().double().cpu().numpy()
