"""``TableDataset``: a data set whose annotations are all read when it is opened, as columns."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np

from anydet.data.dataset.base import BaseDataset
from anydet.data.dataset.columns import numbered_classes
from anydet.data.dataset.image_columns import CLASS_KEY, image_columns
from anydet.data.dataset.part_states import PART_STATES, name_states
from anydet.dataclass import dataclass
from anydet.inputs import read_file
from anydet.types import (
    BoolArray,
    ClassTable,
    Federation,
    GroundTruthColumns,
    IntArray,
    Labels,
    Size,
)

if TYPE_CHECKING:
    from anydet.data.dataset.oddities import Oddity
    from anydet.data.record.class_mask import ClassMask
    from anydet.data.record.record import Record


@dataclass(frozen=True, slots=True, eq=False)
class ImageTable:
    """I images and their N annotations, grouped by image and in the order of the file within each.

    Attributes:
        keys: of the images, unix slashes, in the order of the file.
        sizes_wh: (I, 2) int64 stated sizes in pixels, -1 where none is stated.
        labels: (N,) annotations.
        offsets: (I + 1,) int64, annotations of image i are rows ``offsets[i]:offsets[i + 1]``.
        classes: class table, or ``None`` where the source has none.
        image_ids: (I,) int64 the source's own ids, or ``None``.
        federation: what was looked for on each image (LVIS), or ``None``.
        annotated: (I,) which images have annotations at all, be it an empty list; ``None`` for all.
        state_names: names of the states 0, 1, ... of annotations.
        part_states: (I, C) int64 state of each part (class) of an image, with a box or without; -1 without
            state, ``part_states.UNLISTED`` where the part is not listed; ``None`` where no image lists any.
        class_ids: (I,) int64 class of the image as a whole, -1 where unknown; ``None`` where the source has
            no place for it.
        class_masks: class mask of each image, a file that ``read`` opens, or ``None``.
        image_names: the source's own ids where they are text or integers of more than 64 bits; ``image_ids``
            are then their ranks.
        files: file of each image where it is not its key.
        oddities: what is not as the format has it, and what was made of it.
        stated_keys: names of the images as the source has them, where files were found under others
            (``locating.locate_images``); ``None`` where they are ``keys``.
    """

    keys: tuple[str, ...]
    sizes_wh: IntArray
    labels: Labels
    offsets: IntArray
    classes: ClassTable | None
    image_ids: IntArray | None = None
    federation: Federation | None = None
    annotated: BoolArray | None = None
    state_names: tuple[str, ...] = ()
    part_states: IntArray | None = None
    class_ids: IntArray | None = None
    class_masks: tuple[ClassMask | None, ...] | None = None
    image_names: tuple[int | str, ...] | None = None
    files: tuple[str, ...] | None = None
    oddities: tuple[Oddity, ...] = ()
    stated_keys: tuple[str, ...] | None = None

    def __len__(self) -> int:
        return len(self.keys)

    def stated_wh(self, image: int) -> Size | None:
        """(width, height) that is stated of an image."""
        width, height = self.sizes_wh[image].tolist()
        return (width, height) if width > 0 else None

    def labels_of(self, image: int) -> Labels | None:
        """Annotations of an image; ``None`` where it is not annotated."""
        if self.annotated is not None and not self.annotated[image]:
            return None
        return self.labels.take(np.arange(self.offsets[image], self.offsets[image + 1]))

    def extra_of(self, image: int) -> dict[str, Any]:
        """``Record.extra`` of an image: what has no field of its own there."""
        extra: dict[str, Any] = {}
        if self.image_names is not None:
            extra["image_id"] = self.image_names[image]
        elif self.image_ids is not None:
            extra["image_id"] = int(self.image_ids[image])
        if self.class_ids is not None and self.class_ids[image] >= 0:
            extra[CLASS_KEY] = {"class_id": int(self.class_ids[image])}
        if self.part_states is not None and self.classes is not None:
            extra[PART_STATES] = name_states(self.part_states[image], self.classes.names, self.state_names)
        return extra

    def ground_truth(self, source: str, max_images: int | None = None) -> GroundTruthColumns:
        """Annotations of the first ``max_images`` images; opens no image.

        Args:
            source: where the annotations come from.
            max_images: number of images; the columns of all are handed out as they are, not copied.
        """
        images = slice(len(range(len(self))[:max_images]))
        offsets = self.offsets[: images.stop + 1]
        # Of the whole table nothing is taken row by row: masks in a tuple would cost a Python loop.
        whole = images.stop == len(self)
        return GroundTruthColumns(
            images=self.keys[images],
            sizes_wh=self.sizes_wh[images],
            image_index=np.repeat(np.arange(images.stop), np.diff(offsets)),
            labels=self.labels if whole else self.labels.take(np.arange(offsets[-1])),
            classes=self.classes or numbered_classes(self.labels),
            source=source,
            image_ids=None if self.image_ids is None else self.image_ids[images],
            image_names=None if self.image_names is None else self.image_names[images],
            state_names=self.state_names,
            federation=self.federation if whole else _first(self.federation, images.stop),
            about=image_columns(
                class_ids=None if self.class_ids is None else self.class_ids[images],
                class_masks=None if self.class_masks is None else self.class_masks[images],
                part_states=None if self.part_states is None else self.part_states[images],
            ),
        )


def _first(federation: Federation | None, count: int) -> Federation | None:
    """What was looked for on the first ``count`` images."""
    if federation is None:
        return None
    return Federation(*(pairs[pairs[:, 0] < count] for pairs in (federation.absent, federation.incomplete)))


@dataclass(frozen=True, slots=True, eq=False)
class TableDataset(BaseDataset):
    """Images whose annotations are in a table; the other attributes are those of ``Dataset``.

    Attributes:
        images_dir: folder that the keys are relative to; only pixels need it to exist.
        table: content of the annotation files.
        annotation_files: those files.
    """

    root: Path
    split: str
    note: str
    source: str
    images_dir: Path
    table: ImageTable
    annotation_files: tuple[Path, ...]

    @property
    def keys(self) -> tuple[str, ...]:
        """Keys of all images, in the order of the file."""
        return self.table.keys

    @property
    def classes(self) -> ClassTable | None:
        """Class table, or ``None`` where the source has none."""
        return self.table.classes

    @property
    def oddities(self) -> tuple[Oddity, ...]:
        """What is not as the format has it, and what was made of it."""
        return self.table.oddities

    def record(self, position: int) -> Record:
        """An image and its rows of the table."""
        # Evaluation needs no records, and starts sooner without these modules.
        from anydet.data.record.containment import ContainedImage
        from anydet.data.record.record import Record

        table, key = self.table, self.table.keys[position]
        size, file = table.stated_wh(position), (table.files or table.keys)[position]
        return Record(
            key,
            ContainedImage(self.images_dir, file, size),
            path=self.images_dir / file,
            stated_wh=size,
            labels=table.labels_of(position),
            class_mask=None if table.class_masks is None else table.class_masks[position],
            extra=table.extra_of(position),
        )

    def ground_truth(self, max_images: int | None = None) -> GroundTruthColumns:
        """Annotations of the first ``max_images`` images, in the order of the file; opens no image."""
        return self.table.ground_truth(self.source, max_images)

    def stated_keys(self) -> tuple[str, ...]:
        """Names of the images as the annotation files have them."""
        return self.table.stated_keys or self.table.keys

    def annotations_of(self, position: int) -> Iterator[str]:
        """The class of the image, where the source has a place for it: it need not be in a file."""
        class_ids = self.table.class_ids
        if class_ids is not None:
            yield str(int(class_ids[position]))

    def annotations_of_all(self) -> Iterator[bytes]:
        """The annotation files."""
        return (read_file(file) for file in self.annotation_files)
