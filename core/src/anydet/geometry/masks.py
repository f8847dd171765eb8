"""Binary masks as COCO run-length codes, through pycocotools."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

import numpy as np
from pycocotools import mask as coco_mask

from anydet.errors import AnydetError
from anydet.types import RLE, BoolArray, FloatArray, IntArray, Polygons, Segmentation, Size

MOST_PIXELS = 1 << 30
"""Of a mask that is painted: a few characters of run-length code can state one of any size."""
FAR_PX = 1e6
"""Above all coordinates of polygons: COCO's code takes each step of an edge, counted in 32 bits."""


def encode(mask: BoolArray) -> RLE:
    """(H, W) boolean mask to RLE."""
    # Runs go down the columns, and pycocotools takes arrays in that (Fortran) order only.
    return _from_coco(coco_mask.encode(np.asfortranarray(mask, dtype=np.uint8)))


def decode(rle: RLE) -> BoolArray:
    """RLE to (H, W) boolean mask; raises ``AnydetError`` for one of more than ``MOST_PIXELS``."""
    _require_paintable(rle.size_hw)
    mask: BoolArray = coco_mask.decode(to_coco(rle)).astype(np.bool_)
    return mask


def area(rle: RLE) -> float:
    """Number of pixels inside."""
    return float(coco_mask.area(to_coco(rle)))


def bounds_xywh(rle: RLE) -> FloatArray:
    """(4,) x, y, width, height of the smallest box around the mask, pixels."""
    return np.asarray(coco_mask.toBbox(to_coco(rle)), np.float64)


def as_rle(segmentation: Segmentation, size_wh: Size) -> RLE | None:
    """A segmentation of any kind as one RLE; polygons of one object are united."""
    if segmentation is None or isinstance(segmentation, RLE):
        return segmentation
    return from_polygons(segmentation, size_wh)


def from_polygons(polygons: Polygons, size_wh: Size) -> RLE:
    """Union of polygons, rasterized as COCO does; raises as ``require_near``."""
    require_near(polygons)
    width, height = size_wh
    rings = coco_mask.frPyObjects([list(p) for p in polygons], height, width)
    return _from_coco(coco_mask.merge(rings))


def require_near(polygons: Polygons) -> None:
    """Raise ``AnydetError`` for coordinates that no image has, at which COCO's code would end the process."""
    if not all(-FAR_PX < v < FAR_PX for ring in polygons for v in ring):
        raise AnydetError(
            "a polygon reaches far out of its image", fix="correct it in the annotations or the predictions"
        )


def from_uncompressed(counts: list[int], size_hw: tuple[int, int]) -> RLE:
    """COCO's uncompressed counts (crowd annotations) to RLE."""
    return _from_coco(coco_mask.frPyObjects({"size": list(size_hw), "counts": counts}, *size_hw))


def boundary(rle: RLE, dilation_ratio: float = 0.02) -> RLE:
    """The pixels of a mask within a distance of its edge, or of the image's.

    The distance is ``dilation_ratio`` of the image's diagonal, at least one pixel, by squares. Source: Cheng
    et al. 2021, "Boundary IoU: Improving Object-Centric Image Segmentation Evaluation", ``mask_to_boundary``.
    """
    height, width = rle.size_hw
    distance = max(1, round(dilation_ratio * float(np.hypot(height, width))))
    mask = decode(rle)
    inner = mask
    for axis in (0, 1):
        inner = _eroded(inner, distance, axis)
    return encode(mask & ~inner)


def _eroded(mask: BoolArray, distance: int, axis: int) -> BoolArray:
    """Pixels with nothing but mask within ``distance`` along an axis; beyond the image there is none."""
    ends = [(0, 0), (0, 0)]
    ends[axis] = (distance + 1, distance)
    counts = np.cumsum(np.pad(mask, ends), axis=axis, dtype=np.int32)
    span = 2 * distance + 1
    after = np.take(counts, range(span, counts.shape[axis]), axis)
    whole: BoolArray = after - np.take(counts, range(counts.shape[axis] - span), axis) == span
    return whole


def class_map(semantic: Mapping[int, RLE], size_hw: tuple[int, int]) -> IntArray:
    """(H, W) class of each pixel, -1 where no mask has it; where several have it, the highest class.

    Args:
        semantic: class id -> mask.
        size_hw: (height, width) of all of them.

    Raises ``AnydetError`` for more than ``MOST_PIXELS``.
    """
    _require_paintable(size_hw)
    height, width = size_hw
    # Classes are added where runs begin and taken back where they end, so that one sum paints all masks.
    steps = np.zeros((2, height * width + 1), np.int64)
    for class_id, mask in semantic.items():
        ends = np.cumsum(run_lengths(mask))
        # With an odd number of runs the last one is outside the mask, and nothing starts at its end.
        starts, ends = ends[: len(ends) // 2 * 2 : 2], ends[1::2]
        for step, amount in zip(steps, (class_id + 1, 1), strict=True):
            np.add.at(step, starts, amount)
            np.subtract.at(step, ends, amount)
    classes, depth = np.cumsum(steps[:, :-1], axis=1)
    # Where masks overlap, sums of classes mean nothing: these are painted mask by mask.
    if depth.max(initial=0) > 1:
        classes = np.zeros(height * width, np.int64)
        for class_id in sorted(semantic):
            classes[decode(semantic[class_id]).ravel(order="F")] = class_id + 1
    found: IntArray = classes.reshape(width, height).T - 1
    return found


def is_whole(rle: RLE) -> bool:
    """Whether ``counts`` is a run-length code whose runs add up to the mask's height x width."""
    try:
        runs = run_lengths(rle)
    except ValueError:
        return False
    return bool((runs >= 0).all() and runs.sum() == rle.size_hw[0] * rle.size_hw[1])


def run_lengths(rle: RLE, most_bits: int = 35) -> IntArray:
    """(R,) pixels outside, inside, outside, ... down the columns.

    Source of the code: ``rleFrString`` of pycocotools' ``maskApi.c``. Each run is a little-endian number of
    5-bit digits, sixth bit "more follows", top bit of the last digit the sign; from the fourth on, runs are
    differences to the run two before.

    Args:
        rle: its size is not looked at.
        most_bits: bits that a number may have, 60 at most; pycocotools holds runs in 32.

    Raises:
        ValueError: the counts end inside a number, hold a character that is no digit, or a longer number.
    """
    # UTF-8, in which every character beyond ASCII has bytes that are no digits.
    digits = np.frombuffer(rle.counts.encode("utf-8"), np.uint8).astype(np.int64) - 48
    ends = np.flatnonzero((digits & 0x20) == 0)
    if not len(ends) or ends[-1] != len(digits) - 1:
        raise ValueError("it ends inside a number")
    if digits.min() < 0 or digits.max() > 63:
        raise ValueError("it holds other characters than '0' to 'o'")
    lengths = np.diff(ends, prepend=-1)
    # Beyond 64 bits the shifts below would overflow without a word.
    if lengths.max() * 5 > most_bits:
        raise ValueError(f"it holds a number of more than {most_bits} bits")
    starts = ends - lengths + 1
    places = 5 * (np.arange(len(digits)) - np.repeat(starts, lengths))
    runs: IntArray = np.add.reduceat((digits & 0x1F) << places, starts)
    runs -= np.where(digits[ends] & 0x10, 1 << 5 * lengths, 0)
    for first in (1, 2):
        runs[first::2] = np.cumsum(runs[first::2])
    return runs


def _require_paintable(size_hw: tuple[int, int]) -> None:
    height, width = size_hw
    if height * width > MOST_PIXELS:
        raise AnydetError(
            f"a mask of {width} x {height} pixels: at most {MOST_PIXELS} are painted",
            fix="correct the size of the image or of its masks",
        )


def to_coco(rle: RLE) -> dict[str, Any]:
    """The dictionary that pycocotools takes."""
    return {"size": list(rle.size_hw), "counts": rle.counts.encode("ascii")}


def _from_coco(coded: dict[str, Any]) -> RLE:
    height, width = coded["size"]
    return RLE((int(height), int(width)), coded["counts"].decode("ascii"))
