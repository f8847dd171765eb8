"""Labels that are read object by object, put together as an ``ImageTable``."""

from __future__ import annotations

from collections.abc import Iterable, Sequence

import numpy as np

from anydet.data.dataset.table import ImageTable
from anydet.dataclass import dataclass
from anydet.geometry import masks, outlines
from anydet.types import RLE, BoolArray, ClassTable, FloatArray, Labels, Polygons, Segmentation, Size

Box = tuple[float, float, float, float]
Point = tuple[float, float, float]
"""x, y in pixels and COCO's visibility: 0, 1 or 2."""


@dataclass(frozen=True, slots=True)
class LabeledObject:
    """One object of an image.

    Attributes:
        name: of its class.
        box_xywh_px: x, y, width, height in pixels.
        crowd: whether it counts neither way.
        segmentation: RLE, polygons in pixels, or ``None``.
        keypoints: in the order of the class's points, or () where it has none.
    """

    name: str
    box_xywh_px: Box
    crowd: bool = False
    segmentation: Segmentation = None
    keypoints: tuple[Point, ...] = ()


@dataclass(frozen=True, slots=True)
class LabeledImage:
    """One image with its objects.

    Attributes:
        key: as in ``Dataset.keys``.
        size_wh: stated (width, height), or ``None``.
        objects: in the order of the source.
    """

    key: str
    size_wh: Size | None
    objects: Sequence[LabeledObject]


def table_of(images: Sequence[LabeledImage], names: Iterable[str]) -> ImageTable:
    """All images as columns; areas are those of masks where there are masks, else width x height.

    Args:
        images: in their order.
        names: of the classes in their order; all names of objects are among them.
    """
    classes = ClassTable(tuple(names))
    class_of = {name: class_id for class_id, name in enumerate(classes.names)}
    rows = [(image, one) for image in images for one in image.objects]
    segmentations = tuple(one.segmentation for _, one in rows)
    boxes = np.array([one.box_xywh_px for _, one in rows], np.float64).reshape(-1, 4)
    return ImageTable(
        keys=tuple(image.key for image in images),
        sizes_wh=np.array([image.size_wh or (-1, -1) for image in images], np.int64).reshape(-1, 2),
        labels=Labels(
            class_ids=np.array([class_of[one.name] for _, one in rows], np.int64),
            boxes_xywh_px=boxes,
            areas=np.array(
                [
                    _area(mask, box)
                    for mask, box in zip(segmentations, boxes[:, 2:].prod(axis=1).tolist(), strict=True)
                ],
                np.float64,
            ),
            iscrowd=np.array([one.crowd for _, one in rows], np.bool_),
            segmentations=segmentations if any(mask is not None for mask in segmentations) else None,
            keypoints=_keypoints([one.keypoints for _, one in rows]),
            area_stated=_measured(segmentations),
        ),
        offsets=np.cumsum([0, *(len(image.objects) for image in images)], dtype=np.int64),
        classes=classes,
    )


def _measured(segmentations: Sequence[Segmentation]) -> BoolArray | None:
    """(N,) whether an area is that of a mask; ``None`` where all are."""
    known = np.array([mask is not None for mask in segmentations], np.bool_)
    return None if known.all() else known


def names_in(images: Iterable[LabeledImage]) -> tuple[str, ...]:
    """The names of classes that occur, sorted: the table of a source that lists none."""
    return tuple(sorted({one.name for image in images for one in image.objects}))


def bounds_of(polygons: Polygons) -> Box:
    """x, y, width, height around polygons."""
    xs = [x for ring in polygons for x in ring[0::2]]
    ys = [y for ring in polygons for y in ring[1::2]]
    return min(xs), min(ys), max(xs) - min(xs), max(ys) - min(ys)


def bounds_of_mask(mask: RLE) -> Box:
    """x, y, width, height around a mask."""
    x, y, width, height = masks.bounds_xywh(mask).tolist()
    return x, y, width, height


def bounds_of_points(points: Sequence[Point]) -> Box:
    """x, y, width, height around the points that are labeled."""
    return bounds_of((tuple(value for x, y, seen in points if seen for value in (x, y)),))


def _area(segmentation: Segmentation, box: float) -> float:
    """Square pixels: of polygons, whose rings are taken not to overlap."""
    if segmentation is None:
        return box
    if isinstance(segmentation, RLE):
        return masks.area(segmentation)
    return sum(map(outlines.area, segmentation))


def _keypoints(rows: Sequence[tuple[Point, ...]]) -> FloatArray | None:
    """(N, K, 3) with NaN where missing; ``None`` where all are."""
    most = max(map(len, rows), default=0)
    if not most:
        return None
    column = np.full((len(rows), most, 3), np.nan)
    for row, points in enumerate(rows):
        if points:
            column[row, : len(points)] = points
    return column
