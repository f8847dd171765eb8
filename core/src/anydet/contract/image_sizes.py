"""Sizes of images that a predictions file states, held against those of the data set."""

from __future__ import annotations

from collections.abc import Iterator

import numpy as np

from anydet.contract.hints import hint_sizes
from anydet.contract.join import match_keys
from anydet.contract.raw import RawPredictions
from anydet.errors import ContractError
from anydet.text import shortened
from anydet.types import BoolArray, GroundTruthColumns, IntArray


def size_misfits(predictions: RawPredictions, true_wh: IntArray, at: IntArray) -> Iterator[str]:
    """A line for each image whose stated size is another one.

    Args:
        predictions: the file.
        true_wh: (D, 2) width and height of the data set's images, -1 where unknown.
        at: (I,) where the images of the file stand among them, -1 where they do not.
    """
    joined, differ = _differing(predictions, true_wh, at)
    stated, known = predictions.sizes_wh[joined], true_wh[at[joined]]
    for i, ours, true in zip(joined[differ].tolist(), stated[differ], known[differ], strict=True):
        yield (
            f"{predictions.place(i).at(('image_size',))}: {ours[0]} x {ours[1]} where the data set says "
            f"{true[0]} x {true[1]} (image {shortened(predictions.images[i])})"
        )


def require_sizes(predictions: RawPredictions, truth: GroundTruthColumns | None) -> None:
    """Raise ``ContractError`` where a file states other sizes than the data set, as evaluation does.

    Its boxes are in the frame of those sizes: in that of the data set they would be wrong.
    """
    if truth is None:
        return
    at, _ = match_keys(predictions.images, truth.images)
    lines = [f"{predictions.path}: {line}" for line in size_misfits(predictions, truth.sizes_wh, at)]
    if lines:
        joined, differ = _differing(predictions, truth.sizes_wh, at)
        stated, known = predictions.sizes_wh[joined][differ], truth.sizes_wh[at[joined]][differ]
        raise ContractError.of(
            lines,
            fix=hint_sizes(stated, known)
            + "export on the original images of this data set, with image_size of the original",
        )


def _differing(predictions: RawPredictions, true_wh: IntArray, at: IntArray) -> tuple[IntArray, BoolArray]:
    """Images that join the data set, and which of them state another size."""
    joined = np.flatnonzero(at >= 0)
    stated, known = predictions.sizes_wh[joined], true_wh[at[joined]]
    return joined, ((stated > 0) & (known > 0) & (stated != known)).any(axis=1)
