"""Segmentations as COCO has them: run lengths, compressed or not, and polygons."""

from __future__ import annotations

import re
from collections.abc import Sequence
from typing import Any

import numpy as np

from anydet.contract.run_lengths import rle_problem
from anydet.geometry.masks import FAR_PX, MOST_PIXELS, from_polygons, from_uncompressed
from anydet.types import RLE, Size

_CODE = re.compile("[0-o]+")
_INT_MAX = 2**31 - 1


def mask_of(value: Any, size_wh: Size | None) -> tuple[RLE | None, str]:
    """The mask of a segmentation, and why it is none; an empty list or object and ``None`` are no mask.

    Args:
        value: ``{"size": [height, width], "counts": ...}``, or polygons: lists of x1, y1, x2, y2, ...
        size_wh: (width, height) of the image, on which polygons are painted.
    """
    if not value:
        return None, ""
    if isinstance(value, dict):
        return _run_lengths(value)
    if not isinstance(value, Sequence) or isinstance(value, str | bytes):
        return None, "neither a run-length code nor polygons"
    return _polygons([value] if all(isinstance(v, int | float) for v in value) else value, size_wh)


def corners_of_polygons(value: Any) -> Sequence[float] | None:
    """The 8 numbers of one polygon of four corners, or ``None`` of any other segmentation."""
    ring = value[0] if isinstance(value, Sequence) and len(value) == 1 else value
    if not isinstance(ring, Sequence) or isinstance(ring, str | bytes) or len(ring) != 8:
        return None
    return None if _ring_problem(ring) else ring


def _polygons(rings: Sequence[Any], size_wh: Size | None) -> tuple[RLE | None, str]:
    problem = next(filter(None, map(_ring_problem, rings)), "")
    if problem:
        return None, problem
    if size_wh is None or min(size_wh) <= 0:
        return None, "a polygon, and the size of its image is not known"
    if size_wh[0] * size_wh[1] > MOST_PIXELS:
        return None, f"a polygon in an image of more than {MOST_PIXELS} pixels"
    # Of an odd number of coordinates the last one is not looked at, as in pycocotools.
    return from_polygons(tuple(tuple(map(float, ring[: len(ring) // 2 * 2])) for ring in rings), size_wh), ""


def has_odd_rings(value: Any) -> bool:
    """Whether a segmentation that is a mask has a polygon of an odd number of coordinates."""
    rings = value if isinstance(value, Sequence) and not isinstance(value, str) else ()
    flat = bool(rings) and not isinstance(rings[0], Sequence)
    return any(len(ring) % 2 for ring in ([rings] if flat else rings))


def _run_lengths(value: dict[str, Any]) -> tuple[RLE | None, str]:
    try:
        height, width = value["size"]
        size, counts = (int(height), int(width)), value["counts"]
    except (KeyError, TypeError, ValueError, OverflowError):
        return None, "a run-length code has size (height, width) and counts"
    if size != (height, width) or min(size) < 1 or max(size) > _INT_MAX:
        return None, f"size {[height, width]} is not a height and a width in pixels"
    if not isinstance(counts, str):
        return _from_runs(counts, size)
    if not _CODE.fullmatch(counts):
        return None, "counts have characters that no run-length code has"
    mask = RLE(size, counts)
    problem = rle_problem(mask)
    return (None if problem else mask), problem


def _from_runs(counts: Any, size_hw: tuple[int, int]) -> tuple[RLE | None, str]:
    pixels = size_hw[0] * size_hw[1]
    try:
        runs = np.asarray(counts, np.float64)
    except (TypeError, ValueError, OverflowError):
        return None, "counts are neither text nor whole numbers"
    if runs.ndim != 1 or (runs < 0).any() or (runs != np.floor(runs)).any() or not np.isfinite(runs).all():
        return None, "counts are neither text nor whole numbers"
    if runs.sum() != pixels:
        return (
            None,
            f"counts add up to {runs.sum():.0f} pixels where {size_hw[0]} x {size_hw[1]} = {pixels} belong",
        )
    # Runs are C's unsigned integers in COCO's code.
    if pixels > _INT_MAX:
        return None, f"counts of more than {_INT_MAX} pixels"
    return from_uncompressed([int(run) for run in runs], size_hw), ""


def _ring_problem(ring: Any) -> str:
    listed = isinstance(ring, Sequence) and not isinstance(ring, str | bytes)
    if not listed or not all(isinstance(v, int | float) for v in ring):
        return "a polygon is not a list of numbers"
    if not all(abs(v) < FAR_PX for v in ring):
        return "a polygon reaches far out of its image"
    if len(ring) < 6:
        return f"a polygon of {len(ring)} numbers, where x1, y1, ... of 3 points or more belong"
    return ""
