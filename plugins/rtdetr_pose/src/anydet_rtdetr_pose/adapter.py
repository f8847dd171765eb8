"""The adapter, and a small detector that knows a hue for each class.

``RtdetrPoseAdapter`` is what anydet talks to; ``detect`` and all below it is the detector.
"""

from __future__ import annotations

from collections.abc import Iterator, Sequence

import numpy as np
from numpy.typing import ArrayLike

from anydet.data.record import Record
from anydet.plugins import Adapter
from anydet.types import AdapterSettings, BoolArray, ByteImage, ClassTable, FloatArray, ImagePredictions

HUES_DEG = {"circle": 0, "square": 120, "triangle": 220, "star": 50, "cross": 300, "hexagon": 175}


class RtdetrPoseAdapter(Adapter):
    """Coloured things by their hue."""

    def __init__(self, settings: AdapterSettings) -> None:
        super().__init__(settings)
        # Load your model here: once, from settings.checkpoint, onto settings.device.
        # Options are checked and completed by options.schema.json before they come here.
        self.tolerance_deg = float(settings.options["tolerance_deg"])
        self.min_area_px = int(settings.options["min_area_px"])

    @property
    def classes(self) -> ClassTable:
        """The names of class 0, 1, ...; evaluation joins classes by them."""
        return ClassTable(tuple(HUES_DEG))

    def predict(self, records: Sequence[Record]) -> Iterator[ImagePredictions]:
        """One result a record, in their order, also where nothing is found."""
        for record in records:
            image = record.image()  # (H, W, 3) uint8 RGB; never open record.path
            # Run your model here. A network takes all records of the call as one batch.
            rows = detect(image, self.tolerance_deg, self.min_area_px)
            rows = rows[rows[:, 4] >= self.settings.score_floor]
            yield ImagePredictions(
                image=record.key,
                size_wh=(image.shape[1], image.shape[0]),
                boxes_xyxy_px=rows[:, :4],  # in pixels of image: undo your resizing
                scores=rows[:, 4],  # in [0, 1]
                class_ids=rows[:, 5].astype(np.int64),  # positions in classes
            )


def detect(image: ByteImage, tolerance_deg: float, min_area_px: int) -> FloatArray:
    """(N, 6) x1, y1, x2, y2, score and class of the things in an image."""
    found = [
        (*box, score, class_id)
        for class_id, mask in enumerate(class_masks(image, tolerance_deg))
        for box, score in boxes(mask, min_area_px)
    ]
    return np.array(found, np.float64).reshape(-1, 6)


def class_masks(image: ByteImage, tolerance_deg: float) -> Iterator[BoolArray]:
    """(H, W) pixels of each class: colourful ones, near the hue of the class."""
    red, green, blue = np.moveaxis(image.astype(np.float64), -1, 0)
    hue = np.degrees(np.arctan2(np.sqrt(3) * (green - blue), 2 * red - green - blue))
    colourful = np.ptp(image, axis=-1) > 100
    for centre in HUES_DEG.values():
        away = np.abs((hue - centre + 180) % 360 - 180)
        yield colourful & (away < tolerance_deg)


def boxes(
    mask: BoolArray, min_area_px: int, left: int = 0, top: int = 0
) -> Iterator[tuple[tuple[int, int, int, int], float]]:
    """Boxes of a mask, cut apart at empty columns and rows; the score of each is the share that it fills."""
    for x1, x2 in runs(mask.any(axis=0)):
        for y1, y2 in runs(mask[:, x1:x2].any(axis=1)):
            part = mask[y1:y2, x1:x2]
            if part.sum() < min_area_px:
                continue
            if part.shape == mask.shape:
                yield (left, top, left + x2 - x1, top + y2 - y1), float(part.mean())
            else:
                yield from boxes(part, min_area_px, left + x1, top + y1)


def runs(line: ArrayLike) -> list[list[int]]:
    """[start, end) of each stretch of a line that is true."""
    edges = np.flatnonzero(np.diff(np.concatenate([[0], line, [0]])))
    pairs: list[list[int]] = edges.reshape(-1, 2).tolist()
    return pairs
