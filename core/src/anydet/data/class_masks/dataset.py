"""``MaskDataset``: images with class masks and classes of their own, whatever files these come from."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any

import numpy as np

from anydet.data.dataset.columns import boxes_only, ground_truth_columns, no_labels
from anydet.data.dataset.fingerprint import Fingerprint
from anydet.data.dataset.image_columns import ImageNotes
from anydet.data.record.class_mask import ClassMask, background_of
from anydet.data.record.containment import ContainedImage
from anydet.data.record.record import Record
from anydet.errors import DatasetError
from anydet.geometry import masks
from anydet.geometry.regions import find_regions
from anydet.types import ClassTable, GroundTruthColumns, IntArray, Labels, Size


@dataclass(frozen=True, slots=True, eq=False)
class MaskedImage:
    """One image of a ``MaskDataset``.

    Attributes:
        key: path relative to the image folder.
        mask: which class each pixel shows, or ``None`` where nobody says.
        class_id: what the image as a whole shows, -1 where unknown.
        stated_wh: (width, height) that the data set states, or ``None``.
        labels: its objects; ``None`` takes the connected regions of its mask.
        image_id: id of the source, or ``None``.
    """

    key: str
    mask: ClassMask | None
    class_id: int = -1
    stated_wh: Size | None = None
    labels: Labels | None = None
    image_id: int | None = None

    @property
    def extra(self) -> dict[str, Any]:
        """What its record carries along."""
        own = {} if self.image_id is None else {"image_id": self.image_id}
        return own if self.class_id < 0 else {**own, "classification": {"class_id": self.class_id}}


@dataclass(frozen=True, slots=True, eq=False)
class MaskDataset:
    """Images, class masks and classes of images; the other attributes are those of ``Dataset``.

    Attributes:
        images_dir: folder that the keys are relative to.
        images: what is known of each.
        annotations: files that say it, for the fingerprint.
    """

    root: Path
    split: str
    note: str
    source: str
    classes: ClassTable | None
    images_dir: Path
    images: tuple[MaskedImage, ...]
    annotations: tuple[Path, ...]

    @property
    def keys(self) -> tuple[str, ...]:
        """Paths of the images below ``images_dir``, unix slashes."""
        return tuple(image.key for image in self.images)

    def __len__(self) -> int:
        return len(self.images)

    def __getitem__(self, index: int) -> Record:
        return self._record(self.images[index])

    def __iter__(self) -> Iterator[Record]:
        return map(self._record, self.images)

    def fingerprint(self) -> str:
        """``sha256:...`` over keys in order, classes of images and annotation files."""
        mark = Fingerprint()
        for image in self.images:
            mark.add(image.key)
            mark.add(str(image.class_id))
        for file in self.annotations:
            mark.add(file.read_bytes())
        return str(mark)

    def ground_truth(self, max_images: int | None = None) -> GroundTruthColumns:
        """Annotations of the first ``max_images`` images.

        Masks are opened only where they say what the objects are. Raises ``DatasetError`` where one has
        another size than its image.
        """
        images, notes = self.images[:max_images], ImageNotes()
        for image in images:
            notes.note(self._record(image))
        rows = ((image.key, *self._objects(image)) for image in images)
        truth = ground_truth_columns(rows, self.classes, self.source)
        ids = [image.image_id for image in images]
        known = None if None in ids else np.array(ids, np.int64)
        return replace(truth, about=notes.columns(), image_ids=known)

    def _record(self, image: MaskedImage) -> Record:
        return Record(
            image.key,
            ContainedImage(self.images_dir, image.key, image.stated_wh),
            path=self.images_dir / image.key,
            stated_wh=image.stated_wh,
            labels=image.labels,
            class_mask=image.mask,
            extra=image.extra,
        )

    def _objects(self, image: MaskedImage) -> tuple[Size, Labels]:
        """Size and objects of an image."""
        size = image.stated_wh or self._record(image).size_wh
        if image.labels is not None or image.mask is None:
            return size, image.labels or no_labels()
        classes = image.mask.read()
        if classes.shape != size[::-1]:
            height, width = classes.shape
            raise DatasetError(
                f"{self.images_dir / image.key}: {size[0]} x {size[1]} pixels, its class mask has "
                f"{width} x {height}",
                fix="write a mask of the image's size",
            )
        return size, label_regions(classes, background_of(self.classes))


def label_regions(classes: IntArray, background: int | None) -> Labels:
    """Objects of a class map: the 4-connected regions of each class but the background.

    Args:
        classes: (H, W) class of each pixel, -1 where unlabeled.
        background: class whose pixels are no objects, or ``None``.
    """
    regions = find_regions(np.where(classes == background, -1, classes), -1)
    sides = regions.boxes_xyxy_px[:, 2:] - regions.boxes_xyxy_px[:, :2]
    labels = boxes_only(
        regions.values,
        np.concatenate([regions.boxes_xyxy_px[:, :2], sides], axis=1),
        segmentations=tuple(masks.encode(regions.index_map == i) for i in range(len(regions))),
    )
    return replace(labels, areas=regions.areas_px.astype(np.float64))
