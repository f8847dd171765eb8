"""Samples as torchvision's detectors take them in training."""

from __future__ import annotations

from collections.abc import Sequence
from typing import TypeAlias

from torch import Tensor

from anydet.training.batches.sample import Sample

Target: TypeAlias = dict[str, Tensor]
Item: TypeAlias = tuple[Tensor, Target]
Batch: TypeAlias = tuple[tuple[Tensor, ...], tuple[Target, ...]]


def boxes_and_labels(sample: Sample) -> Target:
    """``boxes`` (N, 4) and ``labels`` (N,) from 1, as 0 is the background; crowds are no single thing."""
    single = ~sample.iscrowd
    return {"boxes": sample.boxes[single].float(), "labels": sample.class_ids[single] + 1}


def collate(items: Sequence[Item]) -> Batch:
    """Tuples of images and of targets; sizes differ, the model makes them one tensor."""
    images, targets = zip(*items, strict=True)
    return tuple(images), tuple(targets)


def scaled(images: Sequence[Tensor]) -> list[Tensor]:
    """Images of 0..255 in 0..1."""
    return [image.float() / 255 for image in images]
