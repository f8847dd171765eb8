"""``DatasetView``: base of data sets that are another one in all but a few things."""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path

from anydet.data.dataset.base import BaseDataset
from anydet.data.dataset.oddities import Oddity
from anydet.data.dataset.protocols import Dataset
from anydet.data.record.record import Record
from anydet.types import ClassTable, GroundTruthColumns


@dataclass(frozen=True, eq=False)
class DatasetView(BaseDataset):
    """Delegates all of ``Dataset`` to another data set; a subclass overrides what differs.

    Attributes:
        dataset: the other one.
    """

    dataset: Dataset

    @property
    def root(self) -> Path:
        """The folder or file that was opened."""
        return self.dataset.root

    @property
    def split(self) -> str:
        """Name of the split."""
        return self.dataset.split

    @property
    def note(self) -> str:
        """What was chosen, as it is printed."""
        return self.dataset.note

    @property
    def keys(self) -> tuple[str, ...]:
        """Keys of the images in their fixed order."""
        return self.dataset.keys

    @property
    def classes(self) -> ClassTable | None:
        """Class table, or ``None`` where the source has none."""
        return self.dataset.classes

    @property
    def source(self) -> str:
        """Where the ground truth comes from."""
        return self.dataset.source

    @property
    def oddities(self) -> tuple[Oddity, ...]:
        """What is odd in the annotations of the other data set."""
        return getattr(self.dataset, "oddities", ())

    @property
    def keypoint_pairs(self) -> tuple[tuple[int, int], ...]:
        """(left, right) positions of keypoints that swap names in the mirror, where the other one says so."""
        return getattr(self.dataset, "keypoint_pairs", ())

    def record(self, position: int) -> Record:
        """The record of the other data set."""
        return self.dataset[position]

    def fingerprint(self) -> str:
        """``sha256:...`` of the other data set."""
        return self.dataset.fingerprint()

    def ground_truth(self, max_images: int | None = None) -> GroundTruthColumns:
        """Annotations of the first ``max_images`` images."""
        return self.dataset.ground_truth(max_images)
