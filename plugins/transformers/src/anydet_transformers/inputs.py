"""Images as models take them: what the library's image processor makes of each by itself."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any

import numpy as np
import torch
from torch import Tensor
from torch.nn.functional import interpolate

from anydet.plugins.preprocess import Preprocess
from anydet.training.batches.sample import Sample
from anydet.types import ByteImage, Size
from anydet_transformers.quiet import quiet

_BILINEAR = 2
"""Pillow's and the library's number of the filter."""
_HALF = 0.5
"""Share of a resized pixel from which on it is the object's."""


@dataclass(frozen=True, slots=True, eq=False)
class Prepared:
    """One image as an input.

    Attributes:
        key: of the record.
        size_wh: of the image, in pixels.
        pixels: (3, h, w).
        mask: (h, w), 0 in padding; ``None`` where there is none.
    """

    key: str
    size_wh: Size
    pixels: Tensor
    mask: Tensor | None


@dataclass(frozen=True, slots=True, eq=False)
class Labeled:
    """One image as an input, and what is on it; crowds are left out, they are no single thing.

    Attributes:
        pixels: (3, h, w).
        content_hw: height and width without padding, which is below and to the right.
        class_ids: (N,).
        boxes: (N, 4) centers and sizes, normalized by the image.
        masks: (N, h, w) bool; ``None`` where they are not learned.
    """

    pixels: Tensor
    content_hw: tuple[int, int]
    class_ids: Tensor
    boxes: Tensor
    masks: Tensor | None = None


def prepare(key: str, image: ByteImage, processor: Any) -> Prepared:
    """(H, W, 3) uint8 RGB as the library's image processor makes it."""
    # A read-only array would make torch warn, and nothing here writes to it but the copy.
    made = call(processor, torch.from_numpy(np.array(image.transpose(2, 0, 1), order="C")))
    mask = made.get("pixel_mask")
    padded = mask is not None and not bool(mask.all())
    return Prepared(
        key, (image.shape[1], image.shape[0]), made["pixel_values"][0], mask[0] if padded else None
    )


def label(sample: Sample, processor: Any, *, masks: bool) -> Labeled:
    """A training image as the library's image processor makes it; boxes are clipped to the image."""
    size = torch.tensor([*sample.size_wh, *sample.size_wh])
    clipped = torch.minimum(sample.boxes.clamp(min=0), size)
    rows = ~sample.iscrowd & (clipped[:, 2:] > clipped[:, :2]).all(dim=1)
    placed = clipped[rows] / size
    first, last = placed[:, :2], placed[:, 2:]
    made = call(processor, sample.image)
    pixels = made["pixel_values"][0]
    content = _content_hw(made, processor, sample.image)
    return Labeled(
        pixels,
        content,
        sample.class_ids[rows],
        torch.cat([(first + last) / 2, last - first], dim=1),
        _resized(sample, rows, content, pixels) if masks else None,
    )


def _content_hw(made: Any, processor: Any, image: Tensor) -> tuple[int, int]:
    mask = made.get("pixel_mask")
    if mask is not None:
        return int(mask[0].any(dim=1).sum()), int(mask[0].any(dim=0).sum())
    if getattr(processor, "do_pad", False):
        # It pads and does not say where.
        made = call(processor, image, do_pad=False)
    height, width = made["pixel_values"].shape[-2:]
    return height, width


def _resized(sample: Sample, rows: Tensor, content_hw: tuple[int, int], pixels: Tensor) -> Tensor:
    """(N, h, w) masks in the input."""
    placed = torch.zeros(int(rows.sum()), *pixels.shape[-2:], dtype=torch.bool)
    if sample.masks is not None and len(placed):
        small = interpolate(sample.masks[rows, None].float(), content_hw, mode="area")[:, 0]
        placed[:, : content_hw[0], : content_hw[1]] = small > _HALF
    return placed


def call(processor: Any, pixels: Tensor, **more: Any) -> Any:
    """What the library's image processor makes of (3, H, W) uint8."""
    with quiet():
        # Stated, as an image of one or three rows could be taken for one with channels last.
        return processor(images=pixels, return_tensors="pt", input_data_format="channels_first", **more)


def described(processor: Any) -> Preprocess | None:
    """What the image processor does, in words that runtimes know; ``None`` where they have none for it."""
    size = processor.size
    plain = processor.do_resize and processor.do_rescale and int(processor.resample or 0) == _BILINEAR
    if not plain or not size or not (size.height and size.width):
        return None
    if getattr(processor, "do_pad", False) and getattr(processor, "pad_size", None):
        return None
    normalizes = bool(processor.do_normalize)
    return Preprocess(
        "stretch",
        (size.width, size.height),
        interpolation="bilinear-antialias",
        divisor=1 / processor.rescale_factor,
        mean=_triple(processor.image_mean) if normalizes else (0.0, 0.0, 0.0),
        std=_triple(processor.image_std) if normalizes else (1.0, 1.0, 1.0),
    )


def _triple(values: Any) -> tuple[float, float, float]:
    first, second, third = values
    return float(first), float(second), float(third)
