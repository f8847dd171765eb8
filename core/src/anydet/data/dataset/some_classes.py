"""``SomeClasses``: a data set with another table of classes. Nothing is copied."""

from __future__ import annotations

from dataclasses import dataclass, replace
from functools import cached_property

import numpy as np

from anydet.data.dataset.base import DatasetView
from anydet.data.dataset.fingerprint import Fingerprint
from anydet.data.dataset.image_columns import CLASS_KEY
from anydet.data.dataset.part_states import PART_STATES
from anydet.data.dataset.protocols import Dataset
from anydet.data.record.class_mask import ClassMask
from anydet.data.record.record import Record
from anydet.errors import DatasetError
from anydet.text import counted
from anydet.types import ClassTable, Federation, GroundTruthColumns, IntArray


@dataclass(frozen=True, slots=True, eq=False)
class RenumberedMask:
    """A class mask whose classes have other ids.

    Attributes:
        mask: the mask as it is.
        ids: (C,) new id of each class, -1 where its pixels are not labeled.
    """

    mask: ClassMask
    ids: IntArray

    def read(self) -> IntArray:
        """(H, W) class of each pixel, -1 where unlabeled."""
        classes = self.mask.read()
        # Index -1 is the entry at the end.
        renumbered: IntArray = np.append(self.ids, -1)[np.minimum(classes, len(self.ids))]
        return renumbered


@dataclass(frozen=True, eq=False)
class SomeClasses(DatasetView):
    """A data set with another table of classes, in which annotations of some classes alone are labeled.

    Objects of other classes are on the images without a label, as background is. In class masks, their pixels
    are unlabeled.

    Attributes:
        table: the classes, by name.
        labeled: names of those whose annotations are there.
    """

    table: ClassTable
    labeled: frozenset[str]

    @property
    def classes(self) -> ClassTable:
        """The table."""
        return self.table

    @property
    def note(self) -> str:
        """What was chosen, as it is printed."""
        return f"{self.dataset.note}, labels of {counted(len(self.labeled), 'class')}"

    def record(self, position: int) -> Record:
        """The record with labels of these classes alone."""
        record = self.dataset[position]
        labels, mask, extra = record.labels, record.class_mask, dict(record.extra)
        if labels is not None:
            ids = self._renumbered(labels.class_ids)
            labels = replace(labels, class_ids=ids).take(ids >= 0)
        if mask is not None:
            mask = RenumberedMask(mask, self._ids)
        if isinstance(extra.get(CLASS_KEY), dict):
            shown = int(self._renumbered(np.array([extra[CLASS_KEY].get("class_id", -1)]))[0])
            extra[CLASS_KEY] = {"class_id": shown} if shown >= 0 else None
        if isinstance(extra.get(PART_STATES), dict):
            extra[PART_STATES] = {k: v for k, v in extra[PART_STATES].items() if k in self.labeled}
        return replace(record, labels=labels, class_mask=mask, extra=extra)

    def fingerprint(self) -> str:
        """``sha256:...`` of the whole data set, the table, and what is labeled."""
        found = Fingerprint()
        for text in (self.dataset.fingerprint(), *self.table.names, "", *sorted(self.labeled)):
            found.add(text)
        return str(found)

    def ground_truth(self, max_images: int | None = None) -> GroundTruthColumns:
        """Annotations of these classes; columns of whole images are left out."""
        truth = self.dataset.ground_truth(max_images)
        ids = self._renumbered(truth.labels.class_ids)
        objects = {int(self._ids[c]): model for c, model in (truth.objects or {}).items()}
        return replace(
            truth,
            image_index=truth.image_index[ids >= 0],
            labels=replace(truth.labels, class_ids=ids).take(ids >= 0),
            classes=self.table,
            federation=None if truth.federation is None else _of_classes(truth.federation, self._ids),
            about=None,
            objects=None if truth.objects is None else {c: one for c, one in objects.items() if c >= 0},
        )

    def _renumbered(self, class_ids: IntArray) -> IntArray:
        if class_ids.max(initial=-1) >= len(self._ids):
            raise DatasetError(
                f"{self.root}: an annotation has class {class_ids.max()}, and there are {len(self._ids)}",
                fix="see 'anydet check-dataset'",
            )
        ids: IntArray = np.append(self._ids, -1)[class_ids]
        return ids

    @cached_property
    def _ids(self) -> IntArray:
        """(C,) id in the table of each class of the data set, -1 where it is not labeled."""
        places = {name: at for at, name in enumerate(self.table.names) if name in self.labeled}
        return np.array([places.get(name, -1) for name in class_names(self.dataset)], np.int64)


def _of_classes(federation: Federation, ids: IntArray) -> Federation:
    """The pairs of images and classes whose classes are labeled, under their new ids."""
    absent, incomplete = (
        np.stack([pairs[:, 0], ids[pairs[:, 1]]], axis=1)[ids[pairs[:, 1]] >= 0]
        for pairs in (federation.absent, federation.incomplete)
    )
    return Federation(absent, incomplete)


def class_names(dataset: Dataset) -> tuple[str, ...]:
    """Names of the classes of a data set; raises ``DatasetError`` where it names none."""
    if dataset.classes is None:
        raise DatasetError(
            f"{dataset.root}: has no class names",
            fix="give a data.yaml with names, COCO JSON with categories, or classes.txt beside masks/",
        )
    return dataset.classes.names
