"""``SyntheticBikes``: images of bicycles as a ``Dataset`` that needs no disk."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass, replace
from functools import partial

import numpy as np

from anydet.data.dataset.columns import ground_truth_columns
from anydet.data.dataset.image_columns import image_columns
from anydet.data.dataset.part_states import PART_STATES
from anydet.data.record.record import Record
from anydet.data.scenes.dataset import SceneDataset, ScenePixels, key_of
from anydet.types import ByteImage, GroundTruthColumns, Size
from anydet_delftbikes.parts import CLASSES, PARTS, STATES
from anydet_delftbikes.scenes.scene import BikeScene, build_scene, paint_scene


@dataclass(frozen=True, slots=True)
class SyntheticBikes(SceneDataset):
    """The first ``count`` bicycles of a seed; records are like those of ``DelftBikesFormat``."""

    split: str = "train"

    shown = "bicycles"
    classes = CLASSES

    def scene(self, index: int) -> BikeScene:
        """What a record shows."""
        return build_scene(self.seed, index, self.image_wh)

    def record(self, position: int) -> Record:
        """Boxes and states of the parts of a bicycle."""
        scene = self.scene(position)
        return Record(
            key=key_of(position),
            pixels=ScenePixels(partial(_paint, self.seed, position, self.image_wh), self.image_wh),
            stated_wh=self.image_wh,
            labels=scene.labels(),
            extra={PART_STATES: {part: STATES[scene.state(part)] for part in PARTS}},
        )

    def annotations_of(self, position: int) -> Iterator[bytes]:
        """States and boxes."""
        labels = self.scene(position).labels()
        if labels.states is not None:
            yield labels.states.tobytes()
            yield labels.boxes_xywh_px.tobytes()

    def ground_truth(self, max_images: int | None = None) -> GroundTruthColumns:
        """Annotations of the first ``max_images`` scenes; paints no pixels."""
        keys = self.keys[:max_images]
        scenes = list(map(self.scene, range(len(keys))))
        rows = ((key, self.image_wh, scene.labels()) for key, scene in zip(keys, scenes, strict=True))
        states = np.array([[scene.state(part) for part in PARTS] for scene in scenes], np.int64)
        return replace(
            ground_truth_columns(rows, CLASSES, self.source),
            state_names=STATES,
            about=image_columns(part_states=states.reshape(-1, len(PARTS))),
        )


def _paint(seed: int, index: int, image_wh: Size) -> ByteImage:
    scene = build_scene(seed, index, image_wh)
    return paint_scene(scene, np.random.default_rng([seed, index, 1]))
