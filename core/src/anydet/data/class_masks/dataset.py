"""``MaskDataset``: images with class masks, whose connected regions are the objects."""

from __future__ import annotations

from dataclasses import replace

import numpy as np

from anydet.data.dataset.columns import boxes_only, columns_of_records
from anydet.data.dataset.table import TableDataset
from anydet.data.record.class_mask import background_of
from anydet.data.record.record import Record
from anydet.errors import DatasetError
from anydet.geometry import masks
from anydet.geometry.regions import find_regions
from anydet.types import GroundTruthColumns, IntArray, Labels, Size


class MaskDataset(TableDataset):
    """Images whose class masks are all that is known of their objects, which are the regions of the masks."""

    __slots__ = ()

    def ground_truth(self, max_images: int | None = None) -> GroundTruthColumns:
        """Regions of the masks of the first ``max_images`` images.

        All these masks are opened, and the headers of the images. Raises ``DatasetError`` where a mask has
        another size than its image.
        """
        background = background_of(self.classes)
        records = map(self.record, range(len(self))[:max_images])
        sized = ((record, record.size_wh) for record in records)
        return columns_of_records(
            ((with_regions(record, size, background), size) for record, size in sized),
            self.classes,
            self.source,
        )


def with_regions(record: Record, size_wh: Size, background: int | None) -> Record:
    """A record whose labels are the regions of its class mask; the record itself where it has no mask.

    Args:
        record: an image of any data set.
        size_wh: (width, height) of the image in pixels.
        background: class whose pixels are no objects, or ``None``.

    Raises:
        DatasetError: the mask has another size than the image.
    """
    classes = record.class_map()
    if classes is None:
        return record
    if classes.shape != size_wh[::-1]:
        height, width = classes.shape
        raise DatasetError(
            f"{record.path}: {size_wh[0]} x {size_wh[1]} pixels, its class mask has {width} x {height}",
            fix="write a mask of the image's size",
        )
    return replace(record, labels=label_regions(classes, background))


def label_regions(classes: IntArray, background: int | None) -> Labels:
    """Objects of a class map: the 4-connected regions of each class but the background.

    Args:
        classes: (H, W) class of each pixel, -1 where unlabeled.
        background: class whose pixels are no objects, or ``None``.
    """
    regions = find_regions(np.where(classes == background, -1, classes), -1)
    sides = regions.boxes_xyxy_px[:, 2:] - regions.boxes_xyxy_px[:, :2]
    labels = boxes_only(
        regions.values,
        np.concatenate([regions.boxes_xyxy_px[:, :2], sides], axis=1),
        segmentations=tuple(masks.encode(regions.index_map == i) for i in range(len(regions))),
    )
    return replace(labels, areas=regions.areas_px.astype(np.float64), area_stated=None)
