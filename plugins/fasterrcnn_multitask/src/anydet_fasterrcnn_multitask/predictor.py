"""Records to predictions, by way of inputs that no neighbor in a batch can change."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, replace

import numpy as np
import torch
from torch import Tensor
from torchvision.models.detection.image_list import ImageList

from anydet.data.record.record import Record
from anydet.geometry.boxes import area_xyxy, clip_xyxy
from anydet.geometry.placement import Placement
from anydet.plugins import stages
from anydet.plugins.preprocess import Preprocess
from anydet.plugins.stages import Decoded
from anydet.training.detectors.inputs import BySize, Prepared, preprocess_of
from anydet.training.stages import Named
from anydet.types import FloatArray, ImagePredictions
from anydet_fasterrcnn_multitask.architecture import Architecture
from anydet_fasterrcnn_multitask.model import MultiTaskFasterRCNN, build_transform
from anydet_fasterrcnn_multitask.roi_heads import Detections

USUAL_DETECTIONS = 100


@dataclass(frozen=True, eq=False)
class Predictor(BySize):
    """Detections and states of a ``MultiTaskFasterRCNN``; detections of an image are cut at 100 or more.

    Attributes:
        states: whether the model was trained to predict states.
    """

    model: MultiTaskFasterRCNN
    states: bool = True

    def forward(self, batch: list[Prepared], images: Tensor) -> list[Detections]:
        """Detections in pixels of the inputs."""
        # the model is shared with training and with other predictors, so its limits are set each time
        heads = self.model.roi_heads
        heads.score_thresh = self.settings.score_floor
        heads.detections_per_img = self.most
        return self.model.detect(ImageList(images, [image.input_hw for image in batch]))

    def results(self, batch: list[Prepared], outputs: list[Detections]) -> list[ImagePredictions]:
        """Boxes in pixels of the images, clipped; those without area are dropped."""
        return [self._result(*pair) for pair in zip(batch, outputs, strict=True)]

    @property
    def most(self) -> int:
        """Detections of an image."""
        return max(USUAL_DETECTIONS, self.settings.max_detections)

    def placed(self, image: Prepared) -> stages.Prepared:
        """Without the padding, which the exported module adds itself."""
        height, width = image.input_hw
        placement = Placement(image.size_wh, (width, height), (0, 0), (width, height))
        return stages.Prepared(image.tensor[:, :height, :width].cpu().numpy(), placement)

    def decode(self, outputs: Named, placement: Placement) -> Decoded:
        """Rows that are detections."""
        there = outputs["labels"] >= 0
        boxes, scores, labels = (outputs[name][there] for name in ("boxes_xyxy_px", "scores", "labels"))
        return Decoded(scores[:, None].numpy(), _float64(boxes), labels.numpy().astype(np.int64))

    def select(self, record: Record, decoded: Decoded, placement: Placement) -> ImagePredictions:
        """Detections whose score is above the floor; the best where there are more than ``most``."""
        assert decoded.labels is not None
        scores = decoded.scores[:, 0]
        best = np.argsort(-scores, kind="stable")[: self.most]
        best = best[scores[best] > self.settings.score_floor]
        found = {
            "boxes": torch.from_numpy(decoded.boxes_xyxy_px[best]),
            "scores": torch.from_numpy(scores[best]),
            "labels": torch.from_numpy(decoded.labels[best] + 1),
        }
        return replace(self, states=False)._result(_bare(record, placement), found)

    def complete(self, record: Record, outputs: Named, placement: Placement) -> ImagePredictions:
        """Detections with their states."""
        there = outputs["labels"] >= 0
        found = {
            "boxes": outputs["boxes_xyxy_px"][there],
            "scores": outputs["scores"][there],
            "labels": outputs["labels"][there] + 1,
        }
        if self.states:
            found["state_scores"] = outputs["state_scores"][there]
            found["states"] = found["state_scores"].argmax(1)
        return self._result(_bare(record, placement), found)

    def _result(self, image: Prepared, found: Mapping[str, Tensor]) -> ImagePredictions:
        height, width = image.input_hw
        scale = np.tile([image.size_wh[0] / width, image.size_wh[1] / height], 2)
        boxes = clip_xyxy(_float64(found["boxes"]) * scale, image.size_wh)
        keep = np.flatnonzero(area_xyxy(boxes) > 0)
        return ImagePredictions(
            image.key,
            image.size_wh,
            boxes[keep],
            _float64(found["scores"])[keep],
            # torchvision's label 0 is the background.
            found["labels"].cpu().numpy().astype(np.int64)[keep] - 1,
            states=found["states"].cpu().numpy().astype(np.int64)[keep] if self.states else None,
            state_scores=_float64(found["state_scores"])[keep] if self.states else None,
        )


def _bare(record: Record, placement: Placement) -> Prepared:
    """An image whose pixels are not needed any more."""
    width, height = placement.content_wh
    return Prepared(record.key, placement.image_wh, torch.empty(0), (height, width))


def preprocess(architecture: Architecture) -> Preprocess:
    """What ``MultiTaskFasterRCNN.prepare`` does, described."""
    return preprocess_of(build_transform(architecture))


def _float64(tensor: Tensor) -> FloatArray:
    return tensor.double().cpu().numpy()
