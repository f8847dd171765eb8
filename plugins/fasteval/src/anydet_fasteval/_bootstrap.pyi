"""Compiled resampling; ``bootstrap_module.cpp``."""

from collections.abc import Sequence

import numpy as np
from numpy.typing import NDArray

def resample_class(
    images: NDArray[np.int32],
    ranks: NDArray[np.int32],
    outside: NDArray[np.uint16],
    matched: NDArray[np.uint32],
    hits: NDArray[np.uint64],
    ignored: NDArray[np.uint64],
    positive_images: NDArray[np.int32],
    positive_outside: NDArray[np.uint16],
    weights: NDArray[np.int32],
    areas: int,
    thresholds: int,
    limits: Sequence[int],
    recall_thresholds: Sequence[float],
) -> tuple[NDArray[np.float64], NDArray[np.float64]]:
    """(B, A, T) mean precision and (B, A, M, T) recall; -1 where no annotation was drawn."""
