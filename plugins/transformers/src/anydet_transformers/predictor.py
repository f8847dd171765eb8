"""Records to predictions: the library's image processor, model and post-processing, batch by batch."""

from __future__ import annotations

import inspect
from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from functools import cached_property
from itertools import groupby
from typing import Any

import numpy as np
import torch
from torch import Tensor

from anydet.data.record.record import Record
from anydet.geometry.boxes import area_xyxy, clip_xyxy
from anydet.training.predictor import BatchPredictor
from anydet.types import ByteImage, FloatArray, ImagePredictions
from anydet_transformers.inputs import Prepared, prepare
from anydet_transformers.model import LibraryModel


@dataclass(frozen=True, eq=False)
class Predictor(BatchPredictor[Prepared]):
    """Boxes of a detector with classes of its own.

    Neighbors whose inputs have one size form a batch, so a batch may be smaller than ``batch_size``.
    """

    model: LibraryModel

    def prepare(self, record: Record, image: ByteImage) -> Prepared:
        """By the library's image processor."""
        return prepare(record.key, image, self.processor)

    def split(self, images: list[Prepared]) -> Iterator[list[Prepared]]:
        """Neighbors whose inputs have one size and no padding of different places."""
        # The library would pad them to the largest, and padding changes what is found: a result would
        # depend on its neighbors.
        for _, batch in groupby(images, key=lambda image: (image.pixels.shape, image.mask is None)):
            yield list(batch)

    def stack(self, batch: list[Prepared]) -> Tensor:
        """(B, 3, H, W) of images that have one size."""
        return torch.stack([image.pixels for image in batch]).to(self.device)

    def forward(self, batch: list[Prepared], images: Tensor) -> Any:
        """The library's outputs."""
        return self.model(images, **self.beside(batch))

    def beside(self, batch: list[Prepared]) -> dict[str, Tensor]:
        """What the model takes beside images."""
        masks = [image.mask for image in batch if image.mask is not None]
        return {"pixel_mask": torch.stack(masks).to(self.device)} if masks else {}

    def results(self, batch: list[Prepared], outputs: Any) -> list[ImagePredictions]:
        """By the library's post-processing; boxes are clipped to the image, those without area left out."""
        return [detections(*pair) for pair in zip(batch, self.found(batch, outputs), strict=True)]

    def found(self, batch: list[Prepared], outputs: Any) -> list[Mapping[str, Tensor]]:
        """Scores, labels and boxes of each image, as the library's post-processing gives them."""
        process = self.processor.post_process_object_detection
        # Where the library keeps so many pairs of query and class alone (100), more can be asked for.
        limit = inspect.signature(process).parameters.get("top_k")
        most = self.settings.max_detections
        more = {"top_k": most} if limit is not None and limit.default and most > limit.default else {}
        found: list[Mapping[str, Tensor]] = process(
            outputs, threshold=self.settings.score_floor, target_sizes=sizes_hw(batch), **more
        )
        return found

    @cached_property
    def processor(self) -> Any:
        """The library's image processor."""
        return self.model.about.image_processor()


def sizes_hw(batch: list[Prepared]) -> list[tuple[int, int]]:
    """Height and width of each image, as the library has them."""
    return [(image.size_wh[1], image.size_wh[0]) for image in batch]


def detections(image: Prepared, found: Mapping[str, Tensor]) -> ImagePredictions:
    """What was found in an image: ``boxes``, ``scores`` and ``labels``."""
    boxes = clip_xyxy(_numpy(found["boxes"]), image.size_wh)
    keep = np.flatnonzero(area_xyxy(boxes) > 0)
    return ImagePredictions(
        image.key,
        image.size_wh,
        boxes[keep],
        _numpy(found["scores"])[keep],
        found["labels"].cpu().numpy().astype(np.int64)[keep],
    )


def _numpy(values: Tensor) -> FloatArray:
    return values.double().cpu().numpy()
