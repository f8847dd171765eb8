"""``Joined``: several data sets of the same classes as one. Nothing is copied."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, replace
from functools import cached_property
from pathlib import Path

import numpy as np

from anydet.columns import concatenate
from anydet.data.dataset.base import BaseDataset
from anydet.data.dataset.fingerprint import Fingerprint
from anydet.data.dataset.image_subset import take_truth
from anydet.data.dataset.protocols import Dataset
from anydet.data.record.record import Record
from anydet.errors import DatasetError
from anydet.types import ClassTable, GroundTruthColumns, IntArray


@dataclass(frozen=True, eq=False)
class Joined(BaseDataset):
    """Several data sets of the same classes, one after the other.

    Attributes:
        parts: name of a part -> data set.
        prefixed: whether names of parts are the first folder of the keys, which keeps equal keys apart; else
            all keys must differ.
    """

    parts: dict[str, Dataset]
    prefixed: bool = True

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
        if not self.prefixed:
            return tuple(key for part in self.parts.values() for key in part.keys)
        return tuple(f"{name}/{key}" for name, part in self.parts.items() for key in part.keys)

    @property
    def keypoint_pairs(self) -> tuple[tuple[int, int], ...]:
        """(left, right) positions of keypoints that swap names in the mirror, where all agree on them."""
        pairs = {getattr(part, "keypoint_pairs", ()) for part in self.parts.values()}
        return next(iter(pairs)) if len(pairs) == 1 else ()

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
                    fix=f"give all of them the same {kind}, in the same order",
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
