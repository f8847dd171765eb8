"""``PoseScenes``: pictures of solids in known poses as a ``Dataset`` that needs no disk."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass, replace
from pathlib import Path

import numpy as np

from anydet.data.columns import ground_truth_columns
from anydet.data.fingerprint import Fingerprint
from anydet.data.posescenes.scene import MOST_OBJECTS, PoseScene, build_scene, camera_of, paint_scene
from anydet.data.posescenes.solids import CLASSES, object_models
from anydet.data.record import Record
from anydet.types import ByteImage, ClassTable, GroundTruthColumns, ImageColumns, Size


@dataclass(frozen=True, slots=True)
class PosePixels:
    """Pixels of a scene, painted when they are read."""

    seed: int
    index: int
    stated_wh: Size
    most_objects: int

    def read(self) -> ByteImage:
        """(H, W, 3) uint8 RGB."""
        scene = build_scene(self.seed, self.index, self.stated_wh, self.most_objects)
        return paint_scene(scene, np.random.default_rng([self.seed, self.index, 1]))

    def size_wh(self) -> Size:
        """(width, height)."""
        return self.stated_wh


@dataclass(frozen=True, slots=True)
class PoseScenes:
    """The first ``count`` scenes of a seed; ``Record.extra["visibility"]`` is the share seen of each object.

    Attributes:
        count: number of scenes.
        seed: owner of all random choices, 0 or more.
        image_wh: (width, height) of each scene in pixels.
        split: name of the split.
        most_objects: number of objects in a scene at most.
    """

    count: int
    seed: int = 0
    image_wh: Size = (192, 192)
    split: str = "val"
    most_objects: int = MOST_OBJECTS

    @property
    def root(self) -> Path:
        """A name: there is no folder."""
        return Path("synthetic-poses")

    @property
    def note(self) -> str:
        """What was chosen, for people."""
        return f"{self.count} {self.source}"

    @property
    def keys(self) -> tuple[str, ...]:
        """Names of the images."""
        return tuple(f"{index:06d}.png" for index in range(self.count))

    @property
    def classes(self) -> ClassTable:
        """The solids, and the numbers of their models."""
        return CLASSES

    @property
    def source(self) -> str:
        """Which scenes these are."""
        size = f"{self.image_wh[0]}x{self.image_wh[1]}"
        return f"synthetic pose scenes (seed {self.seed}, {size}, up to {self.most_objects} objects)"

    def __len__(self) -> int:
        return self.count

    def scene(self, index: int) -> PoseScene:
        """What a record shows: objects, depth, masks."""
        return build_scene(self.seed, range(self.count)[index], self.image_wh, self.most_objects)

    def __getitem__(self, index: int) -> Record:
        index = range(self.count)[index]
        scene = self.scene(index)
        return Record(
            key=f"{index:06d}.png",
            pixels=PosePixels(self.seed, index, self.image_wh, self.most_objects),
            stated_wh=self.image_wh,
            labels=scene.labels(),
            camera=scene.camera,
            extra={"visibility": scene.visibility().round(4).tolist()},
        )

    def __iter__(self) -> Iterator[Record]:
        return (self[index] for index in range(self.count))

    def fingerprint(self) -> str:
        """``sha256:...`` over the image keys in order, classes, boxes and poses."""
        mark = Fingerprint()
        for index, key in enumerate(self.keys):
            mark.add(key)
            for one in self.scene(index).objects:
                mark.add(str(one.class_id))
                mark.add(one.rotation.tobytes() + one.translation_m.tobytes())
        return str(mark)

    def ground_truth(self, max_images: int | None = None) -> GroundTruthColumns:
        """Annotations, cameras and models of the first ``max_images`` scenes; paints no pixels."""
        keys = self.keys[:max_images]
        rows = ((key, self.image_wh, self.scene(index).labels()) for index, key in enumerate(keys))
        camera = camera_of(self.image_wh)
        cameras = np.tile([camera.fx, camera.fy, camera.cx, camera.cy], (len(keys), 1))
        return replace(
            ground_truth_columns(rows, CLASSES, self.source),
            about=ImageColumns(cameras=cameras),
            objects=object_models(),
        )
