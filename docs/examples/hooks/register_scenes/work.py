from dataclasses import dataclass
from functools import partial

import numpy as np

from anydet.data.scenes.dataset import SceneDataset, ScenePixels, key_of
from anydet.plugins import ClassTable, Record
from anydet.types import Labels


@dataclass(frozen=True, slots=True)
class Squares(SceneDataset):
    shown = "squares"
    classes = ClassTable(("square",))

    def record(self, position):
        box = place(self.seed, position, self.image_wh)
        boxes = np.array([box], np.float64)
        labels = Labels(np.array([0]), boxes, boxes[:, 2] * boxes[:, 3], np.array([False]))
        pixels = ScenePixels(partial(paint, box, self.image_wh), self.image_wh)
        return Record(key_of(position), pixels, stated_wh=self.image_wh, labels=labels)

    def annotations_of(self, position):
        yield np.array(place(self.seed, position, self.image_wh)).tobytes()


def place(seed, position, image_wh):
    """x, y, width and height; a scene depends on its seed and position alone."""
    side = min(image_wh) // 4
    x, y = np.random.default_rng([seed, position]).integers(0, [image_wh[0] - side, image_wh[1] - side])
    return int(x), int(y), side, side


def paint(box, image_wh):
    x, y, width, height = box
    image = np.full((image_wh[1], image_wh[0], 3), 96, np.uint8)
    image[y : y + height, x : x + width] = 255
    return image
