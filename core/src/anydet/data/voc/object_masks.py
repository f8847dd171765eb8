"""Masks of ``SegmentationObject``: PNG files whose values number the objects of an image.

0 is background and 255 the border around objects, which belongs to none (Everingham et al. 2010). A mask is
that of the object whose box overlaps its bounds most, one mask an object.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import replace
from pathlib import Path

import numpy as np

from anydet.data.dataset.left_out import LeftOut
from anydet.data.dataset.objects import LabeledImage, LabeledObject, bounds_of_mask
from anydet.data.record.class_mask import read_class_map
from anydet.errors import DatasetError, ImageError
from anydet.geometry import masks
from anydet.geometry.boxes import iou_xyxy, xywh_to_xyxy
from anydet.types import RLE

LEAST_IOU = 0.3
"""Of a box and the bounds of its mask: the border, which is in the box alone, is five pixels wide."""


def with_masks(image: LabeledImage, file: Path, left_out: LeftOut) -> LabeledImage:
    """The image whose objects have the masks of a file; what cannot be joined is counted.

    Args:
        image: an image with boxes.
        file: its PNG file.
        left_out: counts masks without an object, objects without a mask, and files that cannot be read.
    """
    try:
        found = _masks(file)
    except ImageError as exc:
        left_out.add("masks", "of a file that cannot be read", exc.problem, fix=exc.fix)
        return image
    except DatasetError as exc:
        left_out.add("masks", "in colors, which number no objects", exc.problem, fault=False)
        return image
    if found and image.size_wh is not None and found[0].size_hw != image.size_wh[::-1]:
        height, width = found[0].size_hw
        where = f"{file}: {width} x {height}, not {image.size_wh[0]} x {image.size_wh[1]}"
        left_out.add("masks", "of a file of another size than its image", where)
        return image
    mask_of = _joined(image.objects, found)
    for number in set(range(len(found))) - set(mask_of.values()):
        left_out.add("masks", "that fit no object's box", f"{file}: mask {number + 1}", fault=False)
    for position in set(range(len(image.objects))) - mask_of.keys():
        name = image.objects[position].name
        where = f"{file}: object {position + 1} ({name})"
        left_out.add("objects", "that no mask fits", where, fault=False, effect="read without a mask")
    return replace(
        image,
        objects=[
            replace(one, segmentation=found[mask_of[position]]) if position in mask_of else one
            for position, one in enumerate(image.objects)
        ],
    )


def _masks(file: Path) -> list[RLE]:
    """The mask of each number, in their order."""
    numbers = read_class_map(file)
    return [masks.encode(numbers == number) for number in np.unique(numbers[numbers > 0]).tolist()]


def _joined(objects: Sequence[LabeledObject], found: Sequence[RLE]) -> dict[int, int]:
    """Position of an object -> that of its mask: pairs by IoU, the best first, each in one pair."""
    if not objects or not found:
        return {}
    boxes = np.array([one.box_xywh_px for one in objects], np.float64)
    bounds = np.array([bounds_of_mask(one) for one in found], np.float64)
    overlap = iou_xyxy(xywh_to_xyxy(boxes), xywh_to_xyxy(bounds))
    pairs: dict[int, int] = {}
    # Stable, so that of equal boxes the first has the mask of the lowest number, as VOC numbers them.
    for place in np.argsort(-overlap, axis=None, kind="stable").tolist():
        position, number = divmod(place, len(found))
        if overlap[position, number] < LEAST_IOU:
            break
        if position not in pairs and number not in pairs.values():
            pairs[position] = number
    return pairs
