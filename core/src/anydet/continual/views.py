"""Data sets of tasks: some classes, several data sets as one. Nothing is copied."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, replace
from functools import cached_property
from pathlib import Path

import numpy as np

from anydet.columns import concatenate
from anydet.data.dataset.base import BaseDataset
from anydet.data.dataset.fingerprint import Fingerprint
from anydet.data.dataset.image_columns import CLASS_KEY
from anydet.data.dataset.part_states import PART_STATES
from anydet.data.dataset.protocols import Dataset
from anydet.data.dataset.view import DatasetView
from anydet.data.record.class_mask import ClassMask
from anydet.data.record.record import Record
from anydet.errors import DatasetError
from anydet.evaluation.image_subset import take_truth
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


@dataclass(frozen=True, eq=False)
class Joined(BaseDataset):
    """Several data sets of the same classes, one after the other.

    Attributes:
        parts: prefix of the keys, which keeps equal keys apart -> data set.
    """

    parts: dict[str, Dataset]

    @property
    def root(self) -> Path:
        """That of the first one."""
        return self._first.root

    @property
    def split(self) -> str:
        """Joined splits have no name."""
        return ""

    @property
    def note(self) -> str:
        """What was joined, as it is printed."""
        return ", ".join(f"{len(part)} of {name}" for name, part in self.parts.items())

    @cached_property
    def keys(self) -> tuple[str, ...]:
        """Keys of all images."""
        return tuple(f"{name}/{key}" for name, part in self.parts.items() for key in part.keys)

    @property
    def classes(self) -> ClassTable | None:
        """Class table of all of them."""
        return self._first.classes

    @property
    def source(self) -> str:
        """Where the ground truth comes from."""
        return self._first.source

    def record(self, position: int) -> Record:
        """The record of one of the data sets."""
        number = int(np.searchsorted(self._ends, position, side="right"))
        start = int(self._ends[number - 1]) if number else 0
        return replace(list(self.parts.values())[number][position - start], key=self.keys[position])

    def fingerprint(self) -> str:
        """``sha256:...`` of all of them."""
        found = Fingerprint()
        for name, part in self.parts.items():
            found.add(name)
            found.add(part.fingerprint())
        return str(found)

    def ground_truth(self, max_images: int | None = None) -> GroundTruthColumns:
        """Annotations of all of them; columns of whole images are left out.

        Raises ``DatasetError`` where classes or states have other names in one than in another.
        """
        truths = [part.ground_truth() for part in self.parts.values()]
        for kind, names in (("classes", [t.classes.names for t in truths]), ("states", _states(truths))):
            if len(set(names)) > 1:
                raise DatasetError(
                    f"{self.root}: {kind} differ between {', '.join(self.parts)}: they cannot be joined",
                    fix=f"give the data sets of all tasks the same {kind}, in the same order",
                )
        starts = np.concatenate([[0], self._ends[:-1]])
        joined = replace(
            truths[0],
            images=self.keys,
            sizes_wh=np.concatenate([truth.sizes_wh for truth in truths]),
            image_index=np.concatenate([t.image_index + at for t, at in zip(truths, starts, strict=True)]),
            labels=concatenate([truth.labels for truth in truths]),
            state_names=next(iter(_states(truths)), ()),
            image_ids=None,
            federation=None,
            about=None,
        )
        return joined if max_images is None else take_truth(joined, np.arange(min(max_images, len(self))))

    @property
    def _first(self) -> Dataset:
        return next(iter(self.parts.values()))

    @cached_property
    def _ends(self) -> IntArray:
        return np.cumsum([len(part) for part in self.parts.values()])


def _states(truths: Sequence[GroundTruthColumns]) -> list[tuple[str, ...]]:
    """Names of states of those that have some."""
    return [truth.state_names for truth in truths if truth.state_names]


def class_names(dataset: Dataset) -> tuple[str, ...]:
    """Names of the classes of a data set; raises ``DatasetError`` where it names none."""
    if dataset.classes is None:
        raise DatasetError(
            f"{dataset.root}: has no class names",
            fix="give a data.yaml with names, COCO JSON with categories, or classes.txt beside masks/",
        )
    return dataset.classes.names
