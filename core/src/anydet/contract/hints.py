"""The usual mistakes of exports, in the same words wherever they show: when reading, and in ``--explain``.

Each function looks at what an error is about and gives a hint to put before its fix, or an empty string.
"""

from __future__ import annotations

from collections.abc import Collection, Iterable, Sequence
from pathlib import PurePosixPath
from typing import Any

import numpy as np

from anydet.geometry.boxes import BOX_FORMATS, to_xywh_px
from anydet.inputs import SAVE_AS_UTF8
from anydet.types import BoolArray, FloatArray, IntArray

COCO_IDS: tuple[int, ...] = tuple(
    i for i in range(1, 91) if i not in {12, 26, 29, 30, 45, 66, 68, 69, 71, 83}
)
"""COCO's own ids of its 80 classes: 1 to 90, ten of which are not used."""

CLASS_MAPS = ("zero-based", "one-based", "coco91")
"""Ways in which category ids are counted where they are not the data set's own."""
COUNT_FROM_ONE = "class ids are one too high: they count from 1"
COCO_NUMBERING = "class ids are in COCO's 91-id numbering"
POSITIONS = "category_id is the position of the class, from "
RAW_SCORES = "scores are not between 0 and 1: a sigmoid or softmax was not applied, or they are in percent"
SWAPPED_SIZE = "width and height of the image are swapped"
INPUT_SIZE = "image_size is that of the network's input"
OTHER_ENDING = "image keys end differently"
IMAGE_IDS = "image keys are numbers, not names of files"


def hint_class_ids(class_ids: IntArray, classes: int) -> str:
    """Why class ids may be beyond a table of so many classes."""
    used = set(np.unique(class_ids).tolist())
    if classes == len(COCO_IDS) and used <= set(COCO_IDS):
        return f"{COCO_NUMBERING}; "
    if used and min(used) >= 1 and max(used) == classes:
        return f"{COUNT_FROM_ONE}; "
    return ""


def hint_category_ids(category_ids: Iterable[Any], known: Collection[Any]) -> str:
    """Why ids in COCO results may not be the data set's."""
    used, count = set(category_ids), len(known)
    if count == len(COCO_IDS) and used <= set(COCO_IDS) and not used <= set(range(1, count + 1)):
        return "category_id is COCO's 1 to 90: add --class-map coco91, or "
    for name, start in (("zero-based", 0), ("one-based", 1)):
        if used <= set(range(start, start + count)):
            return f"{POSITIONS}{start}: add --class-map {name}, or write the data set's own ids, or "
    return "say what each of them means with --class-map FILE, or "


def hint_formats(boxes: FloatArray, sizes_wh: IntArray) -> str:
    """In which formats no box has a negative size, and nearly all are inside their images.

    Args:
        boxes: (N, 4) as written.
        sizes_wh: (N, 2) sizes of their images, -1 where unknown.
    """
    small = bool((np.abs(boxes) <= 2.0).all())
    fitting = [name for name in BOX_FORMATS if name.endswith("norm") == small and _fit(boxes, name, sizes_wh)]
    return f"boxes fit as {' or '.join(fitting)}; " if fitting else ""


def _fit(boxes: FloatArray, box_format: str, sizes_wh: IntArray) -> bool:
    known: BoolArray = np.logical_and(*(sizes_wh > 0).T)
    sizes = np.where(known[:, None], sizes_wh, 1)
    with np.errstate(over="ignore", invalid="ignore"):
        placed = to_xywh_px(boxes, box_format, sizes)
        low, high = placed[:, :2], placed[:, :2] + placed[:, 2:]
    far = known & (np.less(low, -0.1 * sizes) | np.greater(high, 1.1 * sizes)).any(axis=1)
    return bool((placed[:, 2:] >= 0).all() and np.count_nonzero(far) <= 0.05 * len(boxes))


def hint_sizes(stated_wh: IntArray, known_wh: IntArray) -> str:
    """Why (N, 2) sizes in predictions may not be the data set's, which differ in each row."""
    if (stated_wh == known_wh[:, ::-1]).all():
        return f"{SWAPPED_SIZE}, or images were not turned as their EXIF orientation says; "
    if len(stated_wh) > 1 and (stated_wh == stated_wh[0]).all():
        return f"{INPUT_SIZE}; "
    return ""


def hint_keys(unknown: Sequence[str], known: Sequence[str]) -> str:
    """Why none of some image keys may be known."""
    stems = {PurePosixPath(key).stem for key in known}
    found = [PurePosixPath(key.replace("\\", "/")) for key in unknown]
    if found and all(key.stem in stems or key.name in stems for key in found):
        return f"{OTHER_ENDING}: {unknown[0]!r} where the data set has {known[0]!r}; "
    numbers = {int(stem) for stem in stems if stem.isdecimal()}
    if found and all(key.name.isdecimal() and int(key.name) in numbers for key in found):
        return f"{IMAGE_IDS}; "
    return ""


def hint_values(errors: Sequence[str]) -> str:
    """Whether what is wrong with a file is that its scores are no probabilities, or its encoding."""
    if any(": not UTF-8: " in line for line in errors):
        return f"{SAVE_AS_UTF8}; "
    outside = [line for line in errors if ".score: " in line and " the m" in line]
    return f"{RAW_SCORES}; " if len(outside) > 0.5 * len(errors) else ""
