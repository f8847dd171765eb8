"""The area of objects that OKS rests on, where the source of the annotations states none.

OKS (of COCO's ``cocoeval.py``) divides squared distances by the area of the object, which is that of its
mask. Sources without masks have only the box; a person covers about half of it, so that width x height for
the area makes every distance count about half as much, and AP is higher than one with areas of masks.
"""

from __future__ import annotations

from dataclasses import replace

import numpy as np

from anydet.evaluation.matches import ignored_annotations
from anydet.evaluation.protocol import CROWDPOSE_AREA, CocoSettings
from anydet.text import shortened
from anydet.types import BoolArray, GroundTruthColumns, Labels


def areas_of(labels: Labels, settings: CocoSettings) -> Labels:
    """The same with the areas that keypoints are scored with."""
    if settings.protocol == "crowdpose":
        # CrowdPose's cocoeval.py never looks at `area`.
        labels = replace(labels, area_stated=np.zeros(len(labels), np.bool_))
        return fill_areas(labels, CROWDPOSE_AREA)
    return labels if settings.box_area_factor is None else fill_areas(labels, settings.box_area_factor)


def fill_areas(labels: Labels, factor: float) -> Labels:
    """The same with this fraction of width x height where the source states no area."""
    if labels.area_stated is None:
        return labels
    sides = labels.boxes_xywh_px[:, 2] * labels.boxes_xywh_px[:, 3]
    areas = np.where(labels.area_stated, labels.areas, factor * sides)
    return replace(labels, areas=areas, area_stated=None)


def invented_areas(labels: Labels) -> BoolArray | None:
    """(N,) annotations that OKS is computed for although no area is stated; ``None`` where none is."""
    if labels.area_stated is None:
        return None
    invented = ~labels.area_stated & ~ignored_annotations(labels, "keypoints")
    return invented if invented.any() else None


def first_image(ground_truth: GroundTruthColumns, rows: BoolArray) -> str:
    """Key of the image of the first of these annotations."""
    image: str = ground_truth.images[int(ground_truth.image_index[int(np.argmax(rows))])]
    return image


def describe(count: int, annotations: int, image: str) -> str:
    """What is said of areas that had to be invented."""
    return (
        f"{count} of {annotations} annotations state no area (first in image {shortened(image)}): OKS takes "
        f"width x height of their boxes, which makes AP higher than areas of masks would ('anydet eval-coco "
        f"--box-area-factor {CROWDPOSE_AREA}', box_area_factor of CocoSettings, takes that fraction of it)"
    )
