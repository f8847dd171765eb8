"""Records to predictions, by way of inputs that no neighbor in a batch can change."""

from __future__ import annotations

from collections.abc import Callable, Iterator, Sequence
from contextlib import AbstractContextManager, nullcontext
from dataclasses import dataclass
from itertools import groupby

import numpy as np
import torch
from torch import Tensor
from torchvision.models.detection.image_list import ImageList

from anydet.data.record.record import Record
from anydet.geometry.boxes import area_xyxy, clip_xyxy
from anydet.types import ByteImage, FloatArray, ImagePredictions, Size
from anydet_fasterrcnn_multitask.model import MultiTaskFasterRCNN
from anydet_fasterrcnn_multitask.roi_heads import Detections

Stage = Callable[[str], AbstractContextManager[None]]
_USUAL_DETECTIONS = 100


def _unmarked(_stage: str) -> AbstractContextManager[None]:
    return nullcontext()


@dataclass(frozen=True, slots=True, eq=False)
class Prepared:
    """One image as the model takes it.

    Attributes:
        key: of the record.
        size_wh: of the image, in pixels.
        tensor: (3, H, W), normalized, resized, and padded to multiples of 32 at its right and lower edges.
        input_hw: size without the padding.
    """

    key: str
    size_wh: Size
    tensor: Tensor
    input_hw: tuple[int, int]


@dataclass(frozen=True, slots=True, eq=False)
class Predictor:
    """How a model is asked.

    Images share a batch only where their inputs have one size. torchvision pads smaller ones, and what is
    found in an image then depends on its neighbors.

    Attributes:
        model: asked on the device and in the mode in which it is.
        batch_size: images at once, at most.
        score_floor: detections up to it are dropped.
        max_detections: most detections of an image, and never less than 100.
        states: whether the model was trained to tell states.
        stage: marks decode, preprocess, model and postprocess, as ``Adapter.stage``.
    """

    model: MultiTaskFasterRCNN
    batch_size: int
    score_floor: float
    max_detections: int = _USUAL_DETECTIONS
    states: bool = True
    stage: Stage = _unmarked

    def __call__(self, records: Sequence[Record]) -> Iterator[ImagePredictions]:
        """One result a record, in their order."""
        heads = self.model.roi_heads
        for batch in self.batches(records):
            heads.score_thresh = self.score_floor
            heads.detections_per_img = max(_USUAL_DETECTIONS, self.max_detections)
            inputs = ImageList(stacked(batch), [image.input_hw for image in batch])
            with self.stage("model"), torch.no_grad():
                found = self.model.detect(inputs)
            with self.stage("postprocess"):
                results = [self._result(*pair) for pair in zip(batch, found, strict=True)]
            yield from results

    def batches(self, records: Sequence[Record]) -> Iterator[list[Prepared]]:
        """All records in their order, as many at once as have one size and as ``batch_size`` allows."""
        for start in range(0, len(records), self.batch_size):
            chunk = [records[i] for i in range(start, min(start + self.batch_size, len(records)))]
            prepared = [self._prepare(record) for record in chunk]
            for _, batch in groupby(prepared, key=lambda image: image.tensor.shape):
                yield list(batch)

    def _prepare(self, record: Record) -> Prepared:
        with self.stage("decode"):
            image = record.image()
        with self.stage("preprocess"):
            inputs = self.model.prepare(image_tensor(image, self.model.device))
        return Prepared(
            record.key, (image.shape[1], image.shape[0]), inputs.tensors[0], inputs.image_sizes[0]
        )

    def _result(self, image: Prepared, found: Detections) -> ImagePredictions:
        height, width = image.input_hw
        scale = np.tile([image.size_wh[0] / width, image.size_wh[1] / height], 2)
        boxes = clip_xyxy(_float64(found["boxes"]) * scale, image.size_wh)
        keep = np.flatnonzero(area_xyxy(boxes) > 0)
        return ImagePredictions(
            image.key,
            image.size_wh,
            boxes[keep],
            _float64(found["scores"])[keep],
            found["labels"].cpu().numpy().astype(np.int64)[keep] - 1,
            states=found["states"].cpu().numpy().astype(np.int64)[keep] if self.states else None,
            state_scores=_float64(found["state_scores"])[keep] if self.states else None,
        )


def image_tensor(image: ByteImage, device: torch.device) -> Tensor:
    """(3, H, W) float32 in 0..1 of (H, W, 3) uint8."""
    planes = torch.from_numpy(np.array(image.transpose(2, 0, 1), order="C"))
    return planes.to(device).float() / 255


def stacked(batch: Sequence[Prepared]) -> Tensor:
    """(B, 3, H, W) of images that have one size."""
    return torch.stack([image.tensor for image in batch])


def _float64(tensor: Tensor) -> FloatArray:
    return tensor.double().cpu().numpy()
