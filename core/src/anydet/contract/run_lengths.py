"""Whether run-length codes are what they claim to be, before C code decodes them."""

from __future__ import annotations

from collections.abc import Iterator

from anydet.contract.raw import RawPredictions, size_of
from anydet.geometry.masks import run_lengths
from anydet.types import RLE

_MOST_BITS = 60
"""As in the compiled scanner; longer runs than any mask has are reported with their sum."""


def rle_problem(mask: RLE) -> str:
    """Why the code does not decode to its size, or an empty string."""
    height, width = mask.size_hw
    try:
        lengths = run_lengths(mask, _MOST_BITS)
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
