"""``PoseScenes``: images of solids in known poses as a ``Dataset`` that needs no disk."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass, replace
from functools import partial

import numpy as np

from anydet.data.dataset.columns import ground_truth_columns
from anydet.data.record.record import Record
from anydet.data.scenes.dataset import SceneDataset, ScenePixels, key_of
from anydet.types import ByteImage, GroundTruthColumns, ImageColumns, Size
from anydet_bop.scenes.scene import MOST_OBJECTS, PoseScene, build_scene, camera_of, paint_scene
from anydet_bop.scenes.solids import CLASSES, object_models


@dataclass(frozen=True, slots=True)
class PoseScenes(SceneDataset):
    """The first ``count`` scenes of a seed; ``Record.extra["visibility"]`` has visible fractions of objects.

    Attributes:
        most_objects: number of objects in a scene at most.
    """

    image_wh: Size = (192, 192)
    most_objects: int = MOST_OBJECTS

    shown = "pose scenes"
    classes = CLASSES

    @property
    def source(self) -> str:
        """Which scenes these are."""
        size = f"{self.image_wh[0]}x{self.image_wh[1]}"
        return f"synthetic {self.shown} (seed {self.seed}, {size}, up to {self.most_objects} objects)"

    def scene(self, index: int) -> PoseScene:
        """What a record shows: objects, depth, masks."""
        return build_scene(self.seed, index, self.image_wh, self.most_objects)

    def record(self, position: int) -> Record:
        """Poses, masks and boxes of a scene, and its camera."""
        scene = self.scene(position)
        paint = partial(_paint, self.seed, position, self.image_wh, self.most_objects)
        return Record(
            key=key_of(position),
            pixels=ScenePixels(paint, self.image_wh),
            stated_wh=self.image_wh,
            labels=scene.labels(),
            camera=scene.camera,
            extra={"visibility": scene.visibility().round(4).tolist()},
        )

    def annotations_of(self, position: int) -> Iterator[bytes]:
        """Classes and poses."""
        for one in self.scene(position).objects:
            yield str(one.class_id).encode()
            yield one.rotation.tobytes() + one.translation_m.tobytes()

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


def _paint(seed: int, index: int, image_wh: Size, most_objects: int) -> ByteImage:
    scene = build_scene(seed, index, image_wh, most_objects)
    return paint_scene(scene, np.random.default_rng([seed, index, 1]))
