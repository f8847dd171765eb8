"""Whether run-length codes are what they claim to be, before C code decodes them."""

from __future__ import annotations

from collections.abc import Iterator

import numpy as np

from anydet.contract.raw import RawPredictions, size_of
from anydet.types import RLE, IntArray

_OFFSET, _MORE, _SIGN, _BITS = 48, 0x20, 0x10, 5


def runs(counts: str) -> IntArray:
    """Lengths of the runs of COCO's compressed code, zeros first.

    Each run is a little-endian number of 5-bit groups, sixth bit "more follows", top bit of the last group
    the sign; from the fourth on, runs are differences to the one two before.
    Source: pycocotools, ``maskApi.c``, ``rleFrString``.

    Raises:
        ValueError: the text ends inside a number, or holds one of more than 60 bits.
    """
    groups = np.frombuffer(counts.encode("ascii"), np.uint8).astype(np.int64) - _OFFSET
    last = np.flatnonzero((groups & _MORE) == 0)
    if not len(groups) or groups[-1] & _MORE:
        raise ValueError("it ends inside a number")
    starts = np.concatenate([[0], last[:-1] + 1])
    shift = _BITS * (np.arange(len(groups)) - np.repeat(starts, last - starts + 1))
    # Beyond, the shift below would overflow 64 bits without a word.
    if shift.max() >= 60:
        raise ValueError("it holds a number of more than 60 bits")
    lengths = np.add.reduceat((groups & 0x1F) << shift, starts)
    lengths -= np.where(groups[last] & _SIGN, np.int64(1) << (shift[last] + _BITS), 0)
    lengths[1::2] = np.cumsum(lengths[1::2])
    lengths[2::2] = np.cumsum(lengths[2::2])
    return lengths


def rle_problem(mask: RLE) -> str:
    """Why the code does not decode to its size, or an empty string."""
    height, width = mask.size_hw
    try:
        lengths = runs(mask.counts)
    except ValueError as exc:
        return f"counts cannot be decoded: {exc}"
    if (lengths < 0).any():
        return "counts cannot be decoded: a run of negative length"
    total = int(lengths.sum())
    if total != height * width:
        return f"counts decode to {total} pixels where {height} x {width} = {height * width} belong"
    return ""


def mask_findings(predictions: RawPredictions) -> Iterator[str]:
    """Masks that do not decode to their size, or whose size is not the image's."""
    for row, mask in enumerate(predictions.masks or ()):
        if mask is not None:
            image = int(predictions.image_index[row])
            for problem in _problems(mask, size_of(predictions, image)):
                yield f"{predictions.describe(row, 'mask')}: {problem} (image {predictions.images[image]})"
    for image, details in predictions.details.items():
        for class_id, mask in (details.semantic_mask or {}).items():
            for problem in _problems(mask, size_of(predictions, image)):
                where = predictions.place(image).at(("semantic_mask", str(class_id)))
                yield f"{where}: {problem} (image {predictions.images[image]})"


def _problems(mask: RLE, size_wh: tuple[int, int]) -> Iterator[str]:
    problem = rle_problem(mask)
    if problem:
        yield problem
    if all(size_wh) and mask.size_hw != size_wh[::-1]:
        yield f"size is {list(mask.size_hw)} where the image's height and width {list(size_wh[::-1])} belong"
