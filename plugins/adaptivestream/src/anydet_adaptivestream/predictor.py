"""``Predictor``: what the model says of images, as anydet's predictions."""

from __future__ import annotations

from collections.abc import Callable, Iterator, Sequence
from contextlib import AbstractContextManager, nullcontext
from dataclasses import dataclass, field

import numpy as np
import torch
from torch import Tensor

from anydet.data.record.class_mask import background_of, masks_of_classes
from anydet.data.record.record import Record
from anydet.geometry import masks
from anydet.training.batches.sample import Sample
from anydet.training.batches.samples import sample_of
from anydet.training.batches.transforms import resize
from anydet.types import Classification, ClassTable, ImagePredictions
from anydet_adaptivestream.model import AdaptiveStream, fit
from anydet_adaptivestream.objects import find_objects

MEAN, STD = (0.485, 0.456, 0.406), (0.229, 0.224, 0.225)
"""Of ImageNet's RGB values in 0..1, which the backbones of timm expect."""
_FEWEST = 100

Stage = Callable[[str], AbstractContextManager[None]]


def input_of(sample: Sample, size: int) -> Tensor:
    """(3, S, S) float32 input of a sample: stretched to a square of ``size`` pixels, normalized."""
    image = resize(sample, (size, size)).image.float() / 255.0
    mean, std = (torch.tensor(values)[:, None, None] for values in (MEAN, STD))
    return (image - mean) / std


def _unmarked(_name: str) -> AbstractContextManager[None]:
    return nullcontext()


@dataclass(frozen=True)
class Predictor:
    """How a model is asked: one image at a time, so that no result depends on the neighbors in a batch.

    Attributes:
        model: asked on the device and in the mode in which it is.
        classes: of pixels and of images.
        image_size: side of the square input in pixels.
        score_floor: objects below it are dropped.
        max_detections: most objects of an image, and never less than 100.
        min_area_px: smaller regions are no objects; the semantic mask keeps them.
        stage: marks decode, preprocess, model and postprocess, as ``Adapter.stage``.
    """

    model: AdaptiveStream
    classes: ClassTable
    image_size: int
    score_floor: float = 0.0
    max_detections: int = _FEWEST
    min_area_px: int = 16
    stage: Stage = field(default=_unmarked)

    def __call__(self, records: Sequence[Record]) -> Iterator[ImagePredictions]:
        """One result a record, in their order."""
        for record in records:
            with self.stage("decode"):
                sample = sample_of(record, ())
            with self.stage("preprocess"):
                inputs = input_of(sample, self.image_size)[None].to(self.device)
            with self.stage("model"), torch.no_grad():
                pixels, image = self.model(inputs)
                probabilities = fit(pixels, sample.size_wh[::-1]).softmax(dim=1)[0]
                scores = image.double().softmax(dim=1)[0]
            with self.stage("postprocess"):
                yield self._result(record.key, probabilities, scores.tolist())

    def batches(self, records: Sequence[Record], batch_size: int) -> Iterator[Tensor]:
        """(B, 3, S, S) inputs of all records, in their order."""
        for start in range(0, len(records), batch_size):
            chunk = [records[i] for i in range(start, min(start + batch_size, len(records)))]
            inputs = [input_of(sample_of(record, ()), self.image_size) for record in chunk]
            yield torch.stack(inputs).to(self.device)

    @property
    def device(self) -> torch.device:
        """Where the model is."""
        return next(self.model.parameters()).device

    def _result(self, key: str, probabilities: Tensor, scores: list[float]) -> ImagePredictions:
        """Of (C, H, W) probabilities of the pixels and C of the image."""
        best, classes = probabilities.max(dim=0)
        class_map = classes.cpu().numpy().astype(np.int64)
        height, width = class_map.shape
        objects = find_objects(
            class_map,
            best.double().cpu().numpy(),
            background_of(self.classes),
            min_area_px=self.min_area_px,
            score_floor=self.score_floor,
            limit=max(_FEWEST, self.max_detections),
        )
        top = int(np.argmax(scores))
        return ImagePredictions(
            key,
            (width, height),
            objects.boxes_xyxy_px,
            objects.scores,
            objects.class_ids,
            masks=tuple(masks.encode(objects.regions.index_map == row) for row in objects.rows.tolist()),
            classification=Classification(top, scores[top], tuple(scores)),
            semantic_mask=masks_of_classes(class_map),
        )
