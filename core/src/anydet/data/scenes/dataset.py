"""``SceneDataset``: base of the data sets of synthetic scenes."""

from __future__ import annotations

from abc import abstractmethod
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import ClassVar

from anydet.data.dataset.base import BaseDataset
from anydet.data.dataset.columns import columns_of_records
from anydet.types import ByteImage, ClassTable, GroundTruthColumns, Size


@dataclass(frozen=True, slots=True, eq=False)
class ScenePixels:
    """Pixels of a scene, painted when they are read.

    Attributes:
        paint: gives (H, W, 3) uint8 RGB; picklable, as records are.
        stated_wh: (width, height) in pixels.
    """

    paint: Callable[[], ByteImage]
    stated_wh: Size

    def read(self) -> ByteImage:
        """(H, W, 3) uint8 RGB."""
        return self.paint()

    def size_wh(self) -> Size:
        """(width, height)."""
        return self.stated_wh


@dataclass(frozen=True, slots=True)
class SceneDataset(BaseDataset):
    """The first ``count`` scenes of a seed as a ``Dataset`` that needs no disk.

    Attributes:
        count: number of scenes.
        seed: of all random choices, 0 or more.
        image_wh: (width, height) of each scene in pixels.
        split: name of the split.
    """

    count: int
    seed: int = 0
    image_wh: Size = (320, 240)
    split: str = "val"

    shown: ClassVar[str]
    """Kind of scenes, as it is printed."""
    classes: ClassVar[ClassTable]
    """What can be seen in them."""

    @property
    def root(self) -> Path:
        """A name: there is no folder."""
        return Path(f"synthetic {self.shown}".replace(" ", "-"))

    @property
    def note(self) -> str:
        """What was chosen, as it is printed."""
        return f"{self.count} {self.source}"

    @property
    def keys(self) -> tuple[str, ...]:
        """Names of the files that the scenes are written to."""
        return tuple(map(key_of, range(self.count)))

    @property
    def source(self) -> str:
        """Which scenes these are."""
        return f"synthetic {self.shown} (seed {self.seed}, {self.image_wh[0]}x{self.image_wh[1]})"

    def __len__(self) -> int:
        return self.count  # without building all keys, as every access to a record reads the length

    @abstractmethod
    def annotations_of(self, position: int) -> Iterator[bytes]:
        """The annotations of a scene, for the fingerprint; painting it in another way must not change it."""

    def ground_truth(self, max_images: int | None = None) -> GroundTruthColumns:
        """Annotations of the first ``max_images`` scenes; paints no pixels."""
        scenes = map(self.record, range(self.count)[:max_images])
        return columns_of_records(((scene, self.image_wh) for scene in scenes), self.classes, self.source)


def key_of(index: int) -> str:
    """Name of the file that a scene is written to."""
    return f"{index:06d}.png"
