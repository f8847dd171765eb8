"""What a scanner found in a COCO annotations file, as an ``ImageTable``."""

from __future__ import annotations

import numpy as np

from anydet.data.dataset.table import ImageTable
from anydet.geometry.boxes import area_xywh
from anydet.ids import all_differ, positions
from anydet.mask_columns import MaskColumn, SegmentationColumn
from anydet.scanner import Ragged, ScannedAnnotations
from anydet.types import BoolArray, ClassTable, Federation, FloatArray, IntArray, Labels


def class_table(
    names: tuple[str, ...], source_ids: tuple[int, ...], frequencies: tuple[str, ...]
) -> ClassTable:
    """The classes; frequencies only where some class has one."""
    return ClassTable(names, source_ids, frequencies if any(frequencies) else ())


def own_areas(areas: FloatArray, boxes: FloatArray) -> tuple[FloatArray, BoolArray | None]:
    """(N,) areas and which of them are the file's own, ``None`` where all are; the others are width x height.

    Args:
        areas: (N,) of the file, NaN where it has none.
        boxes: (N, 4) x, y, width, height.
    """
    missing = np.isnan(areas)
    if not missing.any():
        return areas, None
    return np.where(missing, area_xywh(boxes), areas), ~missing


def of_scan(found: ScannedAnnotations) -> ImageTable | None:
    """The table; ``None`` where ids or sizes do not fit each other, which reading slowly explains."""
    by_id = np.argsort(found.category_ids, kind="stable")
    unique = all_differ(found.category_ids) and all_differ(found.image_ids) and _named_apart(found)
    if not unique or len(set(found.keys)) < len(found.keys):
        return None
    image_index = positions(found.annotation_images, found.image_ids)
    class_ids = positions(found.annotation_categories, found.category_ids[by_id])
    if (image_index < 0).any() or (class_ids < 0).any() or not _masks_fit(found, image_index):
        return None
    pairs = [_pairs(lists, found.category_ids[by_id]) for lists in (found.negative, found.not_exhaustive)]
    if any((part < 0).any() for part in pairs):
        return None
    labels = _labels(found, class_ids)
    # Stable, as the order of an image's annotations decides which of two equally good ones is matched.
    if (image_index[1:] < image_index[:-1]).any():
        order = np.argsort(image_index, kind="stable")
        labels, image_index = labels.take(order), image_index[order]
    names, frequencies = (
        tuple(texts[i] for i in by_id.tolist()) for texts in (found.names, found.frequencies)
    )
    return ImageTable(
        keys=found.keys,
        sizes_wh=found.sizes_wh,
        image_ids=found.image_ids,
        classes=class_table(names, tuple(found.category_ids[by_id].tolist()), frequencies),
        labels=labels,
        offsets=np.searchsorted(image_index, np.arange(len(found.keys) + 1)),
        federation=Federation(*pairs) if found.negative or found.not_exhaustive else None,
    )


def _pairs(lists: Ragged, category_ids: IntArray) -> IntArray:
    """(P, 2) image index and class id, -1 for a category that is not there, of lists of category ids."""
    images = np.repeat(lists.rows, np.diff(lists.ends, prepend=0))
    return np.stack([images, positions(lists.values.astype(np.int64), category_ids)], axis=1)


def _named_apart(found: ScannedAnnotations) -> bool:
    """Whether no annotation has the id of another one; those without have -1."""
    ids = found.annotation_ids
    return ids is None or all_differ(ids) or all_differ(ids[ids != -1])


def _masks_fit(found: ScannedAnnotations, image_index: IntArray) -> bool:
    """Whether masks have the sizes of their images, where those are stated."""
    if found.masks is None:
        return True
    sizes_wh = found.sizes_wh[image_index]
    known = (sizes_wh[:, 0] > 0) & ~found.masks.missing
    return not (found.masks.sizes_hw[:, ::-1] != sizes_wh)[known].any()


def _labels(found: ScannedAnnotations, class_ids: IntArray) -> Labels:
    count = len(found.areas)
    areas, stated = own_areas(found.areas, found.boxes)
    return Labels(
        class_ids=class_ids,
        boxes_xywh_px=found.boxes,
        areas=areas,
        area_stated=stated,
        iscrowd=found.iscrowd,
        annotation_ids=found.annotation_ids,
        segmentations=_segmentations(found, count),
        keypoints=_keypoints(found, count),
        states=found.states.over(count) if found.states else None,
    )


def _keypoints(found: ScannedAnnotations, count: int) -> FloatArray | None:
    """(N, K, 3) with NaN where missing; ``None`` where all are."""
    if not found.keypoints:
        return None
    flat: FloatArray = found.keypoints.over(count)
    return flat.reshape(count, -1, 3)


def _segmentations(found: ScannedAnnotations, count: int) -> SegmentationColumn | None:
    """One a row; ``None`` where all are missing."""
    if found.masks is None and not found.rings:
        return None
    starts, ends = np.zeros((2, count), np.int64)
    starts[found.rings.rows] = np.concatenate([np.zeros(1, np.int64), found.rings.ends[:-1]])[
        : len(found.rings.rows)
    ]
    ends[found.rings.rows] = found.rings.ends
    return SegmentationColumn(
        masks=found.masks or MaskColumn.empty(count),
        ring_starts=starts,
        ring_ends=ends,
        offsets=np.concatenate([np.zeros(1, np.int64), found.rings.values]),
        points=found.points,
    )
