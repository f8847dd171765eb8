"""``Content``: what images and labels hold, read once, image by image."""

from __future__ import annotations

from collections import Counter, defaultdict
from dataclasses import dataclass, field
from hashlib import sha256

import numpy as np

from anydet.data.dataset.protocols import Dataset
from anydet.data.record.class_mask import UNLABELED
from anydet.data.record.record import Record
from anydet.errors import AnydetError
from anydet.training.batches.sample import Sample
from anydet.training.batches.samples import sample_of
from anydet.training.numerics.nonfinite import first_nonfinite
from anydet.training.task import TrainingTask
from anydet.types import IntArray

_FLAT = 2
"""Gray levels between the darkest and the lightest value of an image that shows nothing."""


@dataclass(slots=True)
class Content:
    """What was found in the images of one split; lists are of image keys.

    Attributes:
        images: how many were looked at.
        by_pixels: digest of size and pixels -> images.
        broken: what is wrong with images or labels that cannot be read.
        refused: the task's errors about samples that it cannot take.
        nonfinite: images that reach the model with NaN or infinity.
        flat: images of one color.
        unlabeled: images without any label.
        strange: what contradicts itself: a label whose class no pixel of the mask has, a class that the table
            does not have.
        objects, pixels, labels: class id -> number of boxes, mask pixels, images.
        lowest, highest: of all pixel values.
    """

    images: int = 0
    by_pixels: dict[bytes, list[str]] = field(default_factory=lambda: defaultdict(list))
    broken: list[str] = field(default_factory=list)
    refused: list[str] = field(default_factory=list)
    nonfinite: list[str] = field(default_factory=list)
    flat: list[str] = field(default_factory=list)
    unlabeled: list[str] = field(default_factory=list)
    strange: list[str] = field(default_factory=list)
    objects: Counter[int] = field(default_factory=Counter)
    pixels: Counter[int] = field(default_factory=Counter)
    labels: Counter[int] = field(default_factory=Counter)
    lowest: int = 255
    highest: int = 0


def read_content(dataset: Dataset, task: TrainingTask, most: int) -> Content:
    """Look at the first ``most`` images as the task's training would read them, without augmentation."""
    found = Content()
    for index in range(min(most, len(dataset))):
        found.images += 1
        try:
            record = dataset[index]
            sample = sample_of(record, task.label_kinds)
        except AnydetError as exc:
            found.broken.append(exc.problem)
            continue
        _look(found, record, sample, task)
    return found


def _look(found: Content, record: Record, sample: Sample, task: TrainingTask) -> None:
    image = np.ascontiguousarray(sample.image.numpy())
    digest = sha256(str(image.shape).encode() + image.tobytes()).digest()
    found.by_pixels[digest].append(sample.key)
    low, high = (int(image.min()), int(image.max())) if image.size else (0, 0)
    found.lowest, found.highest = min(found.lowest, low), max(found.highest, high)
    if high - low <= _FLAT:
        found.flat.append(sample.key)
    _count(found, record, sample, len(task.classes))
    try:
        item = task.item(sample)
    except AnydetError as exc:
        found.refused.append(exc.problem)
        return
    if where := first_nonfinite(item, "item"):
        found.nonfinite.append(f"{sample.key} ({where.removeprefix('item.')})")


def _count(found: Content, record: Record, sample: Sample, classes: int) -> None:
    ids = sample.class_ids.numpy()
    shown = _classes_of_pixels(sample)
    found.objects.update(ids.tolist())
    found.pixels.update({int(one): int(count) for one, count in enumerate(shown) if count})
    if sample.label >= 0:
        found.labels[sample.label] += 1
    given = 0 if record.labels is None else len(record.labels)
    if not given and not shown.any() and sample.label < 0:
        found.unlabeled.append(sample.key)
    for one in sorted({*ids.tolist(), *np.flatnonzero(shown).tolist(), sample.label}):
        if one >= classes:
            found.strange.append(f"{sample.key}: class {one}, there are {classes}")
    if (
        0 <= sample.label < classes
        and shown.any()
        and (sample.label >= len(shown) or not shown[sample.label])
    ):
        found.strange.append(f"{sample.key}: its class is {sample.label}, no pixel of its mask shows that")


def _classes_of_pixels(sample: Sample) -> IntArray:
    """Number of pixels of each class."""
    if sample.semantic is None:
        return np.zeros(0, np.int64)
    values = sample.semantic.numpy()
    return np.bincount(values[values != UNLABELED])
