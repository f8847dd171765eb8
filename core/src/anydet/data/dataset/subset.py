"""``FirstImages``: the beginning of a data set, as a data set."""

from __future__ import annotations

from dataclasses import dataclass

from anydet.data.dataset.base import DatasetView
from anydet.data.dataset.fingerprint import Fingerprint
from anydet.types import GroundTruthColumns


@dataclass(frozen=True, eq=False)
class FirstImages(DatasetView):
    """The first images of a data set.

    Attributes:
        count: how many of its images, at most.
    """

    count: int

    @property
    def note(self) -> str:
        """What was chosen, as it is printed."""
        return f"{self.dataset.note}, the first {len(self)} of {len(self.dataset)}"

    @property
    def keys(self) -> tuple[str, ...]:
        """Keys of these images in their fixed order."""
        return self.dataset.keys[: self.count]

    def __len__(self) -> int:
        return min(self.count, len(self.dataset))

    def fingerprint(self) -> str:
        """``sha256:...`` of the whole data set and of how many images there are."""
        found = Fingerprint()
        found.add(self.dataset.fingerprint())
        found.add(str(len(self)))
        return str(found)

    def ground_truth(self, max_images: int | None = None) -> GroundTruthColumns:
        """Annotations of these images, or of the first ``max_images``."""
        return self.dataset.ground_truth(len(self) if max_images is None else min(max_images, len(self)))
