"""Masks: instances or segments of the library's post-processing, each with the box around it."""

from __future__ import annotations

import inspect
from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any

import numpy as np
from torch import Tensor

from anydet.geometry.boxes import xywh_to_xyxy
from anydet.geometry.masks import bounds_xywh, encode
from anydet.types import BoolArray, ImagePredictions
from anydet_transformers.inputs import Prepared
from anydet_transformers.predictor import Predictor, sizes_hw
from anydet_transformers.quiet import quiet


@dataclass(frozen=True, eq=False)
class Segmenter(Predictor):
    """Masks of a segmentation model.

    Attributes:
        segments: ``instance``, or ``panoptic``, where each pixel belongs to one segment at most.
        threshold: score from which on a query takes part where queries compete for pixels; ``None`` is the
            library's own for the model.
    """

    segments: str = "instance"
    threshold: float | None = None

    def results(self, batch: list[Prepared], outputs: Any) -> list[ImagePredictions]:
        """One result an image."""
        floor = self.settings.score_floor
        with quiet():
            found = self.process(outputs, sizes_hw(batch))
        return [segments_of(*pair, floor=floor) for pair in zip(batch, found, strict=True)]

    def process(self, outputs: Any, sizes: list[tuple[int, int]]) -> list[Mapping[str, Any]]:
        """What the library's post-processing gives, each mask by itself where it can."""
        process = getattr(self.processor, f"post_process_{self.segments}_segmentation")
        keys = inspect.signature(process).parameters
        chosen: dict[str, Any] = {} if self.threshold is None else {"threshold": self.threshold}
        if "return_binary_maps" in keys:
            # Masks do not compete for pixels here, so a low score costs the others nothing.
            chosen = {"return_binary_maps": True, "threshold": self.settings.score_floor}
        if "label_ids_to_fuse" in keys:
            chosen["label_ids_to_fuse"] = set()
        found: list[Mapping[str, Any]] = process(outputs, target_sizes=sizes, **chosen)
        return found


def segments_of(image: Prepared, found: Mapping[str, Any], *, floor: float) -> ImagePredictions:
    """Masks and the boxes around them; segments without pixels are left out."""
    infos = list(found["segments_info"])
    masks = [encode(mask) for mask in _masks(found["segmentation"], infos)]
    boxes = np.array([bounds_xywh(mask) for mask in masks], np.float64).reshape(-1, 4)
    scores = np.array([min(max(info["score"], 0.0), 1.0) for info in infos], np.float64)
    classes = np.array([info["label_id"] for info in infos], np.int64)
    keep = np.flatnonzero((boxes[:, 2:] > 0).all(axis=1) & (scores >= floor))
    return ImagePredictions(
        image.key,
        image.size_wh,
        xywh_to_xyxy(boxes[keep]),
        scores[keep],
        classes[keep],
        masks=tuple(masks[row] for row in keep),
    )


def _masks(segmentation: Tensor | None, infos: list[Mapping[str, Any]]) -> list[BoolArray]:
    """(H, W) of each segment, of a stack of masks or of a map of ids."""
    if segmentation is None or not infos:
        return []
    values = segmentation.cpu().numpy()
    if values.ndim == 3:
        return [np.asarray(mask > 0) for mask in values]
    return [np.asarray(values == info["id"]) for info in infos]
