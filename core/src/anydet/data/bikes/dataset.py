"""``SyntheticBikes``: pictures of bicycles as a ``Dataset`` that needs no disk."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass, replace
from pathlib import Path

import numpy as np

from anydet.data.bikeparts import CLASSES, PARTS, STATES
from anydet.data.bikes.scene import build_scene, paint_scene
from anydet.data.columns import ground_truth_columns
from anydet.data.fingerprint import Fingerprint
from anydet.data.partstates import PART_STATES, part_columns
from anydet.data.record import Record
from anydet.types import ByteImage, ClassTable, GroundTruthColumns, Size


@dataclass(frozen=True, slots=True)
class BikePixels:
    """Pixels of a scene, painted when they are read."""

    seed: int
    index: int
    stated_wh: Size

    def read(self) -> ByteImage:
        """(H, W, 3) uint8 RGB."""
        scene = build_scene(self.seed, self.index, self.stated_wh)
        return paint_scene(scene, np.random.default_rng([self.seed, self.index, 1]))

    def size_wh(self) -> Size:
        """(width, height)."""
        return self.stated_wh


@dataclass(frozen=True, slots=True)
class SyntheticBikes:
    """The first ``count`` bicycles of a seed; records are like those of ``DelftBikesDataset``.

    Attributes:
        count: number of scenes.
        seed: owner of all random choices, 0 or more.
        image_wh: (width, height) of each scene in pixels.
        split: name of the split.
    """

    count: int
    seed: int = 0
    image_wh: Size = (320, 240)
    split: str = "train"

    @property
    def root(self) -> Path:
        """A name: there is no folder."""
        return Path("synthetic-bikes")

    @property
    def note(self) -> str:
        """What was chosen, for people."""
        return f"{self.count} {self.source}"

    @property
    def keys(self) -> tuple[str, ...]:
        """Names of the files that the scenes are written to."""
        return tuple(f"{index:06d}.png" for index in range(self.count))

    @property
    def classes(self) -> ClassTable:
        """The 22 parts."""
        return CLASSES

    @property
    def source(self) -> str:
        """Which scenes these are."""
        return f"synthetic bicycles (seed {self.seed}, {self.image_wh[0]}x{self.image_wh[1]})"

    def __len__(self) -> int:
        return self.count

    def __getitem__(self, index: int) -> Record:
        index = range(self.count)[index]
        scene = build_scene(self.seed, index, self.image_wh)
        return Record(
            key=f"{index:06d}.png",
            pixels=BikePixels(self.seed, index, self.image_wh),
            stated_wh=self.image_wh,
            labels=scene.labels(),
            extra={PART_STATES: {part: STATES[scene.state(part)] for part in PARTS}},
        )

    def __iter__(self) -> Iterator[Record]:
        return (self[index] for index in range(self.count))

    def fingerprint(self) -> str:
        """``sha256:...`` over the image keys in order and the annotations."""
        fingerprint = Fingerprint()
        for record in self:
            fingerprint.add(record.key)
            if record.labels is not None and record.labels.states is not None:
                fingerprint.add(record.labels.states.tobytes())
                fingerprint.add(record.labels.boxes_xywh_px.tobytes())
        return str(fingerprint)

    def ground_truth(self, max_images: int | None = None) -> GroundTruthColumns:
        """Annotations of the first ``max_images`` scenes; paints no pixels."""
        keys = self.keys[:max_images]
        scenes = [build_scene(self.seed, index, self.image_wh) for index in range(len(keys))]
        rows = ((key, self.image_wh, scene.labels()) for key, scene in zip(keys, scenes, strict=True))
        states = np.array([[scene.state(part) for part in PARTS] for scene in scenes], np.int64)
        return replace(
            ground_truth_columns(rows, CLASSES, self.source),
            state_names=STATES,
            about=part_columns(states.reshape(-1, len(PARTS))),
        )
