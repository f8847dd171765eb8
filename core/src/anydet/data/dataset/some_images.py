"""``SomeImages``: some images of a data set, as a data set."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np

from anydet.data.dataset.fingerprint import Fingerprint
from anydet.data.dataset.truth_subset import take_truth
from anydet.data.dataset.view import DatasetView
from anydet.data.record.record import Record
from anydet.text import counted
from anydet.types import GroundTruthColumns


@dataclass(frozen=True, eq=False)
class SomeImages(DatasetView):
    """Some images of a data set, in the order given.

    Attributes:
        positions: of the images.
    """

    positions: tuple[int, ...]

    @property
    def note(self) -> str:
        """What was chosen, as it is printed."""
        return f"{self.dataset.note}, {len(self)} of {counted(len(self.dataset), 'image')}"

    @property
    def keys(self) -> tuple[str, ...]:
        """Keys of these images."""
        keys = self.dataset.keys
        return tuple(keys[position] for position in self.positions)

    def __len__(self) -> int:
        return len(self.positions)

    def record(self, position: int) -> Record:
        """One of these images."""
        return self.dataset[self.positions[position]]

    def fingerprint(self) -> str:
        """``sha256:...`` of the whole data set and of which images there are."""
        found = Fingerprint()
        found.add(self.dataset.fingerprint())
        found.add(np.array(self.positions, "<i8").tobytes())
        return str(found)

    def ground_truth(self, max_images: int | None = None) -> GroundTruthColumns:
        """Annotations of these images, or of the first ``max_images``."""
        return take_truth(self.dataset.ground_truth(), np.array(self.positions[:max_images], np.int64))
