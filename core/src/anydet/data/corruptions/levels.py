"""Levels of brightness, 0 to 255, and fractions of white."""

from __future__ import annotations

from typing import Any

import numpy as np
from numpy.typing import NDArray

from anydet.types import ByteImage

FRACTIONS = np.arange(256) / 255.0
"""(256,) each level as a fraction of white."""


def to_levels(fractions: NDArray[np.floating[Any]]) -> ByteImage:
    """Fractions of white as levels, rounded down as in the originals; what is beyond becomes black or white.

    ``fractions`` is overwritten.
    """
    np.clip(fractions, 0, 1, out=fractions)
    fractions *= 255
    return fractions.astype(np.uint8)
