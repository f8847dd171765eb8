"""Objects of a class map: connected regions of one class."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np

from anydet.geometry.regions import Regions, find_regions
from anydet.types import FloatArray, IntArray


@dataclass(frozen=True, slots=True, eq=False)
class Objects:
    """The regions that count as objects, best first.

    Attributes:
        regions: all regions of the class map.
        rows: (N,) int64 which of them.
        scores: (N,) float64 mean probability of their pixels' class.
    """

    regions: Regions
    rows: IntArray
    scores: FloatArray

    @property
    def boxes_xyxy_px(self) -> FloatArray:
        """(N, 4) float64 smallest boxes around them."""
        return self.regions.boxes_xyxy_px[self.rows]

    @property
    def class_ids(self) -> IntArray:
        """(N,) int64."""
        return self.regions.values[self.rows]


def find_objects(
    classes: IntArray,
    probabilities: FloatArray,
    background: int | None,
    *,
    min_area_px: int = 1,
    score_floor: float = 0.0,
    limit: int | None = None,
) -> Objects:
    """Regions that are large and sure enough.

    Args:
        classes: (H, W) class of each pixel.
        probabilities: (H, W) of that class.
        background: class whose regions are no objects, or ``None``.
        min_area_px: fewest pixels of an object.
        score_floor: least score.
        limit: most objects; the best are kept.
    """
    # No class is -1: without a background every region is a candidate.
    regions = find_regions(classes, -1 if background is None else background)
    inside = regions.index_map >= 0
    sums = np.bincount(regions.index_map[inside], probabilities[inside], len(regions))
    # Rounding may lift a mean of probabilities a little above 1, which is no valid score.
    scores = np.clip(sums / regions.areas_px, 0.0, 1.0)
    large = (regions.areas_px >= min_area_px) & (scores >= score_floor)
    rows = np.flatnonzero(large)
    # Stable, so that objects of equal score stay in the order of the image on every platform.
    rows = rows[np.argsort(-scores[rows], kind="stable")][:limit]
    return Objects(regions, rows, scores[rows])
