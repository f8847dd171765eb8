"""The detector: smooth, give each pixel a class by its color, and take connected regions as objects."""

from __future__ import annotations

from collections.abc import Iterator, Sequence

import numpy as np

from anydet.data.record.record import Record
from anydet.geometry import masks
from anydet.geometry.regions import Regions, find_regions
from anydet.plugins.adapter import Adapter, AdapterNotes
from anydet.plugins.options import check_options, load_schema
from anydet.types import RLE, AdapterSettings, ByteImage, ClassTable, FloatArray, ImagePredictions, IntArray
from anydet_toy.colors import PROTOTYPES, ColorTable, smooth

SURE_AREA_PX = 30.0
"""Evidence is 1 - exp(-area / this): 63 % at this many pixels, 95 % at three times as many."""


class ToyAdapter(Adapter):
    """Finds the shapes of ``anydet synth`` with NumPy alone."""

    def __init__(self, settings: AdapterSettings) -> None:
        super().__init__(settings)
        schema = load_schema("anydet_toy:options.schema.json")
        self.options = check_options(settings.options, schema, owner="toy")
        limits = {key: self.options[key] for key in ("hue_tolerance_deg", "min_saturation", "min_chroma")}
        self.table = ColorTable.build(**limits)

    @property
    def classes(self) -> ClassTable:
        """The shapes, in the order of ``PROTOTYPES``."""
        return ClassTable(tuple(prototype.name for prototype in PROTOTYPES))

    @property
    def notes(self) -> AdapterNotes:
        """The options in use."""
        return AdapterNotes(details={"smoothing_px": self.options["smoothing_px"]})

    def predict(self, records: Sequence[Record]) -> Iterator[ImagePredictions]:
        """One result a record; boxes in pixels of ``record.image()``."""
        for record in records:
            with self.stage("decode"):
                image = record.image()
            yield self._detect(record.key, image)

    def _detect(self, key: str, image: ByteImage) -> ImagePredictions:
        with self.stage("preprocess"):
            colors = self.table.index(smooth(image, self.options["smoothing_px"]))
        with self.stage("model"):
            regions = find_regions(self.table.class_ids[colors])
            scores = score(regions, self.table.fits[colors])
        with self.stage("postprocess"):
            big = regions.areas_px >= self.options["min_area_px"]
            keep = np.flatnonzero(big & (scores >= self.settings.score_floor))
            return ImagePredictions(
                image=key,
                size_wh=(image.shape[1], image.shape[0]),
                boxes_xyxy_px=regions.boxes_xyxy_px[keep],
                scores=scores[keep],
                class_ids=regions.values[keep],
                masks=_encode(regions, keep) if self.options["masks"] else None,
            )


def score(regions: Regions, fits: FloatArray) -> FloatArray:
    """(N,) confidence in [0, 1]: color fit x shape fit x evidence.

    Color fit is the mean over a region's pixels. Shape fit falls as the region covers less or more of its
    box than whole shapes of its class do. Evidence grows with the number of pixels.

    Args:
        regions: N regions of an image.
        fits: (H, W) how well each pixel has its class's color, in [0, 1].
    """
    inside = regions.index_map >= 0
    color = np.bincount(regions.index_map[inside], fits[inside], len(regions)) / regions.areas_px
    least, greatest = np.array([prototype.fill for prototype in PROTOTYPES])[regions.values].T
    sides = regions.boxes_xyxy_px[:, 2:] - regions.boxes_xyxy_px[:, :2]
    fill = regions.areas_px / sides.prod(axis=1)
    shape = np.exp(-4.0 * np.maximum(0.0, np.maximum(least - fill, fill - greatest)))
    evidence = 1.0 - np.exp(-regions.areas_px / SURE_AREA_PX)
    confidence: FloatArray = np.clip(color * shape * evidence, 0.0, 1.0)
    return confidence


def _encode(regions: Regions, keep: IntArray) -> tuple[RLE, ...]:
    return tuple(masks.encode(regions.index_map == region) for region in keep)
